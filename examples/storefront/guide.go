package main

import (
	"fmt"
	"net"
	"strings"
)

// A step is something to try. Commands work as they are printed.
type step struct{ why, command string }

// guideText says what runs and what to try.
func (f *fleet) guideText() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nstorefront: %d pods over %s and %s\n\n", len(f.pods), f.redis.what, f.store.Describe())
	for _, p := range f.pods {
		fmt.Fprintf(&b, "  %s  %s\n", p.name, p.url)
	}
	b.WriteString("\nTry, in another terminal (the header X-Cache tells a load, miss, from an answer by a cache, hit):\n")
	for _, s := range f.guide() {
		fmt.Fprintf(&b, "\n  # %s\n  %s\n", s.why, s.command)
	}
	b.WriteString("\nCtrl-C stops it.\n")
	return b.String()
}

func (f *fleet) guide() []step {
	first, last := f.pods[0].url, f.pods[len(f.pods)-1].url
	var ports []string
	for _, p := range f.pods {
		ports = append(ports, p.port())
	}
	every := func(path string) string {
		return fmt.Sprintf("for port in %s; do curl -si http://%s%s; done", strings.Join(ports, " "), net.JoinHostPort(f.cfg.host, "$port"), path)
	}
	steps := []step{
		{"A price list. The first pod loads it, the others find it in Redis; again, and each has it in memory.", every("/catalog/internet/acc_001/jp")},
		{"A list without the product that changes next: it will stay cached.", every("/catalog/internet/acc_001/de")},
		{"Change a product's price on one pod …", fmt.Sprintf(`curl -si -X PUT %s/products/prd_0001 -d '{"priceCents": 4242}'`, last)},
		{"… and every pod shows it, after one load for all.", every("/catalog/internet/acc_001/jp")},
	}
	if f.cfg.databaseURL != "" {
		steps = append(steps,
			step{"Change it behind the service's back …", `psql "$DATABASE_URL" -c "UPDATE storefront.products SET price_cents = 1111 WHERE id = 'prd_0001'"`},
			step{"… which is no different.", every("/catalog/internet/acc_001/jp")},
		)
	}
	if f.cfg.salesforce {
		steps = append(steps, step{"The two feeds of change events.", fmt.Sprintf("curl -si %s/health/sf-events", first)})
	}
	return append(steps,
		step{"Orders: an account's, and one in full.", fmt.Sprintf("curl -si %s/orders/acc_001; curl -si %s/orders/acc_001/ord_01", first, first)},
		step{"A change that outdates both.", fmt.Sprintf(`curl -si -X PUT %s/orders/acc_001/ord_01 -d '{"status": "returned"}'`, first)},
		step{"Static data, and stock, which is never older than a minute.", fmt.Sprintf("curl -si %s/catalog/static/jp; curl -si %s/catalog/volatile/prd_0001", first, first)},
		step{"Invoices of a slow billing system that tells nobody of changes: 90 seconds.", every("/invoices/acc_001")},
		step{"Which account a user belongs to.", fmt.Sprintf("curl -si '%s/users/idp%%7Cuser_0001'", first)},
		step{"Why a key was a hit or a miss: what L1 and L2 hold of it, what outdated it last.", fmt.Sprintf("curl -s -H 'Accept: text/plain' '%s/explain?key=catalog:internet:acc_001:jp'", first)},
		step{"How the caches are: all, one domain, one feed, for Prometheus.", fmt.Sprintf("curl -s %s/health; curl -s %s/health/catalog/cache; curl -s %s/health/cdc/%s; curl -s %s/metrics", first, first, first, catalogFeed, first)},
	)
}
