package stac

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// reportOf returns what operators are shown of a checkpoint.
func reportOf(c *Config, parts map[string][]byte) (report source.Report, err error) {
	configured := configuredBackfill{id: configuredID, windows: c.configuredWindows()}
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		if name, found := strings.CutPrefix(part, partCollection); found {
			state := &collectionState{}
			err = json.Unmarshal(parts[part], state)
			report.Watched = append(report.Watched, state.report(name))
			configured.add(state)
		}
		if id, found := strings.CutPrefix(part, partBackfill); found {
			l := &ledger{}
			err = json.Unmarshal(parts[part], l)
			report.Backfills = append(report.Backfills, l.report(id))
		}
		if err != nil {
			return report, fmt.Errorf("read the part %q of the checkpoint: %w", part, err)
		}
	}
	if len(configured.windows) > 0 {
		report.Backfills = append(report.Backfills, configured.report())
	}
	return report, nil
}

// configuredID is what the backfill of the configuration is called where backfills are shown.
const configuredID = "configuration"

// configuredBackfill adds up how far the backfill of the configuration has come in each collection.
type configuredBackfill struct {
	id      string
	windows []stacapi.Interval

	collections, done, items, events int
	started, changed                 time.Time
}

func (b *configuredBackfill) add(s *collectionState) {
	b.collections++
	for _, w := range b.windows {
		if s.Covered.cover(w) {
			b.done++
		}
	}
	p := s.Past
	b.items, b.events, b.changed = b.items+p.Items, b.events+p.Events, laterOf(b.changed, p.Changed)
	if b.started.IsZero() || s.Began.Before(b.started) {
		b.started = s.Began
	}
}

func (b *configuredBackfill) report() source.BackfillReport {
	r := source.BackfillReport{
		ID: b.id, State: backfillRunning, Windows: len(b.windows) * max(b.collections, 1), Done: b.done,
		Items: b.items, Events: b.events, Started: b.started, Changed: b.changed,
	}
	if r.Done == r.Windows {
		r.State, r.Finished = backfillDone, b.changed
	}
	return r
}

// Estimate is what a backfill would do.
type Estimate struct {
	Windows int `json:"windows"` // of all collections
	Items   int `json:"items"`   // that the server has in them; those on the shared end of two windows count twice
	Events  int `json:"events"`  // that would be published
}

// estimate searches the windows of a backfill as the backfill does, and publishes nothing: s has a preview for an
// outbox.
func estimate(
	ctx context.Context, s *watcher, b *Backfill, progress func(e Estimate, total int),
) (e Estimate, err error) {
	err = s.eachWindow(ctx, b, func(collection string, w stacapi.Interval, total int) error {
		s.states.begin(collection)
		one := s.backfills.begin(collection, w, b)
		if err := one.run(ctx, func() []source.Save { return nil }); err != nil {
			return err
		}
		e.Items += one.counts.items
		e.Events += one.counts.events
		e.Windows++
		progress(e, total)
		return nil
	})
	return e, err
}

// eachWindow calls do for each collection in each window of a backfill, the newest window first. s has a preview for an
// outbox, and is used for nothing else.
func (s *watcher) eachWindow(
	ctx context.Context, b *Backfill, do func(collection string, w stacapi.Interval, total int) error,
) error {
	if err := s.load(ctx); err != nil {
		return err
	}
	s.isPolling = true // no poll comes between
	kind, err := s.api.Discover(ctx)
	if err != nil {
		return err
	}
	if kind == stacapi.KindCatalog {
		return errStaticCatalog
	}
	watched, err := s.collections.refresh(ctx)
	if err != nil {
		return err
	}
	windows := b.windows()
	for _, w := range windows {
		for _, collection := range watched {
			if err := do(collection, w, len(windows)*len(watched)); err != nil {
				return fmt.Errorf("collection %q, %s: %w", collection, w, err)
			}
		}
	}
	return nil
}
