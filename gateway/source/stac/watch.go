package stac

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/streamgate/streamgate/gateway"
)

// NewSource implements gateway.SourceConfig.
func (c *Config) NewSource(env gateway.SourceEnv) (gateway.Source, error) {
	client, err := newClient(c, env.UserAgent)
	if err != nil {
		return nil, err
	}
	return &source{
		config: c, client: client, outbox: env.Outbox, log: env.Logger, limits: map[string]int{}, checked: map[string]bool{},
		mapper: mapper{api: client.base, config: c, now: time.Now},
	}, nil
}

// source polls the collections, and between the polls searches the windows of the backfill. Its order of work for a page:
// look up which items are new or changed, make their events, and publish them with the note that they were seen in one
// step. A crash before that step makes the next search find the same items; a crash after it makes it skip them.
type source struct {
	config *Config
	client *client
	outbox *gateway.Outbox
	mapper mapper
	log    *slog.Logger

	state   checkpoint
	limits  map[string]int  // page size that worked, by collection
	checked map[string]bool // collections that are known to exist
	failing bool
}

var _ gateway.Source = (*source)(nil)

// checkpoint is what the source remembers beside the versions that it has published.
type checkpoint struct {
	Version int `json:"version"`
	// Complete holds for each collection when its last complete poll began.
	Complete map[string]time.Time `json:"complete"`
	// Backfilled holds the windows that are done, as collection and interval.
	Backfilled map[string]bool `json:"backfilled,omitempty"`
}

// Run implements gateway.Source.
func (s *source) Run(ctx context.Context) error {
	defer s.client.close()
	if err := s.load(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		next := time.Now().Add(s.config.Interval.Std())
		err := s.poll(ctx)
		if err == nil {
			err = s.backfillUntil(ctx, next)
		}
		if errors.Is(err, gateway.ErrFenced) || ctx.Err() != nil {
			return err
		}
		s.report(err)
		gateway.Sleep(ctx, time.Until(next))
	}
	return nil
}

// report logs an outage once when it begins and once when it ends.
func (s *source) report(err error) {
	switch {
	case err != nil && !s.failing:
		s.log.Warn("the STAC API could not be searched completely; nothing is skipped, the search is repeated", "err", err)
	case err == nil && s.failing:
		s.log.Info("the STAC API is searched completely again")
	}
	s.failing = err != nil
}

func (s *source) load(ctx context.Context) error {
	saved, err := s.outbox.Checkpoint(ctx)
	if err != nil {
		return err
	}
	s.state = checkpoint{Version: 1, Complete: map[string]time.Time{}, Backfilled: map[string]bool{}}
	if saved == nil {
		return nil
	}
	if err := json.Unmarshal(saved, &s.state); err != nil {
		return fmt.Errorf("read the checkpoint: %w", err)
	}
	return nil
}

// poll searches every collection; the failure of one does not keep the others from being searched.
func (s *source) poll(ctx context.Context) error {
	if s.client.endpoint == nil {
		if err := s.client.discover(ctx); err != nil {
			return err
		}
	}
	var failures []error
	for _, collection := range s.config.Collections {
		started := time.Now().UTC()
		err := s.check(ctx, collection)
		if err == nil {
			err = s.search(ctx, collection, s.liveWindow(collection, started), false, func() { s.state.Complete[collection] = started })
		}
		if errors.Is(err, gateway.ErrFenced) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("collection %q: %w", collection, err))
		}
	}
	return errors.Join(failures...)
}

// check asks once whether there is such a collection, until the answer is yes.
func (s *source) check(ctx context.Context, collection string) error {
	if s.checked[collection] {
		return nil
	}
	err := s.client.checkCollection(ctx, collection)
	s.checked[collection] = err == nil
	return err
}

// liveWindow returns what a poll searches: the configured interval, or everything since lookback before the last complete
// poll, however long ago that was.
func (s *source) liveWindow(collection string, now time.Time) interval {
	if s.config.Datetime != "" {
		w, err := parseInterval(s.config.Datetime)
		if err == nil { // Validate has refused anything else
			return w
		}
	}
	since := now
	if complete, found := s.state.Complete[collection]; found && complete.Before(now) {
		since = complete
	}
	return interval{from: since.Add(-s.config.Lookback.Std())}
}

