package salesforce

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"time"

	"google.golang.org/grpc"
)

// Defaults of Config.
const (
	DefaultEndpoint = "api.pubsub.salesforce.com:443"
	DefaultWindow   = 100
	DefaultMaxBatch = 1000
	DefaultWatchdog = 300 * time.Second
)

// Config is what a Source is made of.
type Config struct {
	// Auth logs in. Required. ClientCredentials and JWTBearer do.
	Auth Auth
	// Topic is what to follow. Required. "/data/OrderChangeEvent" is one object, "/data/Thing__ChangeEvent" a custom one,
	// "/data/ChangeEvents" all that are selected, "/data/Name__chn" a channel, "/event/Name__e" a platform event.
	Topic string
	// Endpoint is the service, as host:port. Empty means DefaultEndpoint; an org in Frankfurt may be nearer to
	// "api.deu.pubsub.salesforce.com:443".
	Endpoint string
	// Window is how many events are asked for at a time, 1 to 100. Less than 100 is for a consumer that the service found too slow. Zero
	// means DefaultWindow.
	Window int
	// MaxBatch bounds the events of one batch. Zero means DefaultMaxBatch.
	MaxBatch int
	// Watchdog is for how long a stream may say nothing before it counts as dead. The service speaks within 270 s, also when nothing
	// happens. Zero means DefaultWatchdog.
	Watchdog time.Duration
	// DialOptions come after the source's own, which are TLS with the system's roots and messages of up to 16 MiB. They are for
	// proxies and tests.
	DialOptions []grpc.DialOption
	// Logger is for what no caller sees, such as a replay id that the service doesn't know. Nil: slog.Default().
	Logger *slog.Logger
}

var topicName = regexp.MustCompile(`^/(data|event)/[A-Za-z][A-Za-z0-9_]{0,127}$`)

// withDefaults returns a filled copy, or everything that is wrong with c.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.Auth == nil {
		errs = append(errs, errors.New("salesforce: Config.Auth is required"))
	} else if a, ok := c.Auth.(interface{ check() error }); ok {
		errs = append(errs, a.check())
	}
	switch {
	case c.Topic == "":
		errs = append(errs, errors.New("salesforce: Config.Topic is required"))
	case !topicName.MatchString(c.Topic):
		errs = append(errs, fmt.Errorf(`salesforce: Config.Topic %q: want "/data/…" or "/event/…"`, c.Topic))
	}
	c.Endpoint = cmp.Or(c.Endpoint, DefaultEndpoint)
	if host, port, err := net.SplitHostPort(c.Endpoint); err != nil || host == "" || port == "" {
		errs = append(errs, fmt.Errorf(`salesforce: Config.Endpoint %q: want "host:port"`, c.Endpoint))
	}
	if c.Window < 0 || c.Window > DefaultWindow {
		errs = append(errs, fmt.Errorf("salesforce: Config.Window is %d; want 1 to %d, or 0 for %[2]d", c.Window, DefaultWindow))
	}
	if c.MaxBatch < 0 {
		errs = append(errs, errors.New("salesforce: Config.MaxBatch is negative"))
	}
	if c.Watchdog < 0 {
		errs = append(errs, errors.New("salesforce: Config.Watchdog is negative"))
	}
	c.Window = cmp.Or(c.Window, DefaultWindow)
	c.MaxBatch = cmp.Or(c.MaxBatch, DefaultMaxBatch)
	c.Watchdog = cmp.Or(c.Watchdog, DefaultWatchdog)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	c.DialOptions = append([]grpc.DialOption(nil), c.DialOptions...)
	return c, errors.Join(errs...)
}
