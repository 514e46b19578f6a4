package stac

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/internal/stacsample"
)

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
		"lost sort ties":           {SortTieBug: true},
		"release candidate":        {WrongConformance: true},
		"conformance elsewhere":    {ConformanceElsewhere: true},
		"instants as intervals":    {InstantIntervalEmpty: true},
		"big items":                {HugeItem: 200 << 10},
		"slow":                     {Slow: stacsample.Slow{Delay: 10 * time.Millisecond}},
		"limited now and then":     {RateLimit429: stacsample.RateLimit{Every: 3}},
		"much at once":             {NextStyle: stacsample.GetHref, MaxLimit: 5, EmptyPageWithNext: true, NextOnLastPage: true, NoNumberMatched: true},
		"throttled with 429":       {RateLimit429: stacsample.RateLimit{Times: 1, RetryAfter: "1"}},
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
				redistest.Eventually(t, "the search is known to be complete", f.isComplete)
			})
		}
	}
}

// TestSearchThatCannotBeTrustedIsNotTakenForComplete: a server that leads in circles, or answers what is no page, is
// asked again later, not at once and for ever; the checkpoint stays; and when it has recovered, nothing is missing.
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
			f.interval, f.timeout = time.Second, 50*time.Millisecond
			f.run(f.config())
			redistest.Eventually(t, "the failure is reported", func() bool { return strings.Contains(f.logs.String(), "could not be searched completely") })
			before := len(f.catalogue.Requests())
			redistest.Eventually(t, "it is tried again", func() bool { return len(f.catalogue.Requests()) > before })
			if n := len(f.catalogue.Requests()); n > 60 { // of two polls: six tries at each of three page sizes is the most
				t.Errorf("%d requests in the time of two polls", n)
			}
			if f.isComplete() {
				t.Errorf("the search was taken for complete: %+v", f.state())
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
		if !slices.Equal(types[key], []string{"org.ogc.api.collection.item.create", "org.ogc.api.collection.item.update"}) {
			t.Errorf("%s: %v", key, types[key])
		}
	}
	if len(ids) != 6 {
		t.Errorf("%d different ids for 6 events", len(ids))
	}
}

// TestRestartsRepeatAndMissNothing stops the gateway at random requests, before or after they are answered, while items
// are added and changed, and starts another one: each state of each item becomes one event.
func TestRestartsRepeatAndMissNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			f := newFixture(t, 40)
			f.catalogue.SetQuirks(stacsample.Quirks{NextStyle: stacsample.NextStyle(random.IntN(9)), NoNumberMatched: random.IntN(2) == 0})
			states := map[string]bool{}
			for _, item := range f.catalogue.Items(collection) {
				states[item.ID+" 0"] = true
			}
			stopAt := func(n int, answered bool) {
				reached := make(chan struct{})
				var once sync.Once
				goOn := make(chan struct{})
				first := f.requests.Load()
				f.onRequest(func(at int, w http.ResponseWriter, r *http.Request) bool {
					if at-int(first) < n {
						return true
					}
					if answered {
						f.catalogue.ServeHTTP(w, r)
					}
					once.Do(func() { close(reached) })
					if !answered {
						<-goOn
					}
					return false
				})
				stop := f.run(f.config())
				<-reached
				if !answered {
					defer stop()
					close(goOn)
					return
				}
				stop()
			}
			for round := range 6 {
				stopAt(2+random.IntN(9), random.IntN(2) == 0)
				id := fmt.Sprint("late-", round)
				f.catalogue.Put(stacsample.Item{
					Collection: collection, ID: id, BBox: [4]float64{1, 2, 3, 4},
					Datetime: time.Date(2021, 11, 1+random.IntN(60), 0, 0, 0, 0, time.UTC),
				})
				states[id+" 0"] = true
			}
			f.onRequest(func(int, http.ResponseWriter, *http.Request) bool { return true })
			stop := f.run(f.config())
			f.expectAll()
			for _, item := range f.catalogue.Items(collection)[:5] {
				item.CloudCover, item.Updated = 99, time.Now()
				f.catalogue.Put(item)
				states[item.ID+" 1"] = true
			}
			redistest.Eventually(t, "the changes are found", func() bool { return len(f.events()) >= len(states) })
			stop()
			f.run(f.config())
			polled := f.requests.Load()
			redistest.Eventually(t, "the next gateway has polled", func() bool { return f.requests.Load() > polled+20 })
			ids := map[string]bool{}
			for _, e := range f.events() {
				ids[e.ID()] = true
			}
			if n := len(f.events()); n != len(states) || len(ids) != n {
				t.Errorf("%d events with %d ids for %d states of items", n, len(ids), len(states))
			}
		})
	}
}

