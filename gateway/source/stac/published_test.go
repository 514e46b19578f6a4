package stac

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/internal/stacsample"
)

// putOld puts items of random times of the last years, and some of the last days, and returns their times by key.
func (f *fixture) putOld(random *rand.Rand, n int) map[string]time.Time {
	at := map[string]time.Time{}
	for i := range n {
		age := time.Duration(random.Int64N(int64(3 * 365 * 24 * time.Hour)))
		if i%5 == 0 {
			age = time.Duration(random.Int64N(int64(6 * 24 * time.Hour)))
		}
		begins := time.Now().Add(-age).UTC().Truncate(time.Second)
		id := fmt.Sprint("S2_", i)
		f.catalogue.Put(stacsample.Item{Collection: collection, ID: id, Datetime: begins, BBox: [4]float64{1, 2, 3, 4}})
		at[collection+"/"+id] = begins
	}
	return at
}

// noting returns a configuration whose tiers and sweeps soon note everything that is older than the watch.
func (f *fixture) noting() *Config {
	c := f.watchConfig()
	c.Engine, c.StartFrom = string(engineWindows), startNow
	return c
}

// orderSpan orders a backfill and returns its ledger's reader.
func (f *fixture) orderSpan(id string, from, to time.Time) (b Backfill, read func() *ledger) {
	b = Backfill{From: from, To: to, Step: hours(90 * 24), Wanted: WantedRun, Ordered: time.Now()}
	return b, f.order(id, b)
}

// TestBackfillPublishesWhatWasOnlyNoted: whatever polls, tiers, sweeps, restarts and overlapping backfills come in
// between, and wherever the watch begins, each item in the time of a backfill becomes one event, and no item two.
func TestBackfillPublishesWhatWasOnlyNoted(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 22))
			f := newFixture(t, 0)
			f.catalogue.SetQuirks(stacsample.Quirks{
				NextStyle: stacsample.NextStyle(random.IntN(9)), NoNumberMatched: random.IntN(2) == 0,
			})
			times := f.putOld(random, 120)
			c := f.noting()
			c.StartFrom = []string{startNow, "", time.Now().AddDate(-1, 0, 0).UTC().Format(time.RFC3339)}[random.IntN(3)]
			c.Engine = []string{engineAuto, string(engineWindows)}[random.IntN(2)]
			if random.IntN(3) == 0 {
				c.Backfill = &BackfillConfig{From: "2025-01-01", To: "2026-01-01", Step: hours(1000)}
			}
			now := time.Now().UTC().Truncate(time.Second)
			var ordered []Backfill
			var ledgers []func() *ledger
			for n := range 4 {
				if n == 3 || random.IntN(2) == 0 {
					from := now.AddDate(0, -random.IntN(36)-1, 0)
					b, read := f.orderSpan(fmt.Sprint(n), from, from.AddDate(0, 1+random.IntN(12), 0))
					ordered, ledgers = append(ordered, b), append(ledgers, read)
				}
				until := f.requests.Load() + int64(1+random.IntN(60))
				stop := f.run(c)
				redistest.Eventually(t, "some requests are made", func() bool { return f.requests.Load() >= until })
				stop()
			}
			f.run(c)
			for _, read := range ledgers {
				redistest.Eventually(t, "the backfills are done", func() bool { return read().State == backfillDone })
			}
			got := f.keys()
			if twice := len(got) - len(slices.Compact(slices.Clone(got))); twice > 0 {
				t.Errorf("%d of %d events are of an item that had one already", twice, len(got))
			}
			for key, at := range times {
				isWanted := slices.ContainsFunc(ordered, func(b Backfill) bool { return !at.Before(b.From) && !at.After(b.To) })
				if isWanted && !slices.Contains(got, key) {
					t.Errorf("%s of %s was never published", key, at)
				}
			}
		})
	}
}

// noteAll runs a watch until it has noted everything and published nothing, and returns its configuration.
func (f *fixture) noteAll() *Config {
	f.t.Helper()
	c := f.noting()
	stop := f.run(c)
	redistest.Eventually(f.t, "everything was noted", func() bool { return !f.state().Complete[tierSweep].IsZero() })
	stop()
	if n := len(f.events()); n != 0 {
		f.t.Fatalf("%d events of what was there before", n)
	}
	return c
}

