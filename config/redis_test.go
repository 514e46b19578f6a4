package config_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/config"
)

type redisOptions = redis.UniversalOptions

func TestRedisAddresses(t *testing.T) {
	t.Parallel()
	for address, check := range map[string]func(o *redisOptions) bool{
		"redis://user:pw@host:1/2": func(o *redisOptions) bool {
			return o.Addrs[0] == "host:1" && o.Username == "user" && o.Password == "pw" && o.DB == 2 &&
				o.TLSConfig == nil && !o.IsClusterMode
		},
		"redis://host": func(o *redisOptions) bool {
			return o.Addrs[0] == "host:6379" && o.Password == "" && o.DB == 0
		},
		"redis://:p%40@[::1]": func(o *redisOptions) bool {
			return o.Addrs[0] == "[::1]:6379" && o.Password == "p@" && o.Username == ""
		},
		"redis://host?db=3": func(o *redisOptions) bool { return o.DB == 3 },
		"rediss://host:1": func(o *redisOptions) bool {
			return o.TLSConfig != nil && !o.TLSConfig.InsecureSkipVerify
		},
		"rediss://host:1?skip_verify=true": func(o *redisOptions) bool {
			return o.TLSConfig != nil && o.TLSConfig.InsecureSkipVerify
		},
		"unix:///run/redis.sock": func(o *redisOptions) bool { return o.Addrs[0] == "/run/redis.sock" },
		"unix://u:pw@/run/redis.sock?db=2": func(o *redisOptions) bool {
			return o.Addrs[0] == "/run/redis.sock" && o.Password == "pw" && o.DB == 2
		},
		"redis+cluster://a:1,b:2": func(o *redisOptions) bool {
			return len(o.Addrs) == 2 && o.IsClusterMode && o.TLSConfig == nil
		},
		"redis+cluster://[::1]:1/": func(o *redisOptions) bool {
			return o.Addrs[0] == "[::1]:1" && o.IsClusterMode
		},
		"rediss+cluster://u:p@a:1": func(o *redisOptions) bool {
			return o.IsClusterMode && o.TLSConfig != nil && o.Username == "u" && o.Password == "p"
		},
		"redis+cluster://u:p%40ss@a:1": func(o *redisOptions) bool { return o.Password == "p@ss" && o.Addrs[0] == "a:1" },
		"redis://:p%23w%2F%3F%25@h":    func(o *redisOptions) bool { return o.Password == "p#w/?%" && o.Addrs[0] == "h:6379" },
		"redis://u:a:b@h:1":            func(o *redisOptions) bool { return o.Password == "a:b" && o.Username == "u" },
		"redis+sentinel://u:p%40:%2F@a:1,b:2/main/3": func(o *redisOptions) bool {
			return len(o.Addrs) == 2 && o.MasterName == "main" && o.DB == 3 && o.Username == "u" &&
				o.Password == "p@:/" && !o.IsClusterMode
		},
		"rediss+sentinel://a:1/main": func(o *redisOptions) bool {
			return o.TLSConfig != nil && o.MasterName == "main" && o.DB == 0
		},
	} {
		c := config.RedisConfig{URL: address}
		if problems := c.Validate(); len(problems) > 0 {
			t.Errorf("%s: %v", address, problems)
		}
		o, err := c.ClientOptions()
		if err != nil || !check(o) {
			t.Errorf("%s: %+v %v", address, o, err)
		}
	}
}

// TestBadRedisAddresses: neither the findings nor the errors contain the password.
func TestBadRedisAddresses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"", "host:6379", "http://:secret@x", "redis:/:secret@x", "redis://:secret@host:port", "redis://:secret@host/x",
		"redis://:secret@host/-1",
		"redis://%zz:secret@host", "redis://:secret@host/0?max_retries=5", "redis://:secret@host?nosuch=secret",
		"redis://host?db=1&password=secret",
		"redis+sentinel://:secret@a:1", "redis+sentinel://:secret@a/m", "redis+sentinel://:secret@a:1/m/x",
		"redis+sentinel://:secret@a:1/m/-1",
		"redis+sentinel://:secret@a:1/m?db=3", "redis+cluster://:secret@a", "redis+cluster://:secret@a:1,",
		"redis+cluster://%zz:secret@a:1",
		"redis+cluster://:%zzsecret@a:1", "redis+cluster://:secret@a:1/2", "redis+cluster://:secret@a:1/?max_retries=1",
		"redis+cluster://:sec/ret@a:1",
		"redis://:sec@ret#w/ord@127.0.0.1:6379", "redis://:sec#ret@127.0.0.1:6379", "redis://:secret%@127.0.0.1:6379",
		"redis://:sec/ret@127.0.0.1:6379", "redis://:sec?ret@127.0.0.1", "redis://:sec@ret@h", "redis+cluster://u:p@sec@a:1",
		"redis://:secret@h:70000", "redis://:secret@h:0", "redis+cluster://:secret@h:70000", "redis+sentinel://h:65536/secret",
		"redis://:secret@h1:1,h2:2", "redis://h1:1,h2:2", "redis://user@secret", "redis://user:@h", "redis://:@h", "redis://@h",
		"redis://user:secret", "redis://secret#@h", "redis://:sec ret@h", "redis://:secret@h ", "redis://:secret@h/1/2",
		"redis://:secret@h?skip_verify=true", "redis://::1:6379", "redis+tls://h:1", "redis+://h:1", "unix://secret", "unix://:secret@sock",
		"redis://:secret@h[1]:2", "redis://:secret@[h]:1",
	} {
		c := config.RedisConfig{URL: address}
		problems := c.Validate()
		_, err := c.ClientOptions()
		if len(problems) != 1 || err == nil || strings.Contains(problems.Error()+err.Error(), "sec") {
			t.Errorf("%s: %v, %v", address, problems, err)
		}
		if _, err := config.Parse("f", []byte("redis: { url: '"+address+"' }"), env()); err == nil ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%s in a file: %v", address, err)
		}
	}
}

func TestPasswordFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"plain": "pass word", "line": "pass word\n",
		"windows": "pass word\r\n", "lines": "pass word\n\n",
		"blank": " pass word ", "mark": "\ufeffpass word\n"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c := config.RedisConfig{URL: "redis://user:other@host:1", PasswordFile: file}
		o, err := c.ClientOptions()
		if problems := c.Validate(); len(problems) > 0 || err != nil || o.Password != "pass word" ||
			o.Username != "user" {
			t.Errorf("%s: %+v, %v, %v", name, o, err, problems)
		}
	}
	for name, content := range map[string]string{"empty": "", "blanks": " \n", "two": "hidden\nhidden\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{filepath.Join(dir, "nosuch"), dir, filepath.Join(dir, "empty"),
		filepath.Join(dir, "blanks"), filepath.Join(dir, "two")} {
		c := config.RedisConfig{URL: "redis://:secret@host:1", PasswordFile: file}
		problems := c.Validate()
		if _, err := c.ClientOptions(); err == nil || len(problems) != 1 || problems[0].Path != "passwordFile" ||
			strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), ":secret") {
			t.Errorf("%s: %v, %v", file, problems, err)
		}
	}
}

// TestOriginPassword: REDIS_PASSWORD belongs to REDIS_HOSTNAME.
func TestOriginPassword(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("f", nil, env("REDIS_HOSTNAME", "h", "REDIS_PASSWORD", "p@s#s/%?"))
	if err != nil {
		t.Fatal(err)
	}
	if o, err := c.Redis.ClientOptions(); err != nil || o.Password != "p@s#s/%?" || o.Addrs[0] != "h:6379" {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestRedisTLSFiles: the files are read, belong to rediss, and a key to its certificate.
func TestRedisTLSFiles(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	dir := t.TempDir()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	certFile, keyFile := write("cert", "CERTIFICATE", pair.Certificate[0]), write("key", "PRIVATE KEY", key)
	good := config.RedisConfig{URL: "rediss://h:1", CAFile: certFile, CertFile: certFile, KeyFile: keyFile}
	o, err := good.ClientOptions()
	if problems := good.Validate(); err != nil || len(problems) > 0 || o.TLSConfig.RootCAs == nil ||
		len(o.TLSConfig.Certificates) != 1 {
		t.Errorf("%v, %v", problems, err)
	}
	for path, c := range map[string]config.RedisConfig{
		"caFile":   {URL: "redis://h:1", CAFile: certFile},
		"certFile": {URL: "rediss+cluster://h:1", CertFile: certFile},
		"keyFile":  {URL: "rediss://h:1", KeyFile: keyFile},
	} {
		if problems := c.Validate(); len(problems) != 1 || problems[0].Path != path {
			t.Errorf("%s: %v", path, problems)
		}
		if _, err := c.ClientOptions(); err == nil {
			t.Errorf("%s: options without an error", path)
		}
	}
	wrong := config.RedisConfig{URL: "rediss://h:1", CAFile: keyFile, CertFile: keyFile, KeyFile: certFile}
	if problems := wrong.Validate(); len(problems) != 2 {
		t.Errorf("%v", problems)
	}
}

func TestEmbeddedNeedsADataDirectory(t *testing.T) {
	t.Parallel()
	c := config.RedisConfig{URL: config.Embedded}
	if problems := c.Validate(); len(problems) != 1 || problems[0].Path != "dataDir" {
		t.Errorf("%v", problems)
	}
}
