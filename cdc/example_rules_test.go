package cdc_test

import (
	"context"
	"fmt"
	"os"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

// orderRoutes are for changes that carry what changed, and nothing else, as those of Salesforce do.
func orderRoutes() cdc.Routes {
	return cdc.Routes{"Order": {
		Rules: []cdc.Rule{
			{Names: []string{tier.Tag("order", "{Id}")}},
			{Names: []string{tier.Tag("account-orders", "{AccountId}")}, When: []string{"AccountId"}, Optional: true},
			{Names: []string{tier.SpaceName("orders:unpaid")}, When: []string{"Status"}},
		},
		All: []string{tier.Entity("order"), tier.Entity("account-orders"), tier.SpaceName("orders:unpaid")},
	}}
}

// What one event outdates, and why.
func ExampleRoutes_Explain() {
	fmt.Println(orderRoutes().Explain(cdc.Event{
		Entity: "Order", Kind: cdc.Update, Changed: []string{"Status"},
		Rows: []cdc.Row{{"Id": "8011", "Status": "Paid"}},
	}))
	// Output:
	// update of Order, changed [Status]
	//   t:order:8011
	//     Rules[0]: for every change
	//   nothing
	//     Rules[1]: none of [AccountId] changed
	//   s:orders:unpaid
	//     Rules[2]: one of [Status] changed
}

// Before a feed goes live: what its changes would outdate. For PostgreSQL the source is one with a temporary slot.
func ExampleDryRun() {
	ctx, cancel := context.WithCancel(context.Background())
	source := make(changelog)
	go func() {
		source <- cdc.Batch{Events: []cdc.Event{
			{Entity: "Order", Kind: cdc.Delete, Rows: []cdc.Row{{"Id": "8011"}}},
			{Entity: "Order", Kind: cdc.Update, Rows: []cdc.Row{{"Id": "8012"}}}, // a gap event: what changed is unknown
			{Entity: "Asset", Kind: cdc.Insert, Rows: []cdc.Row{{"Id": "02i1"}}},
		}}
		source <- cdc.Batch{} // taken when the one before is printed
		cancel()
	}()
	if err := cdc.DryRun(ctx, source, orderRoutes(), os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// delete of Order
	//   t:order:8011
	//     Rules[0]: for every change
	//   nothing
	//     Rules[1]: column "AccountId" is absent: the rule is optional, and the row is gone
	//   s:orders:unpaid
	//     Rules[2]: for every delete
	// update of Order
	//   e:order
	//   e:account-orders
	//   s:orders:unpaid
	//     All, poisonous: cdc: Rules[1]: cdc: column "AccountId" is absent: it is NULL, or the source doesn't deliver it for this kind of change
	// insert of Asset
	//   nothing: the entity has no route
}