// TestItemsAddedWhilePaging, before and behind where the server is, are found, and none twice.
func TestItemsAddedWhilePaging(t *testing.T) {
	t.Parallel()
	for name, quirks := range map[string]stacsample.Quirks{
		"counted": {}, "not counted": {NoNumberMatched: true}, "tokens are ids": {NextStyle: stacsample.PostTokenNoMerge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 30)
			f.catalogue.SetQuirks(quirks)
			f.onRequest(func(n int, _ http.ResponseWriter, _ *http.Request) bool {
				if n >= 3 && n < 20 {
					for _, at := range []time.Time{time.Date(2021, 11, n, 0, 0, 0, 0, time.UTC), time.Date(2022, 1, n, 0, 0, 0, 0, time.UTC)} {
						f.catalogue.Put(stacsample.Item{Collection: collection, ID: "late-" + at.Format(time.DateOnly), Datetime: at, BBox: [4]float64{1, 2, 3, 4}})
					}
				}
				return true
			})
			f.run(f.config())
			redistest.Eventually(t, "everything is published", func() bool { return f.requests.Load() > 30 && len(f.keys()) == 30+2*17 })
			f.expectAll()
		})
	}
}

// TestOneGatewayPolls, and when it stops the other one goes on where it was.
func TestOneGatewayPolls(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 20)
	agents := func() (agents []string) {
		for _, r := range f.catalogue.Requests() {
			if agent := r.Header.Get("User-Agent"); !slices.Contains(agents, agent) {
				agents = append(agents, agent)
			}
		}
		return agents
	}
	stops := map[string]func(){"one": f.runAs("one", f.config()), "two": f.runAs("two", f.config())}
	f.expectAll()
	before := f.requests.Load()
	redistest.Eventually(t, "there are more polls", func() bool { return f.requests.Load() > before+20 })
	first := agents()
	if len(first) != 1 {
		t.Fatalf("%v poll", first)
	}
	stops[first[0]]()
	f.catalogue.Put(stacsample.Item{Collection: collection, ID: "new", Datetime: time.Now(), BBox: [4]float64{1, 2, 3, 4}})
	redistest.Eventually(t, "the other one takes over", func() bool { return len(f.keys()) == 21 })
	f.expectAll()
	if both := agents(); len(both) != 2 {
		t.Errorf("%v poll", both)
	}
}

// TestGatewayThatLostItsLeasePublishesNothing of what it has read meanwhile; whoever gets the lease publishes it.
func TestGatewayThatLostItsLeasePublishesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 20)
	lease := "streamgate:{" + f.stream + "}:source:watch:lease"
	arrived, release := make(chan struct{}), make(chan struct{})
	f.onRequest(func(n int, _ http.ResponseWriter, _ *http.Request) bool {
		if n == 5 { // the landing page, the collection, and two pages, of which one is published
			close(arrived)
			<-release
		}
		return true
	})
	f.run(f.config())
	<-arrived
	if err := f.client.Set(context.Background(), lease, "999", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	published := len(f.events())
	close(release)
	redistest.Eventually(t, "the source stops", func() bool { return strings.Contains(f.logs.String(), "lease is lost") })
	if n := len(f.events()); n != published || n > 14 {
		t.Errorf("%d events, and %d without a lease", published, n-published)
	}
	if err := f.client.Del(context.Background(), lease).Err(); err != nil {
		t.Fatal(err)
	}
	f.expectAll()
}

// TestOutageTeachesNothing: a server that was down with 500, for as long as one poll tries (two, two and six times at
// three page sizes), is asked for whole pages when it is back.
func TestOutageTeachesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 20)
	f.catalogue.SetQuirks(stacsample.Quirks{Status5xx: stacsample.StatusFault{Status: 500, Times: 10}, FaultPath: "/search"})
	f.run(f.config())
	f.expectAll()
	redistest.Eventually(t, "the search is complete", f.isComplete)
	var smallest, answered []byte
	for _, r := range f.catalogue.Requests() {
		if r.Path == "/search" && bytes.Contains(r.Body, []byte(`"limit":1`)) {
			smallest = r.Body
		}
		if r.Path == "/search" && r.Status == http.StatusOK && answered == nil {
			answered = r.Body
		}
	}
	if smallest == nil || !bytes.Contains(answered, []byte(`"limit":7`)) {
		t.Errorf("the first search that was answered was %s, after %s", answered, smallest)
	}
}

