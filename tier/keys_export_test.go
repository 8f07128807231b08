package tier

// InL1 says whether L1 would answer a Get of id.
func InL1[V any](s *Space[V], id string) bool { return s.core.local(id) != nil }
