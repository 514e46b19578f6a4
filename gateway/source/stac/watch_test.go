package stac

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/internal/stacsample"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const collection = stacsample.SceneCollection

// fixture is a fake STAC API with scenes, and a stream that a source fills from it.
type fixture struct {
	t         *testing.T
	catalogue *stacsample.Catalog
	server    *httptest.Server
	client    redis.UniversalClient
	stream    string
	logs      *redistest.LogBuffer
}

func newFixture(t *testing.T, scenes int) *fixture {
	t.Helper()
	f := &fixture{
		t: t, catalogue: stacsample.New(), client: redistest.Shared(t).Client(), stream: redistest.Stream(t), logs: &redistest.LogBuffer{},
	}
	f.catalogue.AddCollection(collection, "Scenes")
	for _, scene := range stacsample.Scenes(scenes, time.Date(2021, 12, 1, 0, 0, 0, 0, time.UTC)) {
		f.catalogue.Put(scene)
	}
	f.server = httptest.NewServer(f.catalogue)
	t.Cleanup(f.server.Close)
	return f
}

// config returns a configuration that searches everything, fast, in small pages.
func (f *fixture) config() *Config {
	c := NewConfig()
	c.URL, c.Collections, c.Limit = f.server.URL, []string{collection}, 7
	c.Datetime, c.Interval = "2020-01-01T00:00:00Z/..", gateway.Duration(time.Second)
	c.pace = pace{perSecond: rate.Inf, pause: time.Millisecond}
	return c
}

// run runs a gateway with the source until stop or the end of the test.
func (f *fixture) run(c *Config) (stop func()) {
	f.t.Helper()
	if problems := c.Validate(); len(problems) > 0 {
		f.t.Fatal(problems)
	}
	server := gateway.NewServerConfig()
	server.Address = "127.0.0.1:0"
	stream := gateway.NewStreamConfig()
	stream.Name = f.stream
	g, err := gateway.New(gateway.Config{
		Server: server, Streams: []gateway.StreamConfig{stream},
		Sources: []gateway.SourceBlock{{Name: "watch", Type: "stac", Stream: f.stream, Config: c}},
	}, gateway.Env{
		Redis: f.client, Logger: slog.New(slog.NewTextHandler(f.logs, nil)), Registry: prometheus.NewRegistry(), UserAgent: "streamgate/test",
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

// awaitPolls waits until n complete polls have been saved.
func (f *fixture) complete() string {
	saved, err := f.client.Get(context.Background(), "streamgate:{"+f.stream+"}:source:watch:checkpoint").Result()
	if err != nil {
		return ""
	}
	return saved
}

// TestEveryServerIsReadToItsEnd: each way in which servers page, and each way in which they misbehave and can be
// understood all the same, gives every item exactly once.
func TestEveryServerIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	for name, quirks := range map[string]stacsample.Quirks{
		"body, merge false":        {NextStyle: stacsample.PostMergeFalse},
		"body, merge true":         {NextStyle: stacsample.PostMergeTrue},
		"token, no merge":          {NextStyle: stacsample.PostTokenNoMerge},
		"body with token only":     {NextStyle: stacsample.PostBodyOnlyToken},
		"GET after POST":           {NextStyle: stacsample.GetHref},
		"literal colons":           {NextStyle: stacsample.GetLiteralColon, NoPost: true},
		"relative":                 {NextStyle: stacsample.RelativeHref},
		"headers":                  {NextStyle: stacsample.Headers},
		"line breaks in the token": {NextStyle: stacsample.NewlineToken},
		"line breaks, GET":         {NextStyle: stacsample.NewlineToken, NoPost: true},
		"no POST":                  {NoPost: true},
		"OpenSearch link first":    {OpenSearchLinkFirst: true},
		"clamped limit":            {MaxLimit: 3},
		"too much for the server":  {FailAboveLimit: 2},
		"no numberMatched":         {NoNumberMatched: true},
		"lost next links":          {DropNextOnFullPage: true, NoNumberMatched: true},
		"lost next links, counted": {DropNextOnFullPage: true},
		"empty page with next":     {EmptyPageWithNext: true},
		"next on the last page":    {NextOnLastPage: true},
		"no self links":            {NoSelfLinks: true},
		"throttled with 429":       {RateLimit429: stacsample.RateLimit{Times: 2, RetryAfter: "1"}},
		"throttled with 403":       {Forbidden403: 3},
		"HTML with 200":            {HTML200: 3},
		"502":                      {Status5xx: stacsample.StatusFault{Status: 502, Times: 3}},
		"503":                      {Status5xx: stacsample.StatusFault{Status: 503, Times: 4}},
	} {
		for _, scenes := range []int{21, 24} { // a multiple of the page size, and none
			t.Run(fmt.Sprintf("%s, %d", name, scenes), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, scenes)
				f.catalogue.SetQuirks(quirks)
				f.run(f.config())
				f.expectAll()
				redistest.Eventually(t, "the search is known to be complete", func() bool { return f.complete() != "" })
			})
		}
	}
}

