package gateway_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/ingress"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/stream"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// running is a gateway that runs in the test's process.
type running struct {
	*gateway.Gateway
	url      string
	registry *prometheus.Registry
	logs     *redistest.LogBuffer
	stop     func() // ends it as SIGTERM does, and waits
}

// start runs a gateway until the test or stop ends it, and returns when it is ready.
func start(t testing.TB, client redis.UniversalClient, c gateway.Config) *running {
	t.Helper()
	r := launch(t, client, c)
	redistest.Eventually(t, "the gateway is ready", func() bool { return r.Ready(context.Background()) == nil })
	return r
}

// launch runs a gateway until the test or stop ends it.
func launch(t testing.TB, client redis.UniversalClient, c gateway.Config) *running {
	t.Helper()
	if c.Server.Address == "" {
		c.Server = ingress.NewConfig()
		c.Server.Address = "127.0.0.1:0"
	}
	if problems := c.Validate(); len(problems) > 0 {
		t.Fatal(problems)
	}
	r := &running{registry: prometheus.NewRegistry(), logs: &redistest.LogBuffer{}}
	log := slog.New(slog.NewTextHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	r.Gateway, err = gateway.New(c, gateway.Env{Redis: client, Logger: log, Registry: r.registry, UserAgent: "streamgate/test"})
	if err != nil {
		t.Fatal(err)
	}
	address, err := r.Listen(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + address.String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// oneStream is a configuration with one stream.
func oneStream(name string) gateway.Config {
	st := stream.NewConfig()
	st.Name = name
	return gateway.Config{Streams: []stream.Config{st}}
}

// subscribed adds a subscription that begins at the beginning and retries fast.
func subscribed(c gateway.Config, sink string, change ...func(*delivery.Config)) gateway.Config {
	s := delivery.NewConfig()
	s.Name, s.Stream, s.Sink.URI, s.StartFrom = "sub", c.Streams[0].Name, sink, "earliest"
	s.Delivery.BackoffDelay = setting.Duration(20 * time.Millisecond)
	s.Delivery.Retry = 3
	for _, f := range change {
		f(&s)
	}
	c.Subscriptions = append(c.Subscriptions, s)
	return c
}

// testSink is an HTTP sink that remembers the events it has taken.
type testSink struct {
	url string

	mu       sync.Mutex
	requests []request
	answer   func(r *http.Request, n int) int // status for the n-th request, from 1; nil means 204
	notify   chan struct{}
}

type request struct {
	header http.Header
	body   []byte
	event  rawevent.Event
}

func newSink(t testing.TB, answer func(r *http.Request, n int) int) *testSink {
	t.Helper()
	s := &testSink{answer: answer, notify: make(chan struct{}, 1)}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *testSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	event, err := rawevent.FromHTTP(r.Header, body)
	if err != nil {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	s.mu.Lock()
	s.requests = append(s.requests, request{r.Header.Clone(), body, event})
	n := len(s.requests)
	s.mu.Unlock()
	status := http.StatusNoContent
	if s.answer != nil {
		status = s.answer(r, n)
	}
	w.WriteHeader(status)
	_, _ = w.Write(nil)
	select {
	case s.notify <- struct{}{}:
	default:
	}
}

func (s *testSink) all() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// ids returns the different ids that were received, sorted.
func (s *testSink) ids() []string {
	var ids []string
	for _, r := range s.all() {
		ids = append(ids, r.event.ID())
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func event(id string) rawevent.Event {
	e := rawevent.New(id, "https://example.com/things", "com.example.created")
	e.DataContentType, e.Data = "application/json", []byte(`{"n": 1}`)
	return e
}

// post sends an event in binary mode and returns the status and the headers.
func post(t testing.TB, url string, e rawevent.Event) (int, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(e.Data))
	if err != nil {
		t.Fatal(err)
	}
	e.WriteHTTP(r.Header)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode, response.Header
}

// nothingPending reports whether every entry of the stream has been acknowledged by the subscription.
func nothingPending(client redis.UniversalClient, stream, subscription string) bool {
	groups, err := client.XInfoGroups(context.Background(), stream).Result()
	if err != nil {
		return false
	}
	for i := range groups {
		if groups[i].Name == "streamgate:"+subscription {
			return groups[i].Pending == 0 && groups[i].Lag == 0
		}
	}
	return false
}

// counter returns the sum of a counter over its labels, or over those with the label value.
func counter(t testing.TB, r *prometheus.Registry, name string, label ...string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			matches := len(label) == 0
			for _, pair := range metric.GetLabel() {
				matches = matches || pair.GetValue() == label[0]
			}
			if family.GetName() == name && matches {
				total += metric.GetCounter().GetValue()
			}
		}
	}
	return total
}

// newServer serves a handler and returns its address.
func newServer(t testing.TB, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// TestMetricsAreDocumented: docs/operations.md names every metric that there is.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	g := start(t, client, subscribed(oneStream(stream), "http://127.0.0.1:1/"))
	names := make(chan *prometheus.Desc, 100)
	g.registry.Describe(names)
	close(names)
	n := 0
	for desc := range names {
		n++
		name := regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(desc.String())[1]
		if !strings.Contains(string(docs), "`"+name+"`") {
			t.Errorf("docs/operations.md does not name %s", name)
		}
	}
	if n < 10 {
		t.Errorf("only %d metrics", n)
	}
}

// pendingOf returns how many entries of the stream the subscription sub has read and not acknowledged.
func pendingOf(client redis.UniversalClient, stream string) int64 {
	pending, err := client.XPending(context.Background(), stream, "streamgate:sub").Result()
	if err != nil {
		return -1
	}
	return pending.Count
}
