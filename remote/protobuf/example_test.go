package protobuf_test

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/tandem-cache/tandem/remote/protobuf"
	"github.com/tandem-cache/tandem/tier"
)

func ExampleCodec() {
	ctx := context.Background()
	cache, _ := tier.Open(ctx, tier.Config{Name: "storefront"})
	defer cache.Close(ctx)
	titles, err := tier.NewSpace(cache, tier.SpaceConfig[*wrapperspb.StringValue]{
		Name:     "catalog:title",
		Strategy: tier.CDC("catalog-feed"),
		Codec:    protobuf.Codec{},
		Clone:    proto.CloneOf[*wrapperspb.StringValue], // each reader may change its message
		Load: func(_ context.Context, id string) (*wrapperspb.StringValue, error) {
			return wrapperspb.String("Kettle " + id), nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	title, err := titles.Get(ctx, "42")
	fmt.Println(title.GetValue(), err)
	// Output:
	// Kettle 42 <nil>
}
