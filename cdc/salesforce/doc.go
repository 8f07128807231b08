// Package salesforce is a [cdc.Source] for Salesforce: it follows a topic of the Pub/Sub API, of change events or of platform
// events. No live org has been reached: it is tested against package salesforcetest.
//
// What holds:
//
//   - A batch's position is the replay id of its last event, or the latest one of a response without events. The service
//     is asked for what follows it, so that a batch whose position wasn't stored comes again.
//   - Where changes may be missing, because there is no position, or it means nothing to the org, the first batch is Lost. It
//     is returned when the service has answered, up to 270 s later: only then is it certain that the subscription has begun.
//   - What can't be read invalidates more, never less: an event that doesn't fit its schema is about its whole entity, and
//     an update whose list of fields can't be decoded may have changed any.
//   - The service is never told to stop by silence: as long as there is room for the events, more are asked for in time, and when there is
//     none, the subscription is ended, and begun again after the last event that was received.
//   - What is received and not yet taken is bounded: ten windows of events, and 16 MiB, and the last response.
//   - A stream that says nothing for Config.Watchdog has failed.
//
// What an org must be set up with, what it never delivers, and what is not proven, is in docs/cdc/salesforce.md.
package salesforce
