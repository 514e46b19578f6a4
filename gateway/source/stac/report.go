package stac

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
)

var _ source.Config = (*Config)(nil)

// Report implements source.Config.
func (c *Config) Report(parts map[string][]byte) (report source.Report, err error) {
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		if name, found := strings.CutPrefix(part, partCollection); found {
			state := &collectionState{}
			err = json.Unmarshal(parts[part], state)
			report.Watched = append(report.Watched, state.report(name))
		}
		if id, found := strings.CutPrefix(part, partJob); found {
			l := &ledger{}
			err = json.Unmarshal(parts[part], l)
			report.Backfills = append(report.Backfills, l.report(id))
		}
		if err != nil {
			return report, fmt.Errorf("read the part %q of the checkpoint: %w", part, err)
		}
	}
	return report, nil
}

func (s *collectionState) report(name string) source.Watched {
	w := source.Watched{
		Name: name, Engine: string(s.Engine), Reason: s.Reason,
		Complete: map[string]time.Time{}, Underway: map[string]time.Time{},
	}
	for t, at := range s.Complete {
		w.Complete[string(t)] = at
	}
	for t, p := range s.Passes {
		at := p.At
		if at.IsZero() {
			at = p.Started
		}
		w.Underway[string(t)] = at
	}
	if s.Alarm != nil {
		w.Alarm = fmt.Sprintf("%d of %d items have changed at once; updates are held back since %s", s.Alarm.Updates, s.Alarm.Items, s.Alarm.Since.Format(time.RFC3339))
	}
	return w
}

func (l *ledger) report(id string) source.BackfillReport {
	r := source.BackfillReport{
		ID: id, State: l.State, Windows: l.Total, Done: l.Done, Items: l.Items, Events: l.Events,
		Started: l.Started, Changed: l.Changed, Finished: l.Finished,
	}
	for _, f := range l.Failed {
		r.Failed = append(r.Failed, fmt.Sprintf("%s %s: %s", f.Collection, f.Window, f.Error))
	}
	return r
}

var _ source.Source = (*src)(nil)

// RunOnce implements source.Source: it polls every collection once. The slow tiers are left out.
func (s *src) RunOnce(ctx context.Context) error {
	defer s.client.close()
	if err := s.load(ctx); err != nil {
		return err
	}
	return s.poll(ctx)
}

// Estimate is what a backfill would search.
type Estimate struct {
	Windows int // of all collections
	Items   int // as far as the server tells; those on the shared end of two windows count twice
	Unknown int // windows of which it does not
}

// Estimate asks the server how many items there are in the windows of a backfill, with one small request each. progress is
// called after each of them. It blocks until all is known or ctx ends.
func (c *Config) Estimate(ctx context.Context, b *Backfill, env source.Env, progress func(done, total int)) (e Estimate, err error) {
	client, err := newClient(c, env.UserAgent)
	if err != nil {
		return e, err
	}
	defer client.close()
	s := &src{config: c, client: client, log: env.Logger, now: time.Now, outbox: source.NewPreview(nil, env, nil)}
	if err := client.discover(ctx); err != nil {
		return e, err
	}
	s.states = map[string]*collectionState{}
	if client.isStatic {
		return e, errors.New("a static catalogue cannot be searched; every crawl reads all of it")
	}
	collections, err := s.collections(ctx)
	if err != nil {
		return e, err
	}
	windows := b.windows()
	for _, collection := range collections {
		for _, w := range windows {
			p, err := s.first(ctx, query{collection: collection, window: w, limit: 1})
			if err != nil {
				return e, fmt.Errorf("collection %q, %s: %w", collection, w, err)
			}
			switch {
			case p.matched >= 0:
				e.Items += p.matched
			case len(p.items) > 0:
				e.Unknown++
			}
			e.Windows++
			progress(e.Windows, len(windows)*len(collections))
		}
	}
	return e, nil
}
