package main

import "slices"

// A rule is one that the protocol rests on, and that can be taken out of a world. Each world numbers its own; whole takes out none.
type rule uint8

const whole rule = 0

// A model is a small world: where it starts, and what can happen next. All that can happen does, in every order.
//
// A state is a comparable value that holds all that matters, and besides what an all-knowing observer needs to see a promise broken,
// such as the version that was acknowledged when a read began.
type model[S comparable] struct {
	name      string
	about     string
	start     S
	next      func(s S, off rule, to func(step string, t S)) // calls to for each step that s allows
	broken    func(s S) string                               // the promise that s breaks; "" for none
	stuck     func(s S) string                               // the promise that s breaks when nothing more can happen; nil for none
	mutations []mutation
	reaches   []string // steps that the whole world must take: without them its promises would be kept by doing nothing
}

// A mutation takes one rule out.
type mutation struct {
	off  rule
	name string
	rule string // what holds as long as it is in
}

// A result is what exploring found.
type result struct {
	states, transitions int
	broken              string   // a promise, or "" when all are kept
	trace               []string // the shortest way there
	steps               map[string]bool
}

// A world is a model of any state.
type world struct {
	name, about string
	mutations   []mutation
	reaches     []string
	explore     func(off rule) result
}

func (m model[S]) world() world {
	return world{name: m.name, about: m.about, mutations: m.mutations, reaches: m.reaches, explore: m.explore}
}

// search is a breadth-first search under way.
type search[S comparable] struct {
	seen   map[S]struct{}
	states []S     // in the order in which they were found
	parent []int32 // index into states of the one that each was found from
}

// explore visits every state that m can reach without the rule off, nearest first, or as far as the first broken promise.
func (m model[S]) explore(off rule) result {
	q := &search[S]{seen: make(map[S]struct{})}
	r := result{steps: make(map[string]bool)}
	q.add(m.start, -1)
	for i := 0; i < len(q.states); i++ {
		s := q.states[i]
		if r.broken = m.broken(s); r.broken == "" {
			moved := false
			m.next(s, off, func(step string, t S) {
				if t != s {
					moved = true
					r.transitions++
					r.steps[step] = true
					q.add(t, int32(i))
				}
			})
			if !moved && m.stuck != nil {
				r.broken = m.stuck(s)
			}
		}
		if r.broken != "" {
			r.trace = m.trace(q, off, i)
			break
		}
	}
	r.states = len(q.states)
	return r
}

func (q *search[S]) add(s S, parent int32) {
	if _, ok := q.seen[s]; ok {
		return
	}
	q.seen[s] = struct{}{}
	q.states = append(q.states, s)
	q.parent = append(q.parent, parent)
}

// trace names the steps from the start to a state. They were not stored: each is found again among those that its parent allows.
func (m model[S]) trace(q *search[S], off rule, i int) []string {
	var steps []string
	for ; q.parent[i] >= 0; i = int(q.parent[i]) {
		name := ""
		m.next(q.states[q.parent[i]], off, func(step string, t S) {
			if name == "" && t == q.states[i] {
				name = step
			}
		})
		steps = append(steps, name)
	}
	slices.Reverse(steps)
	return steps
}