// TestSearchThatCannotBeTrustedIsNotTakenForComplete: a server that leads in circles, or answers what is no page, is asked
// again later, not at once and for ever; the checkpoint stays; and when it has recovered, nothing is missing.
func TestSearchThatCannotBeTrustedIsNotTakenForComplete(t *testing.T) {
	t.Parallel()
	for name, quirks := range map[string]stacsample.Quirks{
		"repeats a page":  {RepeatPage: true},
		"HTML for ever":   {HTML200: 1 << 30},
		"500 for ever":    {Status5xx: stacsample.StatusFault{Status: 500, Times: 1 << 30}},
		"404 for ever":    {Status5xx: stacsample.StatusFault{Status: 404, Times: 1 << 30}, FaultPath: "/search"},
		"refuses us":      {Status5xx: stacsample.StatusFault{Status: 401, Times: 1 << 30}, FaultPath: "/search"},
		"never answers":   {Block: make(chan struct{})},
		"no such address": {Status5xx: stacsample.StatusFault{Status: 404, Times: 1 << 30}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 20)
			f.catalogue.SetQuirks(quirks)
			c := f.config()
			c.Timeout = gateway.Duration(time.Second)
			f.run(c)
			redistest.Eventually(t, "the failure is reported", func() bool { return strings.Contains(f.logs.String(), "could not be searched completely") })
			before := len(f.catalogue.Requests())
			redistest.Eventually(t, "it is tried again", func() bool { return len(f.catalogue.Requests()) > before })
			if n := len(f.catalogue.Requests()); n > 100 {
				t.Errorf("%d requests in the time of two polls", n)
			}
			if saved := f.complete(); saved != "" {
				t.Errorf("the search was taken for complete: %s", saved)
			}
			f.catalogue.SetQuirks(stacsample.Quirks{})
			f.expectAll()
			redistest.Eventually(t, "the recovery is reported", func() bool { return strings.Contains(f.logs.String(), "searched completely again") })
			if n := strings.Count(f.logs.String(), "could not be searched completely"); n != 1 {
				t.Errorf("one outage was reported %d times", n)
			}
		})
	}
}

func TestChangesAndTouches(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3)
	f.run(f.config())
	f.expectAll()
	changed := f.catalogue.Items(collection)[0]
	changed.Updated = changed.Updated.Add(time.Hour)
	f.catalogue.Put(changed)
	added := stacsample.Item{Collection: collection, ID: "new", Datetime: time.Now(), BBox: [4]float64{1, 2, 3, 4}} // without updated
	f.catalogue.Put(added)
	redistest.Eventually(t, "both are found", func() bool { return len(f.events()) == 5 })
	added.CloudCover = 50 // its content counts
	f.catalogue.Put(added)
	redistest.Eventually(t, "the change is found", func() bool { return len(f.events()) == 6 })
	types := map[string][]string{}
	ids := map[string]bool{}
	for _, e := range f.events() {
		key, _ := e.Attribute("partitionkey")
		types[key] = append(types[key], e.Type())
		ids[e.ID()] = true
	}
	for _, key := range []string{collection + "/" + changed.ID, collection + "/new"} {
		if !slices.Equal(types[key], []string{typeCreate, typeUpdate}) {
			t.Errorf("%s: %v", key, types[key])
		}
	}
	if len(ids) != 6 {
		t.Errorf("%d different ids for 6 events", len(ids))
	}
}

// TestRestartsRepeatAndMissNothing stops the gateway at random requests, while items are added and changed, and starts
// another one: each state of each item becomes one event.
func TestRestartsRepeatAndMissNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			f := newFixture(t, 40)
			for round := range 4 {
				stop := f.run(f.config())
				until := len(f.catalogue.Requests()) + 1 + random.IntN(8)
				redistest.Eventually(t, "some requests are made", func() bool { return len(f.catalogue.Requests()) >= until })
				f.catalogue.Put(stacsample.Item{
					Collection: collection, ID: fmt.Sprint("late-", round), BBox: [4]float64{1, 2, 3, 4},
					Datetime: time.Date(2021, 11, 1+random.IntN(60), 0, 0, 0, 0, time.UTC),
				})
				stop()
			}
			f.run(f.config())
			f.expectAll()
		})
	}
}

