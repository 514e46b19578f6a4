package stac

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/internal/stacsample"
)

// typed returns the partition keys of the events of a type, sorted.
func (f *fixture) typed(eventType string) (keys []string) {
	f.t.Helper()
	for _, e := range f.events() {
		if e.Type() == eventType {
			key, _ := e.Attribute("partitionkey")
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

const (
	typeCreate           = "org.ogc.api.collection.item.create"
	typeUpdate           = "org.ogc.api.collection.item.update"
	typeDelete           = "org.ogc.api.collection.item.delete"
	typeCollectionCreate = "org.ogc.api.collection.create"
	typeCollectionUpdate = "org.ogc.api.collection.update"
	typeCollectionDelete = "org.ogc.api.collection.delete"
)

// awaitSweeps waits until so many sweeps more are complete.
func (f *fixture) awaitSweeps(n int) {
	f.t.Helper()
	for range n {
		before := f.state().Complete[tierSweep]
		redistest.Eventually(f.t, "a sweep is complete", func() bool { return f.state().Complete[tierSweep].After(before) })
	}
}

// TestDeletions become events once, after a restart too, and only where that is turned on; what is made again is new
// again.
func TestDeletions(t *testing.T) {
	t.Parallel()
	for _, enabled := range []bool{true, false} {
		t.Run(fmt.Sprint(enabled), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 30)
			c := f.watchConfig()
			f.tiers = time.Second // what was found a moment ago is not missing
			c.Deletes.Enabled = enabled
			stop := f.run(c)
			f.expectAll()
			f.awaitSweeps(1)
			stop()
			gone := f.catalogue.Items(collection)[:3]
			for _, item := range gone {
				f.catalogue.Delete(collection, item.ID)
			}
			f.run(c)
			if !enabled {
				f.awaitSweeps(3)
				if n := len(f.events()); n != 30 {
					t.Errorf("%d events", n)
				}
				return
			}
			redistest.Eventually(t, "the deletions are found", func() bool { return len(f.typed(typeDelete)) == 3 })
			f.catalogue.Put(gone[0])
			redistest.Eventually(t, "what is made again is found", func() bool { return len(f.typed(typeCreate)) == 31 })
			f.awaitSweeps(3)
			want := []string{collection + "/" + gone[0].ID, collection + "/" + gone[1].ID, collection + "/" + gone[2].ID}
			if got := f.typed(typeDelete); !slices.Equal(got, want) || len(f.events()) != 34 {
				t.Errorf("deletions of %v, want %v; %d events", got, want, len(f.events()))
			}
		})
	}
}

// TestWhatLooksDeletedAndIsNot: items that a server does not show for a while, in all the ways in which servers fail,
// are not taken for deleted.
func TestWhatLooksDeletedAndIsNot(t *testing.T) {
	t.Parallel()
	hide := func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/search" {
			_, _ = fmt.Fprint(w, `{"type":"FeatureCollection","features":[],"links":[]}`)
			return false
		}
		return true
	}
	for name, c := range map[string]struct {
		items     int
		delete    int
		intercept func(w http.ResponseWriter, r *http.Request) bool
		log       string
	}{
		"searches are empty":                     {30, 0, hide, ""},
		"searches are empty, items are 404":      {30, 0, func(w http.ResponseWriter, r *http.Request) bool { return hide(w, r) && !notFound("/items/", w, r) }, ""},
		"items are 500":                          {30, 3, func(w http.ResponseWriter, r *http.Request) bool { return !unavailable("/items/", w, r) }, ""},
		"the collection is 404":                  {30, 3, func(w http.ResponseWriter, r *http.Request) bool { return !notFound("/collections/", w, r) }, ""},
		"a large part of the collection is gone": {60, 50, func(http.ResponseWriter, *http.Request) bool { return true }, "not believed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, c.items)
			config := f.watchConfig()
			f.tiers = time.Second
			config.Deletes.Enabled = true
			f.run(config)
			f.expectAll()
			f.awaitSweeps(1)
			var once sync.Once
			var complete time.Time
			f.onRequest(func(_ int, w http.ResponseWriter, r *http.Request) bool {
				last := f.state().Complete[tierSweep]
				if !complete.IsZero() && last.After(complete) { // no sweep has begun: the next one misses all of them
					once.Do(func() {
						for _, item := range f.catalogue.Items(collection)[:c.delete] {
							f.catalogue.Delete(collection, item.ID)
						}
					})
				}
				complete = last
				return c.intercept(w, r)
			})
			if c.log != "" {
				redistest.Eventually(t, "it is reported", func() bool { return strings.Contains(f.logs.String(), c.log) })
			}
			before := f.requests.Load()
			f.awaitSweeps(3)
			redistest.Eventually(t, "there were more requests", func() bool { return f.requests.Load() > before+20 })
			if got := f.typed(typeDelete); len(got) > 0 {
				t.Errorf("taken for deleted: %v", got)
			}
		})
	}
}

