package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/streamgate/streamgate/config"
	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// redisFlags says which Redis a command works on; see [redisFlags.target] for the order of precedence.
type redisFlags struct{ url, file string }

func (f *redisFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.url, "redis", "", "`URL` of Redis, in the form of redis.url; by default that of --config, "+
		"else the\n"+
		"embedded Redis of a gateway that runs in this directory, else redis://127.0.0.1:6379")
	c.Flags().StringVarP(&f.file, "config", "c", "", "configuration `FILE` of the gateway")
}

// redisRemedy ends the message of an error of Redis.
const redisRemedy = "; is its Redis running? Name it with --redis, or run the command in the directory of the " +
	"gateway " +
	"if its Redis is embedded"

// withRedisRemedy adds to an error of Redis what to do about it: if Redis has answered, it is running.
func withRedisRemedy(err error) error {
	if text, isPermanent := gateway.DescribeRedis(err); isPermanent {
		return errors.New(text)
	}
	if redisstreams.IsReply(err) {
		return err
	}
	return fmt.Errorf("%w%s", err, redisRemedy)
}

// dial returns a client, which the caller must close. It does no I/O with Redis.
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

// target returns the Redis to use: --redis, else the one of the configuration, else the socket of an embedded Redis
// that runs in this directory, else the default port.
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

// withoutSecrets returns an address without its user, query and fragment, which may hold secrets.
func withoutSecrets(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(invalid address)"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
