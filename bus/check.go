package bus

import (
	"context"
	"errors"
	"fmt"
)

// Check tries whether messages can be published on the bus's channel, by a notice that means nothing, and whether it can be subscribed to. Its
// error joins what can't, each with its remedy.
func (b *Bus) Check(ctx context.Context) error {
	remedy := fmt.Sprintf("the user needs the command and the channel: ACL SETUSER … +publish +subscribe &%s", b.key(""))
	var errs []error
	if err := b.Notify(ctx, Message{Kind: Filled}); err != nil {
		errs = append(errs, fmt.Errorf("bus: PUBLISH on %s: %w: %s", b.key(""), err, remedy))
	}
	sub := b.cfg.Client.Subscribe(ctx, b.key(""))
	defer func() { _ = sub.Close() }()
	if _, err := sub.Receive(ctx); err != nil {
		errs = append(errs, fmt.Errorf("bus: SUBSCRIBE to %s: %w: %s", b.key(""), err, remedy))
	}
	return errors.Join(errs...)
}
