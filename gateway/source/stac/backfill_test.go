package stac

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/internal/stacsample"
)

// quiet returns a configuration whose polls find nothing, so that all events are of the backfill.
func (f *fixture) quiet(b BackfillConfig) *Config {
	c := f.config()
	c.Datetime, c.Backfill = "2030-01-01T00:00:00Z/..", &b
	return c
}

// isBackfilled reports whether every window was searched.
func (f *fixture) isBackfilled(c *Config) bool {
	for _, name := range c.Collections {
		covered, all := f.stateOf(name).Covered, true
		for _, w := range c.Backfill.withDefaults().windows() {
			all = all && covered.cover(w)
		}
		if all {
			return true
		}
	}
	return false
}

// TestBackfillFindsWhatIsInItsWindows: items at random instants, on the ends of windows and around them; those in a
// window become one event each, which is marked, over restarts, whatever the server does; others none.
func TestBackfillFindsWhatIsInItsWindows(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 7))
			start := time.Date(2021, 12, 30, 0, 0, 0, 0, time.UTC)
			b := BackfillConfig{
				Start: "2021-12-30", Count: 1 + random.IntN(3), Windows: 1 + random.IntN(4),
				Every:  setting.Duration(time.Duration(1+random.IntN(30)) * time.Hour),
				Window: setting.Duration(time.Duration(1+random.IntN(8)) * time.Hour),
			}
			f := newFixture(t, 0)
			f.catalogue.SetQuirks(stacsample.Quirks{
				NextStyle: stacsample.NextStyle(random.IntN(9)), DropNextOnFullPage: random.IntN(2) == 0, NoNumberMatched: random.IntN(2) == 0,
			})
			var want []string
			put := func(at time.Time) {
				id := at.Format("20060102T150405.000")
				f.catalogue.Put(stacsample.Item{Collection: collection, ID: id, Datetime: at, BBox: [4]float64{1, 2, 3, 4}})
				for _, w := range b.windows() {
					if !at.Before(w.From) && !at.After(w.To) {
						want = append(want, collection+"/"+id)
					}
				}
			}
			for _, w := range b.windows() {
				for _, at := range []time.Time{w.From, w.To, w.From.Add(-time.Millisecond), w.To.Add(time.Millisecond), w.To.Add(-30 * time.Second)} {
					put(at)
				}
			}
			for range 30 {
				put(start.Add(-time.Duration(random.Int64N(int64(100 * time.Hour)))).Truncate(time.Millisecond))
			}
			slices.Sort(want)
			want = slices.Compact(want)
			c := f.quiet(b)
			for range 2 {
				until := f.requests.Load() + int64(1+random.IntN(12))
				stop := f.run(c)
				redistest.Eventually(t, "some requests are made", func() bool { return f.requests.Load() >= until })
				stop()
			}
			f.run(c)
			redistest.Eventually(t, "the backfill is done", func() bool { return f.isBackfilled(c) })
			if got := f.keys(); !slices.Equal(got, want) {
				t.Errorf("%d events, want %d, of %v", len(got), len(want), b)
			}
			for _, e := range f.events() {
				if mark, _ := e.Attribute("backfill"); mark != "true" {
					t.Errorf("an event of the backfill is not marked: %v", e.Attributes)
				}
			}
		})
	}
}

// TestBackfillIsDoneOnce: a restart searches no window again, another area searches all of them.
func TestBackfillIsDoneOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 5)
	c := f.quiet(BackfillConfig{Start: "2021-12-03", Count: 2, Windows: 2})
	run := func(c *Config) (searched int) {
		before := len(f.catalogue.Requests())
		stop := f.run(c)
		defer stop()
		redistest.Eventually(t, "there were some polls and the backfill is done", func() bool {
			return len(f.catalogue.Requests()) > before+8 && f.isBackfilled(c)
		})
		stop()
		for _, r := range f.catalogue.Requests()[before:] {
			if bytes.Contains(r.Body, []byte(`"datetime":"2021-12`)) {
				searched++
			}
		}
		return searched
	}
	if n := run(c); n != 4 {
		t.Errorf("%d searches for 4 windows", n)
	}
	if n := run(c); n != 0 {
		t.Errorf("a restart makes %d searches", n)
	}
	wider := *c
	wider.BBox = []float64{-180, -90, 180, 90}
	if n := run(&wider); n != 4 {
		t.Errorf("%d searches for 4 windows of another area", n)
	}
	longer := wider
	longer.Backfill = &BackfillConfig{Start: "2021-12-03", Count: 2, Windows: 3}
	if n := run(&longer); n != 2 {
		t.Errorf("%d searches for 2 more windows", n)
	}
}

