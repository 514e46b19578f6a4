package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/setting"
)

// Embedded is the redis.url of a Redis that the gateway starts itself.
const Embedded = "embedded"

// RedisConfig says which Redis holds everything.
type RedisConfig struct {
	// URL is embedded (default: the gateway starts one), redis:// or rediss:// for a single server, unix:// for a socket,
	// redis+sentinel://HOST:PORT,.../MASTER, or redis+cluster://HOST:PORT,...
	URL string `mapstructure:"url"`
	// DataDir is where the embedded Redis keeps its data; default streamgate-data.
	DataDir string `mapstructure:"dataDir"`
	// PasswordFile holds the password, instead of the URL.
	PasswordFile string `mapstructure:"passwordFile"`
}

// NewRedisConfig returns the defaults.
func NewRedisConfig() RedisConfig { return RedisConfig{URL: Embedded, DataDir: "streamgate-data"} }

// Validate returns everything that is wrong.
func (c *RedisConfig) Validate() setting.Problems {
	var p setting.Problems
	if c.URL == Embedded {
		if c.DataDir == "" {
			p.Add("dataDir", "the embedded Redis has no place for its data", "name a directory")
		}
		return p
	}
	if _, err := c.address(); err != nil {
		p.Add("url", err.Error(), "write embedded, redis://HOST:PORT, rediss://, unix:///PATH, redis+sentinel://HOST:PORT,.../MASTER or redis+cluster://HOST:PORT,...")
	}
	if c.PasswordFile != "" {
		if info, err := os.Stat(c.PasswordFile); err != nil || info.IsDir() {
			p.Add("passwordFile", "the file cannot be read", "name a file that holds the password and nothing else")
		}
	}
	return p
}

// ClientOptions returns what a client of a Redis that is not embedded needs, the password file read. Its errors never
// contain a password.
func (c *RedisConfig) ClientOptions() (*redis.UniversalOptions, error) {
	o, err := c.address()
	if err != nil {
		return nil, fmt.Errorf("redis.url: %w", err)
	}
	if c.PasswordFile != "" {
		password, err := os.ReadFile(filepath.Clean(c.PasswordFile))
		if err != nil {
			return nil, fmt.Errorf("redis.passwordFile: %w", err)
		}
		o.Password = strings.TrimRight(string(password), "\r\n")
	}
	return o, nil
}

func (c *RedisConfig) address() (*redis.UniversalOptions, error) {
	scheme, rest, _ := strings.Cut(c.URL, "://")
	switch scheme {
	case "redis", "rediss", "unix":
		return singleHost(c.URL)
	case "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster":
		o, err := severalHosts(rest, strings.HasSuffix(scheme, "sentinel"))
		if err == nil && strings.HasPrefix(scheme, "rediss") {
			o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		return o, err
	}
	return nil, errors.New("it begins with no scheme that is known")
}

// singleHost reads an address as go-redis does, without the settings of a client that it may carry: they would be lost.
func singleHost(address string) (*redis.UniversalOptions, error) {
	o, err := redis.ParseURL(address)
	if err != nil || o.DB < 0 {
		return nil, errors.New("it is no usable Redis address") // the cause may contain the password
	}
	_, query, _ := strings.Cut(address, "?")
	settings, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("what stands behind the ? is no query")
	}
	for name := range settings {
		if name != "db" && name != "skip_verify" {
			return nil, errors.New("behind the ? stands something else than db and skip_verify")
		}
	}
	return &redis.UniversalOptions{Addrs: []string{o.Addr}, Username: o.Username, Password: o.Password, DB: o.DB, TLSConfig: o.TLSConfig}, nil
}

// severalHosts reads [user:password@]host:port,host:port[/master[/db]]; net/url refuses more than one host.
func severalHosts(s string, sentinel bool) (*redis.UniversalOptions, error) {
	o := &redis.UniversalOptions{IsClusterMode: !sentinel}
	hosts, path, _ := strings.Cut(s, "/")
	if at := strings.LastIndexByte(hosts, '@'); at >= 0 {
		user, password, _ := strings.Cut(hosts[:at], ":")
		var userErr, passwordErr error
		o.Username, userErr = url.PathUnescape(user)
		o.Password, passwordErr = url.PathUnescape(password)
		if userErr != nil || passwordErr != nil {
			return nil, errors.New("the user or the password is not percent-encoded rightly")
		}
		hosts = hosts[at+1:]
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if _, port, err := net.SplitHostPort(host); err != nil || port == "" {
			return nil, errors.New("a host is not HOST:PORT")
		}
		o.Addrs = append(o.Addrs, host)
	}
	switch {
	case strings.Contains(path, "?"):
		return nil, errors.New("nothing can stand behind a ? here")
	case !sentinel && path != "":
		return nil, errors.New("a cluster has no numbered databases")
	case !sentinel:
		return o, nil
	}
	master, db, hasDB := strings.Cut(path, "/")
	if master == "" {
		return nil, errors.New("the name of the master is missing")
	}
	o.MasterName = master
	if hasDB {
		n, err := strconv.Atoi(db)
		if err != nil || n < 0 {
			return nil, errors.New("the number of the database is no number")
		}
		o.DB = n
	}
	return o, nil
}
