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

// Embedded is the redis.url that makes the gateway start its own Redis.
const Embedded = "embedded"

// RedisConfig is the Redis that holds all streams and state.
type RedisConfig struct {
	// URL is embedded (default: the gateway starts one), redis:// or rediss:// for a single server, unix:// for a
	// socket, redis+sentinel://HOST:PORT,.../MASTER, or redis+cluster://HOST:PORT,...
	URL string `mapstructure:"url"`
	// DataDir is where the embedded Redis keeps its data; default streamgate-data.
	DataDir string `mapstructure:"dataDir"`
	// PasswordFile is a file with the password, as an alternative to a password in the URL; default none.
	PasswordFile string `mapstructure:"passwordFile"`
}

// NewRedisConfig returns the defaults.
func NewRedisConfig() RedisConfig { return RedisConfig{URL: Embedded, DataDir: "streamgate-data"} }

// Validate returns all problems. None of them contains a password.
func (c *RedisConfig) Validate() setting.Problems {
	var p setting.Problems
	if c.URL == Embedded {
		if c.DataDir == "" {
			p.Add("dataDir", "the embedded Redis has no data directory", "name one, like streamgate-data")
		}
		return p
	}
	if _, err := c.address(); err != nil {
		p.Add("url", err.Error(), "write embedded, redis://HOST:PORT, rediss://, unix:///PATH, "+
			"redis+sentinel://HOST:PORT,.../MASTER or redis+cluster://HOST:PORT,...")
	}
	if c.PasswordFile != "" {
		if info, err := os.Stat(c.PasswordFile); err != nil || info.IsDir() {
			p.Add("passwordFile", "the file cannot be read", "name a readable file that contains only the password")
		}
	}
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
	return nil, errors.New("the URL has no known scheme")
}

// singleHost parses the URL of one server as go-redis does. It refuses further settings of the client in the query,
// because they have no place in UniversalOptions and would be lost.
func singleHost(address string) (*redis.UniversalOptions, error) {
	o, err := redis.ParseURL(address)
	if err != nil || o.DB < 0 {
		return nil, errors.New("not a valid Redis address") // the cause may contain the password
	}
	_, query, _ := strings.Cut(address, "?")
	settings, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("the query after ? is not valid")
	}
	for name := range settings {
		if name != "db" && name != "skip_verify" {
			return nil, errors.New("the query after ? has parameters other than db and skip_verify")
		}
	}
	return &redis.UniversalOptions{Addrs: []string{o.Addr}, Username: o.Username, Password: o.Password, DB: o.DB,
		TLSConfig: o.TLSConfig}, nil
}

// severalHosts parses [user:password@]host:port,host:port[/master[/db]], because net/url refuses more than one host.
func severalHosts(s string, sentinel bool) (*redis.UniversalOptions, error) {
	o := &redis.UniversalOptions{IsClusterMode: !sentinel}
	hosts, path, _ := strings.Cut(s, "/")
	if at := strings.LastIndexByte(hosts, '@'); at >= 0 {
		user, password, _ := strings.Cut(hosts[:at], ":")
		var userErr, passwordErr error
		o.Username, userErr = url.PathUnescape(user)
		o.Password, passwordErr = url.PathUnescape(password)
		if userErr != nil || passwordErr != nil {
			return nil, errors.New("the user or the password is not correctly percent-encoded")
		}
		hosts = hosts[at+1:]
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if _, port, err := net.SplitHostPort(host); err != nil || port == "" {
			return nil, errors.New("a host is not of the form HOST:PORT")
		}
		o.Addrs = append(o.Addrs, host)
	}
	switch {
	case strings.Contains(path, "?"):
		return nil, errors.New("this scheme does not support a query after ?")
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
			return nil, errors.New("the database is not a number")
		}
		o.DB = n
	}
	return o, nil
}
