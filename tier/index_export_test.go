package tier

// SetNoteQueue makes the queue of notes shorter.
func SetNoteQueue(c *Cache, tags int) {
	c.noter.mu.Lock()
	defer c.noter.mu.Unlock()
	c.noter.capacity = tags
}

// NotesWaiting is how many entries wait to be noted in an index.
func NotesWaiting(c *Cache) int {
	c.noter.mu.Lock()
	defer c.noter.mu.Unlock()
	return len(c.noter.waiting)
}