func notFound(path string, w http.ResponseWriter, r *http.Request) bool {
	if !strings.Contains(r.URL.Path, path) {
		return false
	}
	http.Error(w, "{}", http.StatusNotFound)
	return true
}

func unavailable(path string, w http.ResponseWriter, r *http.Request) bool {
	if !strings.Contains(r.URL.Path, path) {
		return false
	}
	http.Error(w, "{}", http.StatusServiceUnavailable)
	return true
}

// TestCollections that match a pattern are watched as they come, and until they go; all items of a new one are new.
func TestCollections(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	put := func(collection, id string, at time.Time) {
		f.catalogue.Put(stacsample.Item{Collection: collection, ID: id, Datetime: at, BBox: [4]float64{1, 2, 3, 4}})
	}
	old := time.Now().AddDate(-3, 0, 0)
	put("sentinel-1", "a", time.Now())
	put("sentinel-1", "old", old)
	put("landsat", "b", time.Now())
	put("other", "c", time.Now())
	c := f.watchConfig()
	c.Collections, c.CollectionEvents, c.Deletes.Enabled, c.StartFrom = []string{"sentinel-*", "land?at"}, true, true, ""
	f.run(c)
	redistest.Eventually(t, "what matches is watched", func() bool {
		return slices.Equal(f.typed(typeCreate), []string{"landsat/b", "sentinel-1/a"})
	})
	f.catalogue.AddCollection("sentinel-2", "Second")
	put("sentinel-2", "d", time.Now())
	put("sentinel-2", "old", old)
	redistest.Eventually(t, "the new collection is watched, with all of its items", func() bool {
		return slices.Equal(f.typed(typeCollectionCreate), []string{"sentinel-2"}) && len(f.typed(typeCreate)) == 4
	})
	f.catalogue.AddCollection("sentinel-2", "Second, with another title")
	redistest.Eventually(t, "its change is found", func() bool { return slices.Equal(f.typed(typeCollectionUpdate), []string{"sentinel-2"}) })
	f.catalogue.DeleteCollection("sentinel-2")
	redistest.Eventually(t, "its deletion is found", func() bool { return slices.Equal(f.typed(typeCollectionDelete), []string{"sentinel-2"}) })
	redistest.Eventually(t, "it is not watched any more", func() bool { return f.stateOf("sentinel-2").Engine == "" })
	if deleted := f.typed(typeDelete); len(deleted) != 0 {
		t.Errorf("items of it were taken for deleted: %v", deleted)
	}
}

