package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgate/streamgate/config"
	"github.com/streamgate/streamgate/gateway/source/stac"
)

// originVariables are the variables of the original notebook and of Knative.
func originVariables() []string {
	return []string{"STREAM", "S", "PRODUCER", "p", "REDIS_HOSTNAME", "redis", "REDIS_PORT", "7000", "PORT", "9000"}
}

// settings are the values that variables can set.
type settings struct {
	Redis, Address, Admin, Stream, Producer, Shutdown string
	MaxEventBytes                                     int
	Anonymous                                         bool
}

func settingsOf(c *config.Config) settings {
	s := settings{
		Redis: c.Redis.URL, Address: c.Gateway.Server.Address, Admin: c.Admin.Address,
		Stream:   c.Gateway.Streams[0].Name,
		Shutdown: c.Gateway.Server.ShutdownTimeout.String(), MaxEventBytes: c.Gateway.Server.MaxEventBytes,
		Anonymous: c.Admin.AllowAnonymous,
	}
	if watch, ok := c.Gateway.Sources[0].Config.(*stac.Config); ok {
		s.Producer = watch.Event.Producer
	}
	return s
}

// TestPrecedence: the defaults, then the variables of the origin and of Knative, then the file, then STREAMGATE_...
// variables.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	const (
		source = "sources: [{ name: a, type: stac, stream: %, url: http://x, collections: [c] }]"
		file   = "redis: { url: 'redis://file:1' }\nadmin: { address: '127.0.0.1:2' }\nstreams: [{ name: F }]\n" +
			"server: { address: '127.0.0.1:1', shutdownTimeout: PT5S, maxEventBytes: 300000 }\n" +
			"sources: [{ name: a, type: stac, stream: F, url: http://x, collections: [c], event: { producer: f } }]"
	)
	own := []string{
		"STREAMGATE_REDIS_URL", "redis://env:2", "STREAMGATE_SERVER_MAX_EVENT_BYTES", "200000",
		"STREAMGATE_SERVER_SHUTDOWN_TIMEOUT", "7s",
		"STREAMGATE_ADMIN_ALLOW_ANONYMOUS", "true", "STREAMGATE_ADMIN_ADDRESS", "0.0.0.0:1",
		"STREAMGATE_SERVER_ADDRESS", "[::1]:3",
	}
	defaults := settings{"embedded", "127.0.0.1:8080", "127.0.0.1:8081", "events", "streamgate", "20s", 1 << 20, false}
	inFile := settings{"redis://file:1", "127.0.0.1:1", "127.0.0.1:2", "F", "f", "5s", 300_000, false}
	for name, c := range map[string]struct {
		file      string
		variables []string
		want      settings
	}{
		"defaults": {strings.Replace(source, "%", "events", 1), nil, defaults},
		"empty variables count as not set": {
			strings.Replace(source, "%", "events", 1),
			[]string{"STREAM", "", "PRODUCER", "", "REDIS_HOSTNAME", "", "REDIS_PORT", "7", "PORT", "",
				"STREAMGATE_SERVER_ADDRESS", ""}, defaults,
		},
		"origin": {
			strings.Replace(source, "%", "S", 1), originVariables(),
			settings{"redis://redis:7000", "127.0.0.1:9000", "127.0.0.1:8081", "S", "p", "20s", 1 << 20, false},
		},
		"a host of IPv6, no port": {
			strings.Replace(source, "%", "events", 1), []string{"REDIS_HOSTNAME", "::1"},
			settings{"redis://[::1]:6379", "127.0.0.1:8080", "127.0.0.1:8081", "events", "streamgate", "20s", 1 << 20,
				false},
		},
		"file":             {file, nil, inFile},
		"file over origin": {file, originVariables(), inFile},
		"unused variables are not checked": {
			file, []string{"REDIS_HOSTNAME", "a b", "REDIS_PORT", "tcp://10.0.0.1:6379", "PORT", "x", "STREAM",
				"streamgate:x"}, inFile,
		},
		"variables over the file": {
			file, append(originVariables(), own...),
			settings{"redis://env:2", "[::1]:3", "0.0.0.0:1", "F", "f", "7s", 200_000, true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := config.Parse("f", []byte(c.file), env(c.variables...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, settingsOf(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestBadVariables: a finding names the variable, not a place in the file.
func TestBadVariables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ variables, name, want string }{
		{"STREAMGATE_SERVER_MAX_EVENT_BYTES=many", "STREAMGATE_SERVER_MAX_EVENT_BYTES",
			`"many" is not a valid value of server.maxEventBytes; set a whole number`},
		{"STREAMGATE_SERVER_MAX_BATCH_BYTES=99999999999999999999", "STREAMGATE_SERVER_MAX_BATCH_BYTES",
			`"99999999999999999999" is not a valid value of server.maxBatchBytes; set a whole number`},
		{"STREAMGATE_SERVER_MAX_EVENT_BYTES=5", "STREAMGATE_SERVER_MAX_EVENT_BYTES",
			`5 is less than 131072, which every intermediary must forward; set 131072 or more`},
		{"STREAMGATE_SERVER_SHUTDOWN_TIMEOUT=5", "STREAMGATE_SERVER_SHUTDOWN_TIMEOUT",
			`"5" is not a valid value of server.shutdownTimeout; set a duration like 30s`},
		{"STREAMGATE_ADMIN_ALLOW_ANONYMOUS=maybe", "STREAMGATE_ADMIN_ALLOW_ANONYMOUS",
			`"maybe" is not a valid value of admin.allowAnonymous; set true or false`},
		{"STREAMGATE_SERVER_ADDRESS=0.0.0.0:1", "STREAMGATE_SERVER_ADDRESS",
			`"0.0.0.0:1" is not a loopback address`},
		{"PORT=http", "PORT",
			`"http" is not a valid port; set a number from 0 to 65535`},
		{"REDIS_HOSTNAME=redis REDIS_PORT=tcp://10.0.0.1:6379", "REDIS_PORT",
			`"tcp://10.0.0.1:6379" is not a valid port; set a number from 0 to 65535`},
		{"REDIS_HOSTNAME=redis://:secret@x", "REDIS_HOSTNAME",
			`not a valid host name; set only the name, like redis, or set STREAMGATE_REDIS_URL`},
		{"REDIS_HOSTNAME=a%b", "REDIS_HOSTNAME",
			`not a valid Redis address`},
		{"STREAM=streamgate:x", "STREAM",
			`"streamgate:x" begins with streamgate:, which the gateway keeps for itself; choose another name`},
		{"STREAMGATE_REDIS_URL=http://:secret@x", "STREAMGATE_REDIS_URL",
			`the URL has no known scheme`},
	} {
		t.Run(c.variables, func(t *testing.T) {
			t.Parallel()
			var pairs []string
			for pair := range strings.FieldsSeq(c.variables) {
				name, value, _ := strings.Cut(pair, "=")
				pairs = append(pairs, name, value)
			}
			_, err := config.Default(env(pairs...))
			want := "environment: " + c.name + ": " + c.want
			if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v\nwant %s", err, want)
			}
		})
	}
}

// TestAllFindingsInOrder: findings about variables are in the order of the keys, and come together with those about the
// file, even if a variable overrides a value of the file that is wrong itself.
func TestAllFindingsInOrder(t *testing.T) {
	t.Parallel()
	want := []string{
		"STREAMGATE_SERVER_MAX_EVENT_BYTES", "STREAMGATE_SERVER_MAX_BATCH_BYTES", "STREAMGATE_SERVER_SHUTDOWN_TIMEOUT",
		"STREAMGATE_ADMIN_ALLOW_ANONYMOUS", "STREAMGATE_SERVER_ADDRESS", "server.address", "streams[0].contentMode",
	}
	for range 20 { // repeated, because the order of a map would differ between runs
		_, err := config.Parse("file", []byte("server: { address: 5 }\nstreams: [{ name: S, contentMode: x }]"), env(
			"STREAMGATE_ADMIN_ALLOW_ANONYMOUS", "x", "STREAMGATE_SERVER_ADDRESS", "x",
			"STREAMGATE_SERVER_SHUTDOWN_TIMEOUT", "x",
			"STREAMGATE_SERVER_MAX_BATCH_BYTES", "x", "STREAMGATE_SERVER_MAX_EVENT_BYTES", "x"))
		var wrong *config.Error
		if !errors.As(err, &wrong) {
			t.Fatal(err)
		}
		var got []string
		for _, f := range wrong.Findings {
			got = append(got, f.Key)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestEnvNames(t *testing.T) {
	t.Parallel()
	want := []string{
		"STREAMGATE_REDIS_URL", "STREAMGATE_REDIS_DATA_DIR", "STREAMGATE_REDIS_PASSWORD_FILE",
		"STREAMGATE_REDIS_CA_FILE", "STREAMGATE_REDIS_CERT_FILE", "STREAMGATE_REDIS_KEY_FILE",
		"STREAMGATE_SERVER_ADDRESS", "STREAMGATE_SERVER_ALLOW_ANONYMOUS", "STREAMGATE_SERVER_MAX_EVENT_BYTES",
		"STREAMGATE_SERVER_MAX_BATCH_BYTES", "STREAMGATE_SERVER_MAX_CONNECTIONS",
		"STREAMGATE_SERVER_MAX_CONNECTIONS_PER_ADDRESS", "STREAMGATE_SERVER_SHUTDOWN_TIMEOUT",
		"STREAMGATE_ADMIN_ADDRESS", "STREAMGATE_ADMIN_ALLOW_ANONYMOUS", "STREAMGATE_ADMIN_ALLOW_SINKS",
	}
	if diff := cmp.Diff(want, config.EnvNames()); diff != "" {
		t.Error(diff)
	}
}

// TestExpansion: the values that variables in a file expand to.
func TestExpansion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain": "plain", "${A}": "a", "x${A}y${A}": "xaya", "$$": "$", "$${A}": "${A}", "${NO:-d}": "d", "${NO:-}": "",
		"${EMPTY:-d}": "d",
		"${EMPTY}":    "", "${NO:-a$$b}": "a$b", "${DOLLAR}": "$x ${A}", "${NO:-http://x:1}": "http://x:1",
		// A key or a password may look like a number, a truth value, nothing, or YAML.
		"${NUMBER}": "007", "${TRUE}": "true", "${NULL}": "~", "${DATE}": "2026-01-01", "${YAML}": "[a, b]: *c",
	} {
		c, err := config.Parse("f", []byte("redis: { url: 'redis://x:1', dataDir: '"+text+"' }"), env(
			"A", "a", "EMPTY", "", "DOLLAR", "$x ${A}", "NUMBER", "007", "TRUE", "true", "NULL", "~", "DATE",
			"2026-01-01", "YAML", "[a, b]: *c"))
		if err != nil || c.Redis.DataDir != want {
			t.Errorf("%s: %+v, %v; want %q", text, c, err, want)
		}
	}
}
