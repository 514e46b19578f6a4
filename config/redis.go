package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/foreign"
	"github.com/streamgate/streamgate/gateway/setting"
)

// Embedded is the redis.url that makes the gateway start its own Redis.
const Embedded = "embedded"

// RedisConfig is the Redis that holds all streams and state.
type RedisConfig struct {
	// URL is embedded (default: the gateway starts one), redis:// or rediss:// for a single server, unix:// for a
	// socket, redis+sentinel://HOST:PORT,.../MASTER, or redis+cluster://HOST:PORT,...
	URL string `mapstructure:"url"`
	// DataDir is where the embedded Redis keeps its data; default streamgate-data in the working directory.
	DataDir string `mapstructure:"dataDir"`
	// PasswordFile is a file with the password, as an alternative to a password in the URL; default none.
	PasswordFile string `mapstructure:"passwordFile"`
	// CAFile is a PEM file with the authorities that may sign the certificate of the server; default those of the
	// system. It needs a URL with rediss.
	CAFile string `mapstructure:"caFile"`
	// CertFile and KeyFile are PEM files with the certificate and the key that the gateway presents to the server;
	// default none. They need a URL with rediss, and each other.
	CertFile string `mapstructure:"certFile"`
	KeyFile  string `mapstructure:"keyFile"`
}

// NewRedisConfig returns the defaults.
func NewRedisConfig() RedisConfig { return RedisConfig{URL: Embedded, DataDir: "streamgate-data"} }

// Validate returns all problems. None of them contains a password. It reads the files that the configuration names.
func (c *RedisConfig) Validate() setting.Problems {
	var p setting.Problems
	if c.URL == Embedded {
		if c.DataDir == "" {
			p.Add("dataDir", "the embedded Redis has no data directory", "name one, like streamgate-data")
		}
		return p
	}
	o, err := c.address()
	var wrong *addressError
	switch {
	case errors.As(err, &wrong):
		p.Add("url", wrong.problem, wrong.remedy)
	case err != nil:
		p.Add("url", err.Error(), anyAddress)
	}
	if c.PasswordFile != "" {
		if _, err := readSecretFile(c.PasswordFile); err != nil {
			p.Add("passwordFile", err.Error(), "name a readable file that contains only the password")
		}
	}
	c.validateTLS(&p, o)
	return p
}

// ClientOptions returns the options of a client, with the password from its file. It reads that file, and must not be
// called for [Embedded]. Its errors never contain a password.
func (c *RedisConfig) ClientOptions() (*redis.UniversalOptions, error) {
	o, err := c.address()
	if err != nil {
		return nil, fmt.Errorf("redis.url: %w", err)
	}
	if c.PasswordFile != "" {
		if o.Password, err = readSecretFile(c.PasswordFile); err != nil {
			return nil, fmt.Errorf("redis.passwordFile: %w", err)
		}
	}
	if err := c.loadTLS(o); err != nil {
		return nil, err
	}
	return o, nil
}

// readSecretFile returns the secret in a file. Its errors contain nothing of it.
func readSecretFile(path string) (string, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return "", errors.New("the file cannot be read")
	}
	defer func() { _ = f.Close() }() // it was only read
	secret, err := foreign.ReadSecret(f)
	var known *foreign.Error
	if err != nil && !errors.As(err, &known) { // such as that it is a directory
		return "", errors.New("the file cannot be read")
	}
	return secret, err
}
