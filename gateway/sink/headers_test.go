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

	"github.com/streamgate/streamgate/gateway/webhook"
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

// TestWebHooksUseHTTPS, unless they are on this machine, or plain HTTP is meant.
func TestWebHooksUseHTTPS(t *testing.T) {
	t.Parallel()
	for uri, refused := range map[string]bool{
		"https://example.com/": false, "http://localhost:9000/": false, "http://127.0.0.2/": false, "http://[::1]:1/": false,
		"http://example.com/": true, "http://10.0.0.1/": true, "http://localhost.example.com/": true,
	} {
		c := Config{URI: uri, WebHook: &webhook.SenderConfig{Origin: "gateway.example.com"}}
		if p := c.Validate(); (len(p) > 0) != refused || refused && p[0].Path != "uri" {
			t.Errorf("%s: %v", uri, p)
		}
		c.WebHook.Insecure = true
		if p := c.Validate(); len(p) > 0 {
			t.Errorf("%s is meant: %v", uri, p)
		}
	}
}

// TestTraceContext: the extension of an event is also the header by which proxies and sinks continue its trace.
func TestTraceContext(t *testing.T) {
	t.Parallel()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, format := range []string{FormatBinary, FormatJSON} {
		got := make(chan http.Header, 1)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			got <- r.Header
			w.WriteHeader(http.StatusNoContent)
		}))
		t.Cleanup(server.Close)
		s, _ := sinkOf(t, server.URL, func(o *Options) { o.Format = format })
		item := anItem("1")
		item.Event.Set("traceparent", parent)
		item.Event.Set("tracestate", "a=\u00e9") // not for a header
		if o := s.Deliver(context.Background(), item); o.Verdict() != Delivered {
			t.Fatal(o.Describe())
		}
		if header := <-got; header.Get("Traceparent") != parent || header.Get("Tracestate") != "" {
			t.Errorf("%s: %v", format, header)
		}
	}
}
