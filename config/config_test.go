package config_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/config"
	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stac"
)

var update = flag.Bool("update", false, "write the golden files")

type redisOptions = redis.UniversalOptions

// env is the environment of a test: nothing but what stands in it.
func env(pairs ...string) config.Options {
	return config.Options{Types: source.Types(), LookupEnv: func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}}
}

// TestCorpus: the good files of testdata load, and the bad ones give what stands beside them, word for word.
func TestCorpus(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(file, env("HOST", "redis.example.com", "EMPTY", "", "N", "262144"))
			if strings.HasSuffix(file, ".good.yaml") {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var wrong *config.Error
			if !errors.As(err, &wrong) {
				t.Fatalf("error %v, want findings", err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			got := strings.ReplaceAll(wrong.Error(), file, filepath.Base(file)) + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(filepath.Clean(golden))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
			for _, f := range wrong.Findings {
				if f.Problem == "" || f.Remedy == "" || f.Line == 0 {
					t.Errorf("a finding without problem, remedy or position: %+v", f)
				}
			}
		})
	}
}

// TestExampleHasEveryKey: config.example.yaml loads, and names each key that there is, and no other.
func TestExampleHasEveryKey(t *testing.T) {
	t.Parallel()
	const file = "../config.example.yaml"
	if _, err := config.Load(file, env()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"redis": true, "server": true, "admin": true, "streams": true, "sources": true, "subscriptions": true, "type": true}
	for _, value := range []any{
		config.RedisConfig{}, gateway.ServerConfig{}, gateway.AdminConfig{}, gateway.StreamConfig{}, gateway.SubscriptionConfig{},
	} {
		keysOf(reflect.TypeOf(value), known)
	}
	for _, sourceType := range source.Types() {
		keysOf(reflect.TypeOf(sourceType.NewConfig()).Elem(), known)
	}
	for key := range known {
		if !regexp.MustCompile(`(?m)(^|[\s{#-])` + key + `:`).Match(text) {
			t.Errorf("the example does not show the key %s", key)
		}
	}
}

func keysOf(t reflect.Type, keys map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		keysOf(t.Elem(), keys)
	case reflect.Struct:
		for i := range t.NumField() {
			if key := t.Field(i).Tag.Get("mapstructure"); key != "" && !keys[key] {
				keys[key] = true
				keysOf(t.Field(i).Type, keys)
			}
		}
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := config.Default(env())
	if err != nil {
		t.Fatal(err)
	}
	if c.Redis.URL != config.Embedded || c.Gateway.Server.Address != "127.0.0.1:8080" || c.Admin.Address != "127.0.0.1:8081" ||
		len(c.Gateway.Streams) != 1 || c.Gateway.Streams[0].Name != "events" {
		t.Errorf("%+v", c)
	}
}

// TestPrecedence: defaults, the variables of the origin and of Knative, the file, STREAMGATE_... variables.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	origin := []string{"STREAM", "S", "PRODUCER", "p", "REDIS_HOSTNAME", "redis", "REDIS_PORT", "7000", "PORT", "9000"}
	c, err := config.Parse("f", []byte("sources: [{ name: a, type: stac, stream: S, url: http://x, collections: [c] }]"), env(origin...))
	if err != nil {
		t.Fatal(err)
	}
	watch, ok := c.Gateway.Sources[0].Config.(*stac.Config)
	if !ok || watch.Event.Producer != "p" || c.Redis.URL != "redis://redis:7000" || c.Gateway.Server.Address != "127.0.0.1:9000" || c.Gateway.Streams[0].Name != "S" {
		t.Errorf("%+v %+v", c, watch)
	}
	file := "redis: { url: 'redis://file:1' }\nserver: { address: '127.0.0.1:1', shutdownTimeout: PT5S }\nstreams: [{ name: F }]\n" +
		"sources: [{ name: a, type: stac, stream: F, url: http://x, collections: [c], event: { producer: f } }]"
	c, err = config.Parse("f", []byte(file), env(origin...))
	if err != nil {
		t.Fatal(err)
	}
	watch, ok = c.Gateway.Sources[0].Config.(*stac.Config)
	if !ok || watch.Event.Producer != "f" || c.Redis.URL != "redis://file:1" || c.Gateway.Server.Address != "127.0.0.1:1" ||
		c.Gateway.Streams[0].Name != "F" || c.Gateway.Server.ShutdownTimeout.Std() != 5*time.Second {
		t.Errorf("%+v %+v", c, watch)
	}
	c, err = config.Parse("f", []byte(file), env(append(origin, "STREAMGATE_REDIS_URL", "redis://env:2", "STREAMGATE_SERVER_MAX_EVENT_BYTES", "200000",
		"STREAMGATE_SERVER_SHUTDOWN_TIMEOUT", "7s", "STREAMGATE_ADMIN_ALLOW_ANONYMOUS", "true", "STREAMGATE_ADMIN_ADDRESS", "0.0.0.0:1")...))
	if err != nil {
		t.Fatal(err)
	}
	if c.Redis.URL != "redis://env:2" || c.Gateway.Server.MaxEventBytes != 200_000 || c.Gateway.Server.ShutdownTimeout.Std() != 7*time.Second || !c.Admin.AllowAnonymous {
		t.Errorf("%+v", c)
	}
}

