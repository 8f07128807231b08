package salesforce_test

import (
	"encoding/json"
	"testing"

	"go.uber.org/goleak"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/cdctest"
)

func TestMain(m *testing.M) {
	cdctest.Child(func(config string) (cdc.Source, error) {
		var cfg suiteConfig
		if err := json.Unmarshal([]byte(config), &cfg); err != nil {
			return nil, err
		}
		return cfg.source()
	})
	goleak.VerifyTestMain(m)
}
