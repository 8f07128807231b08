package salesforce

import "time"

// unseenAfter is how long after a request was sent a response that doesn't count it shows that the service never will.
const unseenAfter = 10 * time.Second

// window counts the events that a subscription has asked for and not received. Nothing may be outstanding for 60 s at most, and 100 events at a
// time, so that it is filled up when half of it is gone.
type window struct {
	size   int
	asked  int       // by all requests
	got    int       // in all responses
	unseen []request // that no response has counted yet, oldest first: a few at most
}

// request is one for more events.
type request struct {
	upTo int // asked with it and all before it
	at   time.Time
}

func (w *window) outstanding() int { return w.asked - w.got }

// refill returns how many events to ask for now; 0: none. The caller does so.
func (w *window) refill(now time.Time) int {
	n := w.size - w.outstanding()
	if w.outstanding() > w.size/2 || n <= 0 {
		return 0
	}
	w.asked += n
	w.unseen = append(w.unseen, request{upTo: w.asked, at: now})
	return n
}

// received takes a response into account. pending is what the service says is outstanding. It goes by what it had seen when it
// sent the response, and its word alone, or with what was asked for since the last response, won't do:
//
//  1. the service sends two responses, in which 51 and 50 are outstanding
//  2. the first one arrives, and 50 more are asked for
//  3. the second one arrives, and says 50; 50 more are asked for: 150 in all, which the service may call an overflow
//
// Responses come in order, so that pending and what was received make up the requests that it had seen. Those that it hadn't are under way.
// One that it should have seen long ago is taken back: the stream would otherwise wait for events that nobody sends.
func (w *window) received(now time.Time, events, pending int) {
	w.got += events
	seen := w.got + max(0, pending)
	for len(w.unseen) > 0 && w.unseen[0].upTo <= seen {
		w.unseen = w.unseen[1:]
	}
	if len(w.unseen) > 0 && now.Sub(w.unseen[0].at) >= unseenAfter || w.asked < seen {
		w.asked, w.unseen = seen, nil
	}
}
