package salesforce_test

import (
	"crypto/rsa"
	"strings"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc/salesforce"
)

func TestNewSourceNamesWhatIsWrong(t *testing.T) {
	good := salesforce.Config{
		Auth:  salesforce.ClientCredentials{Domain: "https://shop.my.salesforce.com", ClientID: "id", ClientSecret: "secret"},
		Topic: "/data/OrderChangeEvent",
	}
	tests := []struct {
		name   string
		change func(*salesforce.Config)
		want   []string // of the error; nil: none
	}{
		{"good", func(*salesforce.Config) {}, nil},
		{"all objects", func(c *salesforce.Config) { c.Topic = "/data/ChangeEvents" }, nil},
		{"channel", func(c *salesforce.Config) { c.Topic = "/data/Sales__chn" }, nil},
		{"platform event", func(c *salesforce.Config) { c.Topic = "/event/Shipped__e" }, nil},
		{"plain http to loopback", func(c *salesforce.Config) {
			c.Auth = salesforce.ClientCredentials{Domain: "http://127.0.0.1:1234", ClientID: "id", ClientSecret: "s"}
		}, nil},
		{"everything", func(c *salesforce.Config) {
			*c = salesforce.Config{Endpoint: "host", Window: 101, MaxBatch: -1, Watchdog: -time.Second}
		}, []string{"Config.Auth", "Config.Topic", "Config.Endpoint", "Config.Window", "Config.MaxBatch", "Config.Watchdog"}},
		{"a topic with a space", func(c *salesforce.Config) { c.Topic = "/data/Order ChangeEvent" }, []string{"Config.Topic"}},
		{"an object for a topic", func(c *salesforce.Config) { c.Topic = "Order" }, []string{"Config.Topic"}},
		{"a negative window", func(c *salesforce.Config) { c.Window = -1 }, []string{"Config.Window"}},
		{"no credentials", func(c *salesforce.Config) { c.Auth = salesforce.ClientCredentials{} }, []string{
			"ClientCredentials.ClientID", "ClientCredentials.ClientSecret", "ClientCredentials.Domain",
		}},
		{"no key", func(c *salesforce.Config) { c.Auth = salesforce.JWTBearer{} }, []string{
			"JWTBearer.ClientID", "JWTBearer.Username", "JWTBearer.Key", "JWTBearer.Login",
		}},
		{"a login in the clear", func(c *salesforce.Config) {
			c.Auth = salesforce.JWTBearer{Login: "http://login.salesforce.com", ClientID: "id", Username: "u", Key: new(rsa.PrivateKey)}
		}, []string{"JWTBearer.Login", "https"}},
		{"a domain with a path", func(c *salesforce.Config) {
			c.Auth = salesforce.ClientCredentials{Domain: "https://shop.my.salesforce.com/services", ClientID: "id", ClientSecret: "s"}
		}, []string{"ClientCredentials.Domain"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good
			tt.change(&cfg)
			_, err := salesforce.NewSource(cfg)
			if (err != nil) != (tt.want != nil) {
				t.Fatalf("NewSource: %v; want an error: %v", err, tt.want != nil)
			}
			for _, name := range tt.want {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("error %q doesn't name %s", err, name)
				}
			}
		})
	}
}
