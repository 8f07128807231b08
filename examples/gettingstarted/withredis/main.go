// Command withredis shares a cache with other processes through Redis: the second program of docs/getting-started.md.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/tier"
)

func main() {
	ctx := context.Background()
	options, err := redis.ParseURL(os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	options.ContextTimeoutEnabled = true // calls end with their context, which the cache bounds
	client := redis.NewClient(options)
	defer client.Close()

	cache, err := tier.Open(ctx, tier.Config{Name: "demo", Redis: client})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close(ctx) // stores what is still on its way to Redis

	greetings, err := tier.NewSpace(cache, tier.SpaceConfig[string]{
		Name:     "hello:greeting",
		Strategy: tier.TTL(time.Minute),
		Load: func(_ context.Context, name string) (string, error) {
			fmt.Println("loading", name)
			return "Hello, " + name, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(greetings.Get(ctx, "Ada"))
}
