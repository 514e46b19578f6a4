package config_test

import (
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
		"redis+cluster://u:p@ss@a:1": func(o *redisOptions) bool { return o.Password == "p@ss" && o.Addrs[0] == "a:1" },
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
		"windows": "pass word\r\n", "lines": "pass word\n\n"} {
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
	for _, file := range []string{filepath.Join(dir, "nosuch"), dir} {
		c := config.RedisConfig{URL: "redis://:secret@host:1", PasswordFile: file}
		problems := c.Validate()
		if _, err := c.ClientOptions(); err == nil || len(problems) != 1 || problems[0].Path != "passwordFile" ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, %v", file, problems, err)
		}
	}
}

func TestEmbeddedNeedsADataDirectory(t *testing.T) {
	t.Parallel()
	c := config.RedisConfig{URL: config.Embedded}
	if problems := c.Validate(); len(problems) != 1 || problems[0].Path != "dataDir" {
		t.Errorf("%v", problems)
	}
}