// backfillUntil searches windows of the backfill that are not done, until the next poll is due.
func (s *source) backfillUntil(ctx context.Context, next time.Time) error {
	if s.config.Backfill == nil {
		return nil
	}
	for _, window := range s.config.Backfill.withDefaults().windows() {
		for _, collection := range s.config.Collections {
			key := collection + " " + window.String()
			if s.state.Backfilled[key] {
				continue
			}
			if !time.Now().Before(next) {
				return nil
			}
			if err := s.search(ctx, collection, window, true, func() { s.state.Backfilled[key] = true }); err != nil {
				return fmt.Errorf("backfill of collection %q, %s: %w", collection, window, err)
			}
		}
	}
	return nil
}

// search publishes what is new in one window of one collection. When everything was seen, done changes the checkpoint,
// which is saved in the same step as the last events.
func (s *source) search(ctx context.Context, collection string, w interval, backfill bool, done func()) error {
	limit := s.limits[collection]
	if limit == 0 {
		limit = s.config.Limit
	}
	b := &batch{source: s, collection: collection, backfill: backfill}
	scan := newScan(s.client, query{config: s.config, collection: collection, window: w, limit: limit}, b.add)
	err := scan.run(ctx)
	s.limits[collection] = scan.limit
	if err != nil {
		return errors.Join(err, b.flush(ctx, nil)) // what was found is new, whether the search was complete or not
	}
	s.limits[collection] = min(scan.limit+max(scan.limit/10, 1), s.config.Limit) // a page size that failed is not tried again at once
	done()
	saved, err := json.Marshal(&s.state)
	if err != nil {
		return fmt.Errorf("encode the checkpoint: %w", err)
	}
	b.reportSkipped()
	return b.flush(ctx, saved)
}

// batch holds the events of a page back until the next one is there, so that the last ones go with the checkpoint.
type batch struct {
	source     *source
	collection string
	backfill   bool
	emissions  []gateway.Emission
	skipped    int
	lastErr    error
}

// add publishes the events of the page before and makes those of this one.
func (b *batch) add(ctx context.Context, p *page) error {
	if err := b.flush(ctx, nil); err != nil {
		return err
	}
	items := make([]*item, 0, len(p.items))
	for _, raw := range p.items {
		i, version, err := b.read(raw)
		if err != nil {
			b.skipped++
			b.lastErr = err
			continue
		}
		items = append(items, i)
		b.emissions = append(b.emissions, gateway.Emission{Key: b.collection + "\x00" + i.ID, Version: version})
	}
	changes, err := b.source.outbox.Classify(ctx, b.emissions)
	if err != nil {
		b.emissions = nil
		return err
	}
	kept := b.emissions[:0]
	for n, change := range changes {
		if change == gateway.Unchanged {
			continue
		}
		emission := b.emissions[n]
		emission.Event, err = b.source.mapper.event(items[n], b.collection, emission.Version, change, p.from)
		if err != nil {
			b.skipped++
			b.lastErr = fmt.Errorf("item %q: %w", items[n].ID, err)
			continue
		}
		if b.backfill {
			emission.Event.Set("backfill", "true")
		}
		kept = append(kept, emission)
	}
	b.emissions = kept
	return nil
}

func (b *batch) read(raw json.RawMessage) (i *item, version string, err error) {
	if i, err = parseItem(raw); err != nil {
		return nil, "", err
	}
	if i.Collection != "" && i.Collection != b.collection {
		return nil, "", fmt.Errorf("item %q is of collection %q, which was not asked for", i.ID, i.Collection)
	}
	version, err = i.version()
	return i, version, err
}

func (b *batch) flush(ctx context.Context, saved []byte) error {
	emissions := b.emissions
	b.emissions = nil
	if len(emissions) == 0 && saved == nil {
		return nil
	}
	_, err := b.source.outbox.Publish(ctx, emissions, saved)
	return err
}

func (b *batch) reportSkipped() {
	if b.skipped > 0 {
		b.source.log.Warn("items were skipped because no event can be made of them", "collection", b.collection, "items", b.skipped, "err", b.lastErr)
	}
}
