// Package salesforce is a [cdc.Source] for Salesforce: it follows a topic of the Pub/Sub API, of change events or of platform
// events. No live org has been reached.
package salesforce

import _ "github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus" // until the stream uses it