// order leaves a backfill and returns its ledger's reader.
func (f *fixture) order(id string, b Backfill) (read func() *ledger) {
	f.t.Helper()
	text, err := json.Marshal(b)
	if err == nil {
		err = source.SendCommand(context.Background(), f.client, f.stream, "watch", OrderBackfill(id), string(text))
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return func() *ledger {
		saved := f.client.HGet(context.Background(), "streamgate:{"+f.stream+"}:source:watch:checkpoint", partBackfill+id).Val()
		l := &ledger{}
		if saved != "" {
			if err := json.Unmarshal([]byte(saved), l); err != nil {
				f.t.Fatal(err)
			}
		}
		return l
	}
}

// pastWatch returns a configuration that finds nothing of what newFixture makes, by itself.
func (f *fixture) pastWatch() *Config {
	c := f.watchConfig()
	f.tiers = 0
	c.StartFrom, c.Warm.Every, c.Cold.Every, c.Sweep.Every = "", 0, 0, 0
	return c
}

// TestOrderedBackfill finds each item of its time once, over restarts, and says how far it is; its events are marked.
// With seed there are none, and none later either.
func TestOrderedBackfill(t *testing.T) {
	t.Parallel()
	for _, seed := range []bool{false, true} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 40)
			c := f.pastWatch()
			from := time.Date(2021, 11, 1, 0, 0, 0, 0, time.UTC)
			b := Backfill{From: from, To: from.AddDate(0, 3, 0), Step: hours(36), Seed: seed, Wanted: WantedRun, Ordered: time.Now()}
			read := f.order("one", b)
			for n := range 5 {
				stop := f.run(c)
				redistest.Eventually(t, "it has come further", func() bool { return read().Done > 10*n })
				stop()
			}
			f.run(c)
			redistest.Eventually(t, "it is done", func() bool { return read().State == backfillDone })
			l := read()
			if windows := len(b.windows()); l.Total != windows || l.Done != windows || l.Items < 40 || l.Events > map[bool]int{false: 40}[seed] || len(l.Failed) > 0 {
				t.Errorf("%+v", l)
			}
			if seed {
				again := b
				again.Seed = false
				again.Ordered = time.Now()
				second := f.order("two", again)
				redistest.Eventually(t, "it is done", func() bool { return second().State == backfillDone })
				if n := len(f.events()); n != 0 {
					t.Errorf("%d events of what was only to be noted", n)
				}
				return
			}
			f.expectAll()
			for _, e := range f.events() {
				if mark, _ := e.Attribute("backfill"); mark != "true" {
					t.Fatal("an event is not marked")
				}
			}
		})
	}
}

// TestBackfillIsPausedAndCanceled, while polls go on.
func TestBackfillIsPausedAndCanceled(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 40)
	c := f.pastWatch()
	from := time.Date(2021, 11, 1, 0, 0, 0, 0, time.UTC)
	b := Backfill{From: from, To: from.AddDate(0, 3, 0), Step: hours(1), Wanted: WantedPause, Ordered: time.Now()}
	read := f.order("one", b)
	f.run(c)
	redistest.Eventually(t, "it is paused", func() bool { return read().State == backfillPaused })
	f.catalogue.Put(f.item(serverKind{stamps: true}, "new", time.Now(), 0))
	redistest.Eventually(t, "polls go on", func() bool { return len(f.events()) == 1 })
	b.Wanted = WantedRun
	f.order("one", b)
	redistest.Eventually(t, "it goes on", func() bool { return read().Done > 3 })
	f.catalogue.Put(f.item(serverKind{stamps: true}, "newer", time.Now(), 0))
	redistest.Eventually(t, "polls go first", func() bool { return slices.Contains(f.keys(), collection+"/newer") })
	b.Wanted = WantedCancel
	f.order("one", b)
	redistest.Eventually(t, "it is canceled", func() bool { return read().State == backfillCanceled })
	redistest.Eventually(t, "the order is taken away", func() bool {
		orders, err := source.Commands(context.Background(), f.client, f.stream, "watch")
		return err == nil && len(orders) == 0
	})
	if l := read(); l.Done >= l.Total {
		t.Errorf("%d of %d windows were searched before", l.Done, l.Total)
	}
}

// TestWindowOfABackfillThatFails is given up after some tries; the others are searched, and the ledger names it.
func TestWindowOfABackfillThatFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 10)
	f.onRequest(func(_ int, w http.ResponseWriter, r *http.Request) bool {
		return !refused(`"datetime":"2021-11-30T`, w, r)
	})
	from := time.Date(2021, 11, 20, 0, 0, 0, 0, time.UTC)
	read := f.order("one", Backfill{From: from, To: from.AddDate(0, 0, 20), Step: hours(24), Wanted: WantedRun, Ordered: time.Now()})
	f.run(f.pastWatch())
	redistest.Eventually(t, "it is done", func() bool { return read().State == backfillDone })
	if l := read(); len(l.Failed) != 1 || l.Failed[0].Collection != collection || !strings.HasPrefix(l.Failed[0].Window, "2021-11-30T") || l.Done != 20 {
		t.Errorf("%+v", l)
	}
}

