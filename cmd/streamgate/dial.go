package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/streamgate/streamgate/config"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// redisFlags says which Redis a command works on.
type redisFlags struct{ url, file string }

func (f *redisFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.url, "redis", "", "address of Redis, as redis.url of a configuration; default is that of --config,\nelse the one of a gateway that runs here with its own Redis, else redis://127.0.0.1:6379")
	c.Flags().StringVarP(&f.file, "config", "c", "", "YAML file of the gateway")
}

// redisRemedy ends the message when Redis cannot be read.
const redisRemedy = "; is its Redis running? Name it with --redis, or run this where the gateway with an embedded one runs"

// dial returns a client; whoever called it closes it.
func (f *redisFlags) dial() (redis.UniversalClient, error) {
	target, err := f.target()
	if err != nil {
		return nil, err
	}
	options, err := target.ClientOptions()
	if err != nil {
		return nil, err
	}
	return redis.NewUniversalClient(redisstreams.ClientOptions(options)), nil
}

func (f *redisFlags) target() (*config.RedisConfig, error) {
	if f.url != "" {
		return &config.RedisConfig{URL: f.url}, nil
	}
	loaded, err := loadConfig(f.file)
	if err != nil {
		return nil, err
	}
	if loaded.Redis.URL != config.Embedded {
		return &loaded.Redis, nil
	}
	socket, err := filepath.Abs(filepath.Join(loaded.Redis.DataDir, "run", "redis.sock"))
	if err != nil {
		return nil, fmt.Errorf("find the embedded Redis: %w", err)
	}
	if _, err := os.Stat(socket); err == nil {
		return &config.RedisConfig{URL: "unix://" + socket}, nil
	}
	return &config.RedisConfig{URL: "redis://127.0.0.1:6379"}, nil
}

// withoutSecrets returns an address without user and query, which may hold secrets.
func withoutSecrets(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(unusable address)"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
