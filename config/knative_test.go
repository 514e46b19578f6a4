package config_test

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgate/streamgate/config"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/sink"
)

const overrides = `{"extensions":{"team":"a","site":"b c"}}`

// someCert returns a certificate in PEM.
func someCert(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

// TestKnativeVariables: without a file, K_SINK adds a subscription, and the other variables configure its sink.
func TestKnativeVariables(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, none := someCert(t), token+".none"
	for name, c := range map[string]struct {
		variables []string
		tokenFile string
		want      sink.Config
	}{
		"alone": {nil, none, sink.Config{URI: "http://sink/x"}},
		"empty": {[]string{"K_CE_OVERRIDES", "", "K_CA_CERTS", "", "K_AUDIENCE", ""}, none,
			sink.Config{URI: "http://sink/x"}},
		"not an object": {[]string{"K_CE_OVERRIDES", "{}"}, none, sink.Config{URI: "http://sink/x"}},
		"all": {
			[]string{"K_CE_OVERRIDES", overrides, "K_CA_CERTS", cert, "K_AUDIENCE", "a"}, token,
			sink.Config{URI: "http://sink/x", Extensions: map[string]string{"team": "a", "site": "b c"}, CACerts: cert,
				TokenFile: token},
		},
		"a token without an audience": {nil, token, sink.Config{URI: "http://sink/x", TokenFile: token}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := env(append([]string{"K_SINK", "http://sink/x", "STREAM", "S"}, c.variables...)...)
			o.TokenFile = c.tokenFile
			got, err := config.Default(o)
			if err != nil {
				t.Fatal(err)
			}
			want := delivery.NewConfig()
			want.Name, want.Stream, want.StartFrom, want.Sink = "sink", "S", "earliest", c.want
			want.ReplyStream = sink.NoReplies // a source never acts as a recipient
			if diff := cmp.Diff([]delivery.Config{want}, got.Gateway.Subscriptions); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestKnativeVariablesWithAFile: with a file, even an empty one, the variables of Knative are ignored.
func TestKnativeVariablesWithAFile(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"", "streams: [{ name: S }]"} {
		got, err := config.Parse("f", []byte(file),
			env("K_SINK", "nonsense", "K_CE_OVERRIDES", "nonsense", "K_AUDIENCE", "x"))
		if err != nil || len(got.Gateway.Subscriptions) != 0 {
			t.Errorf("%q: %+v, %v", file, got, err)
		}
	}
}

// TestPort: PORT opens the listener on all addresses only with allowAnonymous or under Knative.
func TestPort(t *testing.T) {
	t.Parallel()
	const sink, anonymous = "K_SINK", "STREAMGATE_SERVER_ALLOW_ANONYMOUS"
	for name, c := range map[string]struct {
		file      string // "-" means no file
		variables []string
		address   string
		anonymous bool
	}{
		"neither":                  {"-", nil, "127.0.0.1:9000", false},
		"under Knative":            {"-", []string{sink, "http://x"}, "0.0.0.0:9000", true},
		"under Knative, forbidden": {"-", []string{sink, "http://x", anonymous, "false"}, "127.0.0.1:9000", false},
		"by a variable":            {"-", []string{anonymous, "true"}, "0.0.0.0:9000", true},
		"by the file":              {"server: { allowAnonymous: true }", nil, "0.0.0.0:9000", true},
		"by the file, forbidden": {"server: { allowAnonymous: true }", []string{anonymous, "false"},
			"127.0.0.1:9000", false},
		"a file under Knative": {"", []string{sink, "http://x"}, "127.0.0.1:9000", false},
		"an address beside PORT": {"server: { address: '127.0.0.1:1' }", []string{sink, "http://x"}, "127.0.0.1:1",
			false},
		"a variable beside PORT": {"-", []string{sink, "http://x", "STREAMGATE_SERVER_ADDRESS", "127.0.0.1:2"},
			"127.0.0.1:2", false},
		"allowed, and no other one": {"server: { allowAnonymous: false }", []string{anonymous, "true"}, "0.0.0.0:9000",
			true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := env(append([]string{"PORT", "9000"}, c.variables...)...)
			load := func() (*config.Config, error) { return config.Parse("f", []byte(c.file), o) }
			if c.file == "-" {
				load = func() (*config.Config, error) { return config.Default(o) }
			}
			got, err := load()
			if err != nil {
				t.Fatal(err)
			}
			if s := got.Gateway.Server; s.Address != c.address || s.AllowAnonymous != c.anonymous {
				t.Errorf("%s, allowAnonymous %v", s.Address, s.AllowAnonymous)
			}
		})
	}
}

// TestBadKnativeVariables: a finding names the variable that is wrong.
func TestBadKnativeVariables(t *testing.T) {
	t.Parallel()
	for want, variables := range map[string][]string{
		`environment: K_SINK: the sink has no http or https address`:         {"K_SINK", "sink:80"},
		`environment: K_CE_OVERRIDES: not valid CloudEvent overrides`:        {"K_CE_OVERRIDES", "x"},
		`environment: K_CE_OVERRIDES: not valid CloudEvent overrides; write`: {"K_CE_OVERRIDES", `{"extension":{}}`},
		`environment: K_CE_OVERRIDES: not valid CloudEvent`: {"K_CE_OVERRIDES",
			`{"extensions":{"a":1}}`},
		`environment: K_CE_OVERRIDES: not valid`: {"K_CE_OVERRIDES",
			`{} {}`},
		`environment: K_CE_OVERRIDES: "Team" is not a valid name of an extension attribute`: {"K_CE_OVERRIDES",
			`{"extensions":{"Team":"a"}}`},
		`environment: K_CE_OVERRIDES: "type" is not a valid name of an extension attribute`: {"K_CE_OVERRIDES",
			`{"extensions":{"type":"a"}}`},
		`environment: K_CE_OVERRIDES: the value is empty or has control characters`: {"K_CE_OVERRIDES",
			`{"extensions":{"a":"\n"}}`},
		`environment: K_CA_CERTS: no PEM certificate found`:                             {"K_CA_CERTS", "x"},
		`environment: K_AUDIENCE: the sink requires a token for the audience "a", and `: {"K_AUDIENCE", "a"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			if variables[0] != "K_SINK" {
				variables = append([]string{"K_SINK", "http://sink"}, variables...)
			}
			o := env(variables...)
			o.TokenFile = filepath.Join(t.TempDir(), "none")
			_, err := config.Default(o)
			if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v", err)
			}
		})
	}
}
