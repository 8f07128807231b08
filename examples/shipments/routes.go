package shipments

import (
	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

// Routes are for the follower of the feed: a changed row is its parcel, by key, and its account. A parcel that moves to another account
// comes with the new one; the list of the old one contains the parcel, and goes with it.
func Routes() cdc.Routes {
	return cdc.Routes{
		"public.parcels": {
			Rules: []cdc.Rule{
				{Names: []string{tier.Key(parcelSpace, "{id}")}},
				{Names: []string{tier.Tag("account", "{account}")}, Optional: true}, // not in the old row of a DELETE, which has the key alone
			},
			All: []string{tier.SpaceName(parcelSpace), tier.Entity("account")},
		},
	}
}
