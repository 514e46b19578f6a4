package stac

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/ingress"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/stream"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/internal/stacsample"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const collection = stacsample.SceneCollection

// fixture is a fake STAC API with scenes, and a stream that a source fills from it.
type fixture struct {
	t         testing.TB
	catalogue *stacsample.Catalog
	server    *httptest.Server
	client    redis.UniversalClient
	stream    string
	logs      *redistest.LogBuffer
	interval  time.Duration // between polls, shorter than a configuration may say
	timeout   time.Duration // of a request, as well
	crawls    time.Duration // between two crawls of a static catalogue, as well
	tiers     time.Duration // between two looks of each slow tier, as well; 0: as configured

	requests  atomic.Int64
	intercept atomic.Pointer[interceptor]
}

// interceptor sees the n-th request before the catalogue, which does not see it when the interceptor returns false.
type interceptor func(n int, w http.ResponseWriter, r *http.Request) bool

func newFixture(t *testing.T, scenes int) *fixture {
	t.Helper()
	f := &fixture{
		t: t, catalogue: stacsample.New(), client: redistest.Shared(t).Client(), stream: redistest.Stream(t), logs: &redistest.LogBuffer{},
		interval: 30 * time.Millisecond, timeout: 10 * time.Second,
	}
	f.catalogue.AddCollection(collection, "Scenes")
	for _, scene := range stacsample.Scenes(scenes, time.Date(2021, 12, 1, 0, 0, 0, 0, time.UTC)) {
		f.catalogue.Put(scene)
	}
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := f.requests.Add(1)
		if intercept := f.intercept.Load(); intercept == nil || (*intercept)(int(n), w, r) {
			f.catalogue.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(f.server.Close)
	return f
}

// sibling returns a fixture with the same API and another stream.
func (f *fixture) sibling() *fixture {
	return &fixture{
		t: f.t, catalogue: f.catalogue, server: f.server, client: f.client, stream: redistest.Stream(f.t), logs: &redistest.LogBuffer{},
		interval: f.interval, timeout: f.timeout,
	}
}

func (f *fixture) onRequest(i interceptor) { f.intercept.Store(&i) }

// config returns a configuration that searches everything, fast, in small pages.
func (f *fixture) config() *Config {
	c := NewConfig()
	c.URL, c.Collections, c.Limit = f.server.URL, []string{collection}, 7
	c.Datetime, c.Interval = "2020-01-01T00:00:00Z/..", setting.Duration(time.Second)
	c.Engine, c.Sweep.Every = string(engineWindows), 0
	c.pace = pace{perSecond: rate.Inf, pause: time.Millisecond}
	return c
}

// watchConfig returns a configuration that finds out how to watch, and publishes everything.
func (f *fixture) watchConfig() *Config {
	c := f.config()
	c.Engine, c.Datetime, c.StartFrom, c.Event.Profile, c.Sweep.Every = engineAuto, "", startBeginning, profileSummary, hours(168)
	f.tiers = 60 * time.Millisecond
	return c
}

// run runs a gateway with the source until stop or the end of the test.
func (f *fixture) run(c *Config) (stop func()) {
	f.t.Helper()
	return f.runAs("streamgate/test", c)
}

func (f *fixture) runAs(userAgent string, c *Config) (stop func()) {
	f.t.Helper()
	if problems := c.Validate(""); len(problems) > 0 {
		f.t.Fatal(problems)
	}
	fast := *c
	fast.Interval, fast.Timeout = setting.Duration(f.interval), setting.Duration(f.timeout)
	if f.crawls > 0 {
		fast.Static.Every = setting.Duration(f.crawls)
	}
	if f.tiers > 0 {
		fast.Warm.Every, fast.Cold.Every, fast.Sweep.Every = setting.Duration(f.tiers), setting.Duration(f.tiers), setting.Duration(f.tiers)
		fast.CollectionsInterval = setting.Duration(f.tiers)
	}
	server := ingress.NewConfig()
	server.Address = "127.0.0.1:0"
	kept := stream.NewConfig()
	kept.Name = f.stream
	g, err := gateway.New(gateway.Config{
		Server: server, Streams: []stream.Config{kept},
		Sources: []source.Block{{Name: "watch", Type: "stac", Stream: f.stream, Config: &fast}},
	}, gateway.Env{
		Redis: f.client, Logger: slog.New(slog.NewTextHandler(f.logs, nil)), Registry: prometheus.NewRegistry(), UserAgent: userAgent,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	})
	f.t.Cleanup(stop)
	return stop
}

func (f *fixture) events() []rawevent.Event {
	f.t.Helper()
	entries, err := redisstreams.ReadAfter(context.Background(), f.client, f.stream, "0", 10_000, -1)
	if err != nil {
		f.t.Fatal(err)
	}
	events := make([]rawevent.Event, len(entries))
	for i := range entries {
		if events[i], err = entries[i].Event(); err == nil {
			err = events[i].Validate()
		}
		if err != nil {
			f.t.Fatal(err)
		}
	}
	return events
}

// keys returns the partition keys of the events, which name the items, sorted, with repetitions.
func (f *fixture) keys() []string {
	var keys []string
	for _, e := range f.events() {
		key, _ := e.Attribute("partitionkey")
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// want returns the keys of what is in the catalogue.
func (f *fixture) want() []string {
	var keys []string
	for _, item := range f.catalogue.Items(collection) {
		keys = append(keys, collection+"/"+item.ID)
	}
	slices.Sort(keys)
	return keys
}

// expectAll waits until every item has become an event, and checks that none has become two.
func (f *fixture) expectAll() {
	f.t.Helper()
	want := f.want()
	redistest.Eventually(f.t, "every item has become an event", func() bool { return len(slices.Compact(f.keys())) >= len(want) })
	if got := f.keys(); !slices.Equal(got, want) {
		f.t.Errorf("%d events for %d items", len(got), len(want))
	}
}

// state returns what the source has saved of the collection, or nil.
func (f *fixture) state() *collectionState { return f.stateOf(collection) }

func (f *fixture) stateOf(collection string) *collectionState {
	f.t.Helper()
	saved, err := f.client.HGet(context.Background(), "streamgate:{"+f.stream+"}:source:watch:checkpoint", partCollection+collection).Bytes()
	if errors.Is(err, redis.Nil) {
		return &collectionState{}
	}
	state := &collectionState{}
	if err == nil {
		err = json.Unmarshal(saved, state)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return state
}

// isComplete reports whether the collection was once searched completely.
func (f *fixture) isComplete() bool { return len(f.state().Complete) > 0 }
