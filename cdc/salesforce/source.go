package salesforce

// Source follows one topic. Its methods may be called from any goroutine.
type Source struct {
	cfg Config
}

// NewSource checks cfg. It connects to nothing.
func NewSource(cfg Config) (*Source, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Source{cfg: cfg}, nil
}
