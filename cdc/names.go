package cdc

// maxReused bounds the index that a nameSet keeps from one batch to the next.
const maxReused = 1 << 16

// nameSet is a list without repetitions.
type nameSet struct {
	list []string
	has  map[string]struct{} // what is in list
	buf  []byte              // the name that is being made
}

// reset begins a new list. The old one is left to whoever has it; index and buffer are used again.
func (s *nameSet) reset() {
	s.list = nil
	if len(s.has) > maxReused {
		s.has = nil
	}
	clear(s.has)
}

func (s *nameSet) add(names []string) {
	for _, name := range names {
		s.addOne(name)
	}
}

func (s *nameSet) addOne(name string) {
	if _, ok := s.has[name]; !ok {
		s.append(name)
	}
}

// addBytes adds a name; only one that is new costs an allocation.
func (s *nameSet) addBytes(name []byte) {
	if _, ok := s.has[string(name)]; !ok {
		s.append(string(name))
	}
}

func (s *nameSet) append(name string) {
	if s.has == nil {
		s.has = make(map[string]struct{})
	}
	s.has[name] = struct{}{}
	s.list = append(s.list, name)
}

// truncate removes what was added after the list had n names.
func (s *nameSet) truncate(n int) {
	for _, name := range s.list[n:] {
		delete(s.has, name)
	}
	s.list = s.list[:n]
}
