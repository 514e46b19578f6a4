package admin

import (
	"fmt"

	"github.com/streamgate/streamgate/gateway/guard"
	"github.com/streamgate/streamgate/gateway/setting"
)

// Config configures the operators' listener.
type Config struct {
	// Address is the host:port to listen on; default 127.0.0.1:8081. Port 0 takes a free port.
	Address string `mapstructure:"address"`
	// AllowAnonymous permits an address that is not loopback; default false.
	AllowAnonymous bool `mapstructure:"allowAnonymous"`
	// AllowSinks lists the non-public hosts to which subscriptions of the API may deliver: host names, patterns like
	// *.svc.cluster.local, addresses and networks; default none. See [guard.New].
	AllowSinks []string `mapstructure:"allowSinks"`
}

// NewConfig returns the defaults.
func NewConfig() Config { return Config{Address: "127.0.0.1:8081"} }

// Validate returns all problems; none if the configuration is valid.
func (c *Config) Validate() setting.Problems {
	var p setting.Problems
	if problem := setting.CheckAddress(c.Address, c.AllowAnonymous, "operate the gateway"); problem != nil {
		p = append(p, *problem)
	}
	for i, one := range c.AllowSinks {
		if _, err := guard.New([]string{one}); err != nil {
			p.Add(fmt.Sprintf("allowSinks[%d]", i), err.Error(),
				"write one like localhost, *.svc.cluster.local, 10.1.2.3 or 10.0.0.0/8")
		}
	}
	return p
}
