package stac

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// verify compares the catalogue of December 2021 with the stream.
func (f *fixture) verify(c *Config) (*Verification, *Backfill) {
	f.t.Helper()
	from := time.Date(2021, 11, 1, 0, 0, 0, 0, time.UTC)
	b := &Backfill{From: from, To: from.AddDate(0, 3, 0), Step: hours(24), Wanted: WantedRun, Ordered: time.Now()}
	env := source.Env{Name: "watch", Stream: f.stream, Redis: f.client, Logger: slog.New(slog.DiscardHandler)}
	windows := 0
	v, err := c.Verify(context.Background(), b, env, func(v *Verification, _ int) { windows = v.Windows })
	if err != nil {
		f.t.Fatal(err)
	}
	if windows != v.Windows || v.Windows != len(b.windows()) || v.Items != len(f.want()) {
		f.t.Errorf("%d windows of %d, %d items", windows, v.Windows, v.Items)
	}
	return v, b
}

// TestVerify: what was never published is missing, and so is what the stream has lost; what is there twice is doubled;
// a repair publishes what is missing, once.
func TestVerify(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 30)
	ctx := context.Background()
	c := f.noting()
	c.StartFrom = "2021-12-01T10:00:00Z"
	runUntil := func(what string, done func() bool) {
		stop := f.run(c)
		redistest.Eventually(t, what, done)
		stop()
	}
	runUntil("everything was searched", func() bool { return !f.state().Complete[tierSweep].IsZero() })
	published := f.keys()
	if len(published) == 0 || len(published) == 30 {
		t.Fatalf("%d of 30 items are new", len(published))
	}
	entries, err := redisstreams.ReadAfter(ctx, f.client, f.stream, "0", 100, -1)
	if err != nil {
		t.Fatal(err)
	}
	twice := f.client.XRange(ctx, f.stream, entries[0].ID, entries[0].ID).Val()[0]
	var fields []any
	for name, value := range twice.Values {
		fields = append(fields, name, value)
	}
	f.client.Do(ctx, append([]any{"xadd", f.stream, "*"}, fields...)...)
	v, b := f.verify(c)
	if v.Missing != 30-len(published) || len(v.MissingItems) != v.Missing || v.Doubled != 1 || v.Removed != 0 ||
		len(v.DoubledItems) != 1 || slices.Contains(published, v.MissingItems[0]) {
		t.Errorf("%+v", v)
	}
	read := f.order("repair", *v.Repair(b))
	runUntil("it is repaired", func() bool { return read().State == backfillDone })
	if v, _ := f.verify(c); v.Missing != 0 || v.Doubled != 1 || len(f.events()) != 31 {
		t.Errorf("%d events, %+v", len(f.events()), v)
	}

	// Retention takes entries away: that is not a loss. Without a trace of that, as after a restore, it is one.
	f.client.XDel(ctx, f.stream, entries[1].ID)
	if v, _ := f.verify(c); v.Missing != 0 || v.Removed != 1 {
		t.Errorf("%+v", v)
	}
	kept := f.client.XRange(ctx, f.stream, "-", "+").Val()
	f.client.Del(ctx, f.stream)
	for _, one := range kept {
		fields = fields[:0]
		for name, value := range one.Values {
			fields = append(fields, name, value)
		}
		if err := f.client.Do(ctx, append([]any{"xadd", f.stream, one.ID}, fields...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	v, b = f.verify(c)
	if v.Missing != 1 || v.Removed != 0 {
		t.Fatalf("%+v", v)
	}
	again := f.order("again", *v.Repair(b))
	runUntil("it is repaired", func() bool { return again().State == backfillDone })
	if v, _ := f.verify(c); v.Missing != 0 || len(f.events()) != 31 || again().Events != 1 {
		t.Errorf("%d events, %+v, %s", len(f.events()), v, fmt.Sprint(again().Events))
	}
}
