package admin_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamgate/streamgate/gateway/admin"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

type readiness struct{ err error }

func (r readiness) Ready(context.Context) error { return r.err }

func (readiness) Faults() []string { return nil }

func (r readiness) Sources(context.Context) ([]source.Status, error) {
	return []source.Status{{Name: "watch", Type: "stac", Stream: "events", Running: true, SeenItems: 7}}, nil
}

func (r readiness) Subscriptions() []delivery.Status {
	return []delivery.Status{{Name: "one", Stream: "events", Sink: "http://sink/", Circuit: "open",
		OpenedBy: "status 503"}}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ready  error
		method string
		path   string
		status int
		body   string
	}{
		"alive":        {errors.New("no Redis"), "GET", "/healthz", 200, `"ok"`},
		"ready":        {nil, "GET", "/readyz", 200, `"ready"`},
		"not ready":    {errors.New("no Redis"), "GET", "/readyz", 503, "no Redis"},
		"metrics":      {nil, "GET", "/metrics", 200, "streamgate_test_total 1"},
		"circuits":     {nil, "GET", "/api/v1/subscriptions", 200, `"circuit":"open","openedBy":"status 503"`},
		"wrong method": {nil, "POST", "/healthz", 405, ""},
		"unknown path": {nil, "GET", "/nosuch", 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			registry := prometheus.NewRegistry()
			counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "streamgate_test_total", Help: "x"})
			counter.Inc()
			registry.MustRegister(counter)
			server := admin.NewServer("127.0.0.1:0", admin.Handler(readiness{c.ready}, registry, nil),
				slog.New(slog.DiscardHandler))
			address, err := server.Listen(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- server.Run(ctx) }()
			request, err := http.NewRequestWithContext(ctx, c.method, "http://"+address.String()+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || response.StatusCode != c.status || !strings.Contains(string(body), c.body) {
				t.Errorf("%d %q %v", response.StatusCode, body, err)
			}
			stop()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	first := admin.NewServer("127.0.0.1:0", http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	address, err := first.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second := admin.NewServer(address.String(), http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if _, err := second.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "admin.address") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := first.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestForeignNames: a listener on loopback answers only to host names that no web page can have.
func TestForeignNames(t *testing.T) {
	t.Parallel()
	server := admin.NewServer("127.0.0.1:0", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		slog.New(slog.DiscardHandler))
	address, err := server.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for host, want := range map[string]int{
		"": 200, "localhost": 200, "localhost:8081": 200, "127.0.0.1:8081": 200, "[::1]:8081": 200, "10.1.2.3": 200,
		"rebound.example.com": 421, "rebound.example.com:8081": 421, "localhost.example.com": 421,
		"127.0.0.1.nip.io": 421,
	} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%q: %d, want %d", host, response.StatusCode, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}