// TestImpossibleOrdersAreDropped, with a line in the log.
func TestImpossibleOrdersAreDropped(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	f.order("wrong", Backfill{From: time.Now(), To: time.Now().Add(-time.Hour), Step: hours(1)})
	f.run(f.pastWatch())
	redistest.Eventually(t, "it is dropped", func() bool {
		orders, err := source.Commands(context.Background(), f.client, f.stream, "watch")
		return err == nil && len(orders) == 0 && strings.Contains(f.logs.String(), "dropped the command of a backfill")
	})
}

// TestFullMemory: slow work stops before the memory is full, and what is new has the rest of it; that is said loudly,
// once.
func TestFullMemory(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 100)
	c := f.watchConfig()
	c.MaxRemembered = 50
	f.run(c)
	redistest.Eventually(t, "the bound is reported", func() bool { return strings.Contains(f.logs.String(), "capacity for seen items is used up") })
	if n := len(f.events()); n > 45 {
		t.Errorf("slow work has published %d events", n)
	}
	f.catalogue.Put(f.item(serverKind{stamps: true}, "new", time.Now(), 0))
	redistest.Eventually(t, "what is new is published", func() bool { return slices.Contains(f.keys(), collection+"/new") })
	before := f.requests.Load()
	redistest.Eventually(t, "there were more polls", func() bool { return f.requests.Load() > before+20 })
	if n := strings.Count(f.logs.String(), "capacity for seen items is used up"); n != 1 {
		t.Errorf("reported %d times", n)
	}
}

// TestFullMemoryLosesNothing: what could not be published because the memory was full is published when there is room
// again, of polls and of backfills: neither the position nor the ledger has gone on.
func TestFullMemoryLosesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 40)
	kind := serverKind{stamps: true}
	c := f.pastWatch()
	c.MaxRemembered = 20
	from := time.Date(2021, 11, 1, 0, 0, 0, 0, time.UTC)
	read := f.order("one", Backfill{From: from, To: from.AddDate(0, 3, 0), Step: hours(24), Wanted: WantedRun, Ordered: time.Now()})
	stop := f.run(c)
	redistest.Eventually(t, "the backfill has used up the capacity", func() bool { return strings.Contains(f.logs.String(), "capacity for seen items is used up") })
	for i := range 20 {
		f.catalogue.Put(f.item(kind, fmt.Sprint("new-", i), time.Now(), 0))
	}
	before := f.requests.Load()
	redistest.Eventually(t, "there were more polls", func() bool { return f.requests.Load() > before+20 })
	if n := len(f.events()); n > 20 {
		t.Errorf("%d events", n)
	}
	stop()
	c.MaxRemembered = 1000
	f.run(c)
	redistest.Eventually(t, "the backfill is done", func() bool { return read().State == backfillDone })
	f.expectAll()
}

// TestForgetting: what no tier can find any more is removed from the memory, and what one can is not.
func TestForgetting(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 30) // of 2021
	f.catalogue.Put(stacsample.Item{Collection: collection, ID: "new", Datetime: time.Now(), BBox: [4]float64{1, 2, 3, 4}})
	c := f.watchConfig()
	f.tiers = time.Second
	stop := f.run(c)
	f.expectAll()
	f.awaitSweeps(1)
	stop()
	items := func() string {
		return f.client.HGet(context.Background(), "streamgate:{"+f.stream+"}:source:watch:memory", "items").Val()
	}
	if n := items(); n != "31" {
		t.Fatalf("%s things are remembered", n)
	}
	for _, item := range f.catalogue.Items(collection) {
		if item.ID != "new" {
			f.catalogue.Delete(collection, item.ID)
		}
	}
	f.tiers = 200 * time.Millisecond // the first margin is a minute
	f.run(c)
	f.awaitSweeps(3)
	if n := items(); n != "31" {
		t.Errorf("%s things are remembered: a minute has not passed", n)
	}
}
