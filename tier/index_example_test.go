package tier_test

import (
	"context"
	"fmt"
	"log"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/tier"
)

// What shows a product, in all spaces: before it is changed, say.
func ExampleCache_Dependents() {
	server, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer client.Close()
	ctx := context.Background()

	pod, err := tier.Open(ctx, tier.Config{Name: "shop", Redis: client})
	if err != nil {
		log.Fatal(err)
	}
	pages, err := tier.NewSpace(pod, tier.SpaceConfig[string]{
		Name: "catalog:page", Strategy: tier.CDC("catalog"),
		Load: func(ctx context.Context, id string) (string, error) {
			tier.DependsOn(ctx, "product", "42")
			return "page " + id, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := pages.Get(ctx, "home"); err != nil {
		log.Fatal(err)
	}
	pod.Close(ctx) // the entry and its place in the index are written after Get has returned

	tool, err := tier.Open(ctx, tier.Config{Name: "shop", Redis: client})
	if err != nil {
		log.Fatal(err)
	}
	defer tool.Close(ctx)
	for key, err := range tool.Dependents(ctx, "product", "42") {
		fmt.Println(key, err)
	}
	// Output: catalog:page:home <nil>
}
