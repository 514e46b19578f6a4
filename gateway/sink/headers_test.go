package sink

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestHeaders: those of the configuration go with every request, and the file of one is read each time.
func TestHeaders(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	var got atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got.Store(r.Header.Get("X-Team") + " " + r.Header.Get("X-Api-Key"))
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(server.Close)
	c := Config{URI: server.URL, Headers: []HeaderConfig{{Name: "x-team", Value: "a"}, {Name: "X-Api-Key", ValueFile: file}}}
	if p := c.Validate(); len(p) > 0 {
		t.Fatal(p)
	}
	s, err := New(&c, Options{Timeout: 10 * time.Second, Connections: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if o := s.Deliver(context.Background(), anItem("1")); o.Code != NoResponse || got.Load() != nil {
		t.Errorf("it was sent without the key: %s", o.Describe())
	}
	for _, key := range []string{"one", "two"} {
		if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if o := s.Deliver(context.Background(), anItem("1")); o.Verdict() != Delivered || got.Load() != "a "+key {
			t.Errorf("%s: the sink got %v", o.Describe(), got.Load())
		}
	}
}

func TestHeaderRules(t *testing.T) {
	t.Parallel()
	uri := "http://localhost:9000/"
	one := func(h HeaderConfig) Config { return Config{URI: uri, Headers: []HeaderConfig{h}} }
	for name, c := range map[string]struct {
		config Config
		path   string
	}{
		"of an event":      {one(HeaderConfig{Name: "Ce-Id", Value: "1"}), "headers[0].name"},
		"of HTTP":          {one(HeaderConfig{Name: "content-type", Value: "1"}), "headers[0].name"},
		"no name":          {one(HeaderConfig{Value: "1"}), "headers[0].name"},
		"not a name":       {one(HeaderConfig{Name: "a b", Value: "1"}), "headers[0].name"},
		"a line break":     {one(HeaderConfig{Name: "A", Value: "a\r\nb"}), "headers[0].value"},
		"no value":         {one(HeaderConfig{Name: "A"}), "headers[0].value"},
		"two values":       {one(HeaderConfig{Name: "A", Value: "1", ValueFile: "f"}), "headers[0]"},
		"twice":            {Config{URI: uri, Headers: []HeaderConfig{{Name: "A", Value: "1"}, {Name: "a", Value: "2"}}}, "headers[1].name"},
		"two credentials":  {Config{URI: "http://u:p@localhost/", Headers: []HeaderConfig{{Name: "authorization", Value: "1"}}}, "headers[0].name"},
		"not for a stream": {Config{Stream: "S", Headers: []HeaderConfig{{Name: "A", Value: "1"}}}, "headers"},
	} {
		if p := c.config.Validate(); len(p) != 1 || !strings.HasSuffix(p[0].Path, c.path) {
			t.Errorf("%s: %v, want a problem with %s", name, p, c.path)
		}
	}
}
