// Package salesforce follows a topic of Salesforce's Pub/Sub API: change events, or platform events.
package salesforce

import (
	_ "github.com/twmb/avro"

	_ "github.com/tandem-cache/tandem/cdc"
	_ "github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
)