// TestEstimateTellsWhatComes: the number of a dry run is that of the events, before and after, with and without seed.
func TestEstimateTellsWhatComes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 60)
	c := f.noteAll()
	from := time.Date(2021, 11, 1, 0, 0, 0, 0, time.UTC)
	estimate := func(b Backfill) int {
		t.Helper()
		env := source.Env{Name: "watch", Stream: f.stream, Redis: f.client, Logger: slog.New(slog.DiscardHandler)}
		e, err := c.Estimate(context.Background(), &b, env, func(Estimate, int) {})
		if err != nil {
			t.Fatal(err)
		}
		return e.Events
	}
	all := Backfill{From: from, To: from.AddDate(0, 3, 0), Step: hours(36), Wanted: WantedRun, Ordered: time.Now()}
	seed := all
	seed.Seed = true
	half := all
	half.To = time.Date(2021, 12, 1, 12, 0, 0, 0, time.UTC)
	for n, b := range []Backfill{half, all, all, seed} {
		before, want := len(f.events()), estimate(b)
		read := f.order(fmt.Sprint(n), b)
		stop := f.run(c)
		redistest.Eventually(t, "it is done", func() bool { return read().State == backfillDone })
		stop()
		if got := len(f.events()) - before; got != want || read().Events != want || n == 0 && (want == 0 || want == 60) {
			t.Errorf("backfill %d: %d events, the ledger says %d, the estimate said %d", n, got, read().Events, want)
		}
	}
	f.expectAll()
}

// asOldBuild rewrites what is kept of all items as the builds before marks wrote it: with the seconds since 1970 in 4
// bytes.
func (f *fixture) asOldBuild() {
	f.t.Helper()
	ctx := context.Background()
	for bucket := uint32(0); ; bucket++ {
		key := state.BucketKey(f.stream, "watch", bucket)
		kept := f.client.HGetAll(ctx, key).Val()
		if len(kept) == 0 {
			return
		}
		for digest, one := range kept {
			old := binary.BigEndian.AppendUint32([]byte(one[:12]), uint32(time.Now().Unix())) //nolint:gosec // until 2106
			if err := f.client.HSet(ctx, key, digest, append(old, one[16:]...)).Err(); err != nil {
				f.t.Fatal(err)
			}
		}
	}
}

// TestUpgradeOfSeenItems: of items without a mark, those that were old when the watch began come with a backfill, once;
// the others were published and do not come again. Nothing comes by itself, and sweeps that note them again change
// nothing of it.
func TestUpgradeOfSeenItems(t *testing.T) {
	t.Parallel()
	for _, sweeps := range []int{0, 3} {
		t.Run(fmt.Sprint(sweeps), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 40)
			c := f.noting()
			c.Deletes.Enabled = true // so that every sweep notes what it finds
			c.StartFrom = "2021-12-01T10:00:00Z"
			run := func(searches int) {
				stop := f.run(c)
				defer stop()
				for range searches {
					swept := f.state().Complete[tierSweep]
					redistest.Eventually(t, "another sweep is complete", func() bool {
						return f.state().Complete[tierSweep].After(swept)
					})
				}
			}
			run(1)
			published := len(f.events())
			if published == 0 || published == 40 {
				t.Fatalf("%d of 40 items are new", published)
			}
			f.asOldBuild()
			run(sweeps)
			if n := len(f.events()); n != published {
				t.Fatalf("%d events, and %d after the upgrade", published, n)
			}
			for n := range 2 {
				from := time.Date(2021, 11, 1, 0, 0, 0, 0, time.UTC)
				_, read := f.orderSpan(fmt.Sprint(n), from, from.AddDate(0, 3, 0))
				stop := f.run(c)
				redistest.Eventually(t, "the backfill is done", func() bool { return read().State == backfillDone })
				stop()
				f.expectAll()
			}
		})
	}
}

// TestSeededItemsAreSettled: what a seed has noted, before or after a sweep did, no backfill publishes.
func TestSeededItemsAreSettled(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 20)
	c := f.noteAll()
	from := time.Date(2021, 11, 1, 0, 0, 0, 0, time.UTC)
	for n, isSeed := range []bool{true, false} {
		read := f.order(fmt.Sprint(n), Backfill{
			From: from, To: from.AddDate(0, 3, 0), Step: setting.Duration(90 * 24 * time.Hour), Seed: isSeed, Wanted: WantedRun,
		})
		stop := f.run(c)
		redistest.Eventually(t, "it is done", func() bool { return read().State == backfillDone })
		stop()
	}
	if n := len(f.events()); n != 0 {
		t.Errorf("%d events of what an operator said was not new", n)
	}
}

// TestConfiguredBackfillIsShown with its windows, items and events.
func TestConfiguredBackfillIsShown(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 10)
	c := f.quiet(BackfillConfig{From: "2021-11-01", To: "2021-12-31", Step: hours(240)})
	f.run(c)
	redistest.Eventually(t, "the backfill is done", func() bool { return f.isBackfilled(c) })
	blocks := []source.Block{{Name: "watch", Type: "stac", Stream: f.stream, Config: c}}
	list, err := source.Statuses(context.Background(), f.client, blocks)
	if err != nil {
		t.Fatal(err)
	}
	if len(list[0].Backfills) != 1 {
		t.Fatalf("%+v", list[0])
	}
	b := list[0].Backfills[0]
	if b.ID != "configuration" || b.State != "done" || b.Windows != 6 || b.Done != 6 || b.Events != 10 || b.Finished.IsZero() {
		t.Errorf("%+v", b)
	}
}
