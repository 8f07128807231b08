package bus

import (
	"sync"
	"time"
)

// A Trouble is something that has failed since a while. The zero value is none.
type Trouble struct {
	Err   error     // the last one
	Since time.Time // of the first
}

// Trouble returns why there is no subscription, and why the head of the journal can't be read.
func (b *Bus) Trouble() (subscription, head Trouble) {
	return b.subscription.get(), b.head.get()
}

// A trouble is a Trouble in the making.
type trouble struct {
	mu sync.Mutex // guards t
	t  Trouble
}

func (t *trouble) get() Trouble {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.t
}

// note takes an outcome; nil ends the trouble.
func (t *trouble) note(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.t = Trouble{}
	case t.t.Err == nil:
		t.t = Trouble{Err: err, Since: time.Now()}
	default:
		t.t.Err = err
	}
}
