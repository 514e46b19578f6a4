package ingress

import (
	"fmt"
	"time"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/webhook"
)

// Config is the listener for events.
type Config struct {
	// Address is host:port to listen on; default 127.0.0.1:8080. Port 0 takes a free one.
	Address string `mapstructure:"address"`
	// AllowAnonymous permits an address other than loopback, where anyone who can reach it can publish; default false.
	AllowAnonymous bool `mapstructure:"allowAnonymous"`
	// MaxEventBytes is the size of the largest event that is accepted; default 1 MiB.
	MaxEventBytes int `mapstructure:"maxEventBytes"`
	// MaxBatchBytes is the size of the largest batch that is accepted; default 8 MiB.
	MaxBatchBytes int `mapstructure:"maxBatchBytes"`
	// MaxConnections is how many connections there may be at once; default 10000. At this number the slowest one makes
	// room for a new one.
	MaxConnections int `mapstructure:"maxConnections"`
	// MaxConnectionsPerAddress is how many of them may come from one IPv4 address or from one IPv6 network of 64 bits;
	// default 5000, 0 is any number. All clients behind a proxy come from its address.
	MaxConnectionsPerAddress int `mapstructure:"maxConnectionsPerAddress"`
	// ShutdownTimeout is how long deliveries in work may take to finish when the gateway stops; default 20s.
	ShutdownTimeout setting.Duration `mapstructure:"shutdownTimeout"`
	// WebHook is the handshake with senders that want to be asked for it.
	WebHook webhook.ReceiverConfig `mapstructure:"webHook"`
}

// NewConfig returns the defaults.
func NewConfig() Config {
	return Config{
		Address: "127.0.0.1:8080", MaxEventBytes: 1 << 20, MaxBatchBytes: 8 << 20,
		MaxConnections: 10_000, MaxConnectionsPerAddress: 5_000,
		ShutdownTimeout: setting.Duration(20 * time.Second),
	}
}

// minEventBytes: an intermediary must forward events of 64 KiB (CloudEvents specification, size limits), also where
// they have grown by base64.
const minEventBytes = 128 << 10

// Validate returns everything that is wrong.
func (c *Config) Validate() setting.Problems {
	var p setting.Problems
	if problem := setting.CheckAddress(c.Address, c.AllowAnonymous, "publish"); problem != nil {
		p = append(p, *problem)
	}
	if c.MaxEventBytes < minEventBytes {
		p.Add("maxEventBytes", fmt.Sprintf("%d is less than %d, which every intermediary must forward", c.MaxEventBytes, minEventBytes),
			fmt.Sprintf("set %d or more", minEventBytes))
	}
	if c.MaxBatchBytes < c.MaxEventBytes {
		p.Add("maxBatchBytes", fmt.Sprintf("%d is less than maxEventBytes (%d)", c.MaxBatchBytes, c.MaxEventBytes), "make it at least as large")
	}
	if c.MaxConnections < 1 {
		p.Add("maxConnections", fmt.Sprintf("%d is less than 1", c.MaxConnections), "set a number like 10000")
	}
	if c.MaxConnectionsPerAddress < 0 || c.MaxConnectionsPerAddress > c.MaxConnections {
		p.Add("maxConnectionsPerAddress", fmt.Sprintf("%d is not between 0 and maxConnections (%d)", c.MaxConnectionsPerAddress, c.MaxConnections),
			"set a number like half of maxConnections, or 0 for any")
	}
	p.AddAll("webHook", c.WebHook.Validate())
	if c.ShutdownTimeout <= 0 {
		p.Add("shutdownTimeout", fmt.Sprintf("%s is not positive", c.ShutdownTimeout), "set a time like 20s")
	}
	return p
}