// TestBackfillCoversItsWindows: items at every second minute, the ends of the windows among them, each once and marked.
func TestBackfillCoversItsWindows(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	start := time.Date(2021, 12, 30, 0, 0, 0, 0, time.UTC)
	for at := start.Add(-49 * time.Hour); at.Before(start.Add(time.Hour)); at = at.Add(30 * time.Minute) {
		f.catalogue.Put(stacsample.Item{Collection: collection, ID: at.Format("20060102T150405"), Datetime: at, BBox: [4]float64{1, 2, 3, 4}})
	}
	c := f.config()
	c.Datetime = "2030-01-01T00:00:00Z/.." // the live search finds nothing
	c.Limit = 10
	c.Backfill = &BackfillConfig{Start: "2021-12-30", Count: 2, Every: gateway.Duration(24 * time.Hour), Window: gateway.Duration(6 * time.Hour), Windows: 4}
	f.run(c)
	var want []string
	for _, item := range f.catalogue.Items(collection) {
		if !item.Datetime.Before(start.Add(-48*time.Hour)) && !item.Datetime.After(start) {
			want = append(want, collection+"/"+item.ID)
		}
	}
	slices.Sort(want)
	redistest.Eventually(t, "the backfill is done", func() bool { return strings.Count(f.complete(), "true") == 8 })
	if got := f.keys(); !slices.Equal(got, want) {
		t.Errorf("%d events, want %d", len(got), len(want))
	}
	for _, e := range f.events() {
		if mark, _ := e.Attribute("backfill"); mark != "true" {
			t.Errorf("an event of the backfill is not marked: %v", e.Attributes)
		}
	}
	searches := len(f.catalogue.Requests())
	f.run(c) // a second gateway, or a restart, does not search the windows again
	redistest.Eventually(t, "there were some polls", func() bool { return len(f.catalogue.Requests()) > searches+2 })
	for _, r := range f.catalogue.Requests()[searches:] {
		if bytes.Contains(r.Body, []byte("2021-12")) {
			t.Errorf("a window that was done is searched again: %s", r.Body)
		}
	}
}

// TestCredentialsStayAtTheirHost: the configured headers go to the host of url, and not where a next link leads.
func TestCredentialsStayAtTheirHost(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 20)
	other := httptest.NewServer(f.catalogue)
	t.Cleanup(other.Close)
	f.catalogue.SetQuirks(stacsample.Quirks{CrossHostNext: other.URL})
	c := f.config()
	c.URL += "?key=k1"
	c.Headers = []Header{{Name: "X-Api-Key", Value: "secret"}}
	f.run(c)
	f.expectAll()
	first := strings.TrimPrefix(f.server.URL, "http://")
	crossed := false
	for _, r := range f.catalogue.Requests() {
		atHome := r.Header.Get("X-Api-Key") == "secret"
		crossed = crossed || !atHome
		if r.Header.Get("User-Agent") == "" {
			t.Error("a request has no User-Agent")
		}
		if atHome && strings.HasPrefix(r.Path, "/search") && r.Method == http.MethodPost && !bytes.Contains(r.Body, []byte("next")) && !strings.Contains(r.Query, "key=k1") {
			t.Errorf("the query of the base address is lost: %s %s", r.Path, r.Query)
		}
	}
	if !crossed {
		t.Errorf("no request went to another host than %s", first)
	}
	if strings.Contains(f.logs.String(), "secret") || strings.Contains(f.logs.String(), "k1") {
		t.Error("the log holds a secret")
	}
	for _, e := range f.events() {
		if strings.Contains(e.Source()+e.Subject(), "k1") {
			t.Errorf("an event holds a secret: %v", e.Attributes)
		}
	}
}

func TestUnknownCollectionIsReported(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3)
	c := f.config()
	c.Collections = []string{"sentinel-2-typo", collection}
	f.run(c)
	f.expectAll() // of the one that exists
	redistest.Eventually(t, "it is reported", func() bool { return strings.Contains(f.logs.String(), "sentinel-2-typo") })
}

func TestSearchParameters(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Config)
		post   []string // in the body of POST
		get    []string // in the query of GET
	}{
		"bbox":       {func(c *Config) { c.BBox = []float64{-122, 38.5, -120, 41} }, []string{`"bbox":[-122,38.5,-120,41]`}, []string{"bbox=-122%2C38.5%2C-120%2C41"}},
		"intersects": {func(c *Config) { c.Intersects = `{"type":"Point","coordinates":[-121,40]}` }, []string{`"intersects":{"type":"Point","coordinates":[-121,40]}`}, []string{"intersects=%7B"}},
		"CQL2 JSON": {func(c *Config) { c.Filter = `{"op":"<","args":[{"property":"eo:cloud_cover"},20]}` },
			[]string{`"filter-lang":"cql2-json"`, `"filter":{"op":"\u003c"`}, []string{"filter-lang=cql2-json", "filter=%7B"}},
		"collections and limit": {func(*Config) {}, []string{`"collections":["sentinel-2-l2a"]`, `"limit":7`}, []string{"collections=sentinel-2-l2a", "limit=7"}},
	} {
		for _, noPost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, GET %v", name, noPost), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, 5)
				f.catalogue.SetQuirks(stacsample.Quirks{NoPost: noPost})
				config := f.config()
				c.change(config)
				f.run(config)
				redistest.Eventually(t, "the search is complete", func() bool { return f.complete() != "" })
				for _, r := range f.catalogue.Requests() {
					if r.Path != "/search" {
						continue
					}
					want, have := c.post, string(r.Body)
					if noPost {
						want, have = c.get, r.Query
					}
					for _, part := range want {
						if !strings.Contains(have, part) {
							t.Errorf("the search has no %s: %s", part, have)
						}
					}
				}
			})
		}
	}
}