// TestOutageAtTheBeginning: what the first poll was to search is searched when the server is there, over a restart.
func TestOutageAtTheBeginning(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	f.catalogue.SetQuirks(stacsample.Quirks{Status5xx: stacsample.StatusFault{Status: 503, Times: 1 << 30}})
	c := f.config()
	c.Datetime = ""
	for range 2 {
		stop := f.run(c)
		before := f.requests.Load()
		redistest.Eventually(t, "it was tried", func() bool { return f.requests.Load() > before+8 })
		stop()
	}
	began := f.state().Began
	if age := time.Since(began); began.IsZero() || age > time.Minute || f.isComplete() {
		t.Fatalf("%+v", f.state())
	}
	f.catalogue.SetQuirks(stacsample.Quirks{})
	stop := f.run(c)
	redistest.Eventually(t, "the search is complete", f.isComplete)
	stop()
	want := `"datetime":"` + stacapi.Interval{From: began.Add(-c.Lookback.Std())}.String() + `"`
	for _, r := range f.catalogue.Requests() {
		if r.Status == http.StatusOK && r.Path == "/search" {
			if !bytes.Contains(r.Body, []byte(want)) {
				t.Errorf("the first search that was answered was %s, not with %s", r.Body, want)
			}
			break
		}
	}
	if s := f.state(); !s.Began.Equal(began) || !s.Complete[tierPoll].After(began) {
		t.Errorf("%+v", s)
	}
}

func TestLiveWindow(t *testing.T) {
	t.Parallel()
	at := func(hour int) time.Time { return time.Date(2026, 11, 20, hour, 0, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		datetime        string
		complete, began time.Time
		want            string
	}{
		"never polled":    {"", time.Time{}, at(10), "2026-11-20T09:00:00Z/.."},
		"polled":          {"", at(11), at(2), "2026-11-20T10:00:00Z/.."},
		"clock set back":  {"", at(20), at(2), "2026-11-20T11:00:00Z/.."},
		"configured":      {"2020-01-01T00:00:00Z/..", at(11), at(2), "2020-01-01T00:00:00Z/.."},
		"polled long ago": {"", at(11).AddDate(0, -1, 0), at(2), "2026-10-20T10:00:00Z/.."},
	} {
		config := &Config{Datetime: c.datetime, Lookback: setting.Duration(time.Hour)}
		chooser := engines{env: &env{config: config}}
		state := &collectionState{Engine: chooser.withoutStamps(), Began: c.began}
		if !c.complete.IsZero() {
			state.Complete = map[tier]time.Time{tierPoll: c.complete}
		}
		if got := (plan{config}).poll("c", state, at(12)).Window.String(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestStoppingWhileServerHangs takes no time.
func TestStoppingWhileServerHangs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 5)
	f.catalogue.SetQuirks(stacsample.Quirks{Block: make(chan struct{})})
	f.timeout = time.Minute
	stop := f.run(f.config())
	redistest.Eventually(t, "the server hangs", func() bool { return f.requests.Load() == 3 })
	started := time.Now()
	stop()
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestItemsThatMakeNoEvent do not keep the others back, and are reported once.
func TestItemsThatMakeNoEvent(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 5)
	f.onRequest(func(_ int, w http.ResponseWriter, r *http.Request) bool {
		recorder := httptest.NewRecorder()
		f.catalogue.ServeHTTP(recorder, r)
		foreign := `"features":[{"id":"\u0001"},{"id":"x","collection":"other"},{"id":7},7,`
		body := strings.Replace(recorder.Body.String(), `"features":[`, foreign, 1)
		if r.URL.Path == "/search" {
			body = strings.Replace(body, `"numberMatched":5`, `"numberMatched":7`, 1)
		}
		_, _ = io.WriteString(w, body)
		return false
	})
	f.run(f.config())
	f.expectAll()
	redistest.Eventually(t, "the search is complete", f.isComplete)
	before := f.requests.Load()
	redistest.Eventually(t, "it is polled again", func() bool { return f.requests.Load() > before+5 })
	logs := f.logs.String()
	if n := strings.Count(logs, "items were skipped"); n != 1 || !strings.Contains(logs, "items=4") {
		t.Errorf("reported %d times: %s", n, logs)
	}
}

// TestTwoSourcesOfOneItem, in two streams, make events with the same id: it is the same event.
func TestTwoSourcesOfOneItem(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 5)
	other := f.sibling()
	f.run(f.config())
	other.run(f.config())
	f.expectAll()
	other.expectAll()
	ids := func(f *fixture) (ids []string) {
		for _, e := range f.events() {
			ids = append(ids, e.Source()+" "+e.ID())
		}
		slices.Sort(ids)
		return ids
	}
	if one, two := ids(f), ids(other); !slices.Equal(one, two) {
		t.Errorf("%v and %v", one, two)
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