// TestBackfillGoesOn beside polls that last longer than the interval, and beside a collection that is not there.
func TestBackfillGoesOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 5)
	f.interval = time.Nanosecond
	c := f.quiet(BackfillConfig{Start: "2021-12-03", Count: 2, Windows: 2})
	c.Collections = []string{"typo", collection}
	f.run(c)
	redistest.Eventually(t, "the backfill is done", func() bool { return f.isBackfilled(c) })
	if covered := f.stateOf("typo").Covered; len(covered) > 0 {
		t.Errorf("%v of a collection that is not there was searched", covered)
	}
}

// TestWindowThatCannotBeSearched: the other collection's windows are, the failure is reported, and it is tried again.
func TestWindowThatCannotBeSearched(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3)
	f.catalogue.AddCollection("other", "Other")
	f.catalogue.Put(stacsample.Item{Collection: "other", ID: "a", Datetime: time.Date(2021, 12, 1, 20, 0, 0, 0, time.UTC), BBox: [4]float64{1, 2, 3, 4}})
	f.onRequest(func(_ int, w http.ResponseWriter, r *http.Request) bool {
		body, err := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		broken := err == nil && bytes.Contains(body, []byte(collection)) && bytes.Contains(body, []byte(`"datetime":"2021-12`))
		if broken {
			w.WriteHeader(http.StatusBadRequest)
		}
		return !broken
	})
	c := f.quiet(BackfillConfig{Start: "2021-12-02", Count: 1, Windows: 4})
	c.Collections = []string{collection, "other"}
	f.run(c)
	redistest.Eventually(t, "the other collection is done", func() bool { return f.isBackfilled(c) })
	redistest.Eventually(t, "the failure is reported", func() bool { return strings.Contains(f.logs.String(), "backfill of ") })
	if keys := f.keys(); !slices.Equal(keys, []string{"other/a"}) {
		t.Errorf("events of %v", keys)
	}
	f.onRequest(func(int, http.ResponseWriter, *http.Request) bool { return true })
	redistest.Eventually(t, "the rest is found", func() bool { return len(f.keys()) == 4 })
}

// TestSpans: adding windows in any order gives few spans that cover exactly them.
func TestSpans(t *testing.T) {
	t.Parallel()
	at := func(n int) time.Time { return time.Unix(int64(n), 0).UTC() }
	rapid.Check(t, func(t *rapid.T) {
		var s spans
		var covered [40]bool // covered[i] says that i to i+1 is
		for range rapid.IntRange(0, 12).Draw(t, "windows") {
			from := rapid.IntRange(0, 38).Draw(t, "from")
			to := rapid.IntRange(from+1, 39).Draw(t, "to")
			before := slices.Clone(s)
			next := s.with(stacapi.Interval{From: at(from), To: at(to)})
			if !slices.Equal(before, s) {
				t.Fatal("adding changed the spans before")
			}
			s = next
			for i := from; i < to; i++ {
				covered[i] = true
			}
		}
		saved, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var restored spans
		if err := json.Unmarshal(saved, &restored); err != nil {
			t.Fatal(err)
		}
		for from := range 39 {
			for to := from + 1; to < 40; to++ {
				want := !slices.Contains(covered[from:to], false)
				if got := restored.cover(stacapi.Interval{From: at(from), To: at(to)}); got != want {
					t.Fatalf("%v covers %d to %d: %v", s, from, to, got)
				}
			}
		}
		for i := 1; i < len(s); i++ {
			if !s[i][0].After(s[i-1][1]) {
				t.Fatalf("spans touch: %v", s)
			}
		}
	})
}
