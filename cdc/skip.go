package cdc

// Skipper is a Stream that can leave out events which the follower has no use for: after a collapse, the rest of an entity's rows in a big
// transaction. The follower looks for it once, when the stream is open.
type Skipper interface {
	// Skip says that the follower needs no more events of entity in the transaction of the batch that Next returned last, which has
	// Transaction: all of the entity is about to be outdated. It is called from the goroutine of Next. It is a hint; events that were read
	// before may still come. It ends with the transaction, whose end moves the position as ever.
	Skip(transaction, entity string)
}