// TestBadVariables: a finding names the variable, not a place in the file.
func TestBadVariables(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ value, want string }{
		"STREAMGATE_SERVER_MAX_EVENT_BYTES":  {"many", `environment: STREAMGATE_SERVER_MAX_EVENT_BYTES: "many" is no value for server.maxEventBytes; set a whole number`},
		"STREAMGATE_SERVER_SHUTDOWN_TIMEOUT": {"5", `environment: STREAMGATE_SERVER_SHUTDOWN_TIMEOUT: "5" is no value for server.shutdownTimeout; set a duration like 30s`},
		"STREAMGATE_ADMIN_ALLOW_ANONYMOUS":   {"maybe", `set true or false`},
		"STREAMGATE_SERVER_ADDRESS":          {"0.0.0.0:1", `environment: STREAMGATE_SERVER_ADDRESS: "0.0.0.0:1" is not a loopback address`},
	} {
		_, err := config.Default(env(name, c.value))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if names := config.EnvNames(); len(names) != 10 || names[0] != "STREAMGATE_REDIS_URL" {
		t.Errorf("%v", names)
	}
}

func TestRedisAddresses(t *testing.T) {
	t.Parallel()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for address, check := range map[string]func(o *redisOptions) bool{
		"redis://user:pw@host:1/2": func(o *redisOptions) bool {
			return o.Addrs[0] == "host:1" && o.Username == "user" && o.Password == "pw" && o.DB == 2 && o.TLSConfig == nil
		},
		"rediss://host:1":         func(o *redisOptions) bool { return o.TLSConfig != nil },
		"unix:///run/redis.sock":  func(o *redisOptions) bool { return o.Addrs[0] == "/run/redis.sock" },
		"redis+cluster://a:1,b:2": func(o *redisOptions) bool { return len(o.Addrs) == 2 && o.IsClusterMode },
		"redis+sentinel://u:p%40@a:1,b:2/main/3": func(o *redisOptions) bool {
			return o.MasterName == "main" && o.DB == 3 && o.Password == "p@" && !o.IsClusterMode
		},
		"rediss+sentinel://a:1/main":               func(o *redisOptions) bool { return o.TLSConfig != nil && o.MasterName == "main" },
		"redis://host:1 with a password in a file": func(o *redisOptions) bool { return o.Password == "from-file" },
	} {
		c := config.RedisConfig{URL: strings.TrimSuffix(address, " with a password in a file")}
		if c.URL != address {
			c.PasswordFile = password
		}
		if problems := c.Validate(); len(problems) > 0 {
			t.Errorf("%s: %v", address, problems)
		}
		o, err := c.ClientOptions()
		if err != nil || !check(o) {
			t.Errorf("%s: %+v %v", address, o, err)
		}
	}
	for _, address := range []string{
		"http://x", "redis://:secret@host:port", "redis+sentinel://:secret@a:1", "redis+sentinel://:secret@a/m", "redis+cluster://:secret@a",
		"redis+sentinel://:secret@a:1/m/x", "redis+cluster://%zz:secret@a:1",
	} {
		c := config.RedisConfig{URL: address}
		problems := c.Validate()
		_, err := c.ClientOptions()
		if len(problems) != 1 || err == nil || strings.Contains(problems.Error()+err.Error(), "secret") {
			t.Errorf("%s: %v, %v", address, problems, err)
		}
	}
}

// FuzzParse: no input ends the program, and what is refused says where and why.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "../config.example.yaml") {
		text, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := config.Parse("fuzz", text, env())
		var wrong *config.Error
		if err != nil && (!errors.As(err, &wrong) || len(wrong.Findings) == 0) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
