package postgres

import (
	"context"
	"errors"

	"github.com/tandem-cache/tandem/cdc"
)

// Source follows one slot. Its methods may be called from any goroutine.
type Source struct {
	cfg Config
}

var _ cdc.Source = (*Source)(nil)

// NewSource checks cfg. It connects to nothing.
func NewSource(cfg Config) (*Source, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Source{cfg: cfg}, nil
}

// Open implements cdc.Source.
func (s *Source) Open(ctx context.Context, from string) (cdc.Stream, error) {
	return nil, errors.New("postgres: not written yet")
}

// Check reports everything that keeps the source from being opened, each with
// what to do about it. It changes nothing.
func (s *Source) Check(ctx context.Context) error {
	return errors.New("postgres: not written yet")
}

// DropSlot drops the slot, so that the server no longer retains its log. That it
// doesn't exist is no error.
func (s *Source) DropSlot(ctx context.Context) error {
	return errors.New("postgres: not written yet")
}
