package stac

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	mapper, err := newMapper(client.base, c, env.Name)
	if err != nil {
		return nil, err
	}
	return &source{
		config: c, client: client, outbox: env.Outbox, log: env.Logger,
		limits: map[string]int{}, checked: map[string]bool{}, skipped: map[string]int{},
		mapper: mapper,
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

	state    checkpoint
	limits   map[string]int  // page size that worked, by collection
	checked  map[string]bool // collections that are known to exist
	healthy  map[string]bool // collections that the last poll has searched completely
	skipped  map[string]int  // items that no event could be made of, in the last complete search, by collection
	failures int             // polls in a row that have searched nothing completely
	failing  bool            // something could not be searched, and that was logged
}

var _ gateway.Source = (*source)(nil)

// checkpoint is what the source remembers beside the versions that it has published.
type checkpoint struct {
	Version int `json:"version"`
	// Complete holds for each collection when its last complete poll began.
	Complete map[string]time.Time `json:"complete"`
	// Began holds for each collection that has not been polled completely yet when that was first tried: a server that is
	// down for long at the beginning must not cost what was to be searched then.
	Began map[string]time.Time `json:"began,omitempty"`
	// Covered holds what the backfill has searched, by search.
	Covered map[string]spans `json:"covered,omitempty"`
}

// Run implements gateway.Source.
func (s *source) Run(ctx context.Context) error {
	defer s.client.close()
	if err := s.load(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		next := time.Now().Add(s.config.Interval.Std())
		err := errors.Join(s.poll(ctx), s.backfillUntil(ctx, next))
		if errors.Is(err, gateway.ErrFenced) || ctx.Err() != nil {
			return err
		}
		s.report(err)
		gateway.Sleep(ctx, max(time.Until(next), s.backoff()))
	}
	return nil
}

// backoff returns how long to wait at least, because a poll that has failed may have taken longer than the interval.
func (s *source) backoff() time.Duration {
	if len(s.healthy) > 0 {
		s.failures = 0
		return 0
	}
	s.failures++
	return min(s.client.pause<<min(s.failures, 10), maxPause)
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
	s.state = checkpoint{Version: 1}
	if saved != nil {
		if err := json.Unmarshal(saved, &s.state); err != nil {
			return fmt.Errorf("read the checkpoint: %w", err)
		}
	}
	old := s.state
	s.state.Complete, s.state.Began, s.state.Covered = map[string]time.Time{}, map[string]time.Time{}, map[string]spans{}
	for _, collection := range s.config.Collections { // and nothing of those that are not watched any more
		if complete, found := old.Complete[collection]; found {
			s.state.Complete[collection] = complete
		} else if began, found := old.Began[collection]; found {
			s.state.Began[collection] = began
		} else {
			s.state.Began[collection] = time.Now().UTC()
		}
		if key := s.coverageKey(collection); old.Covered[key] != nil {
			s.state.Covered[key] = old.Covered[key]
		}
	}
	return s.save(ctx, nil)
}

// save publishes and saves the checkpoint in one step.
func (s *source) save(ctx context.Context, emissions []gateway.Emission) error {
	saved, err := json.Marshal(&s.state)
	if err != nil {
		return fmt.Errorf("encode the checkpoint: %w", err)
	}
	_, err = s.outbox.Publish(ctx, emissions, saved)
	return err
}

// coverageKey names a search, so that another area or filter is another search and finds its windows not done.
func (s *source) coverageKey(collection string) string {
	c := s.config
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%v\n%s\n%s", collectionURL(s.client.base, collection), c.BBox, c.Intersects, c.Filter))
	return collection + " " + hex.EncodeToString(sum[:8])
}

// poll searches every collection; the failure of one does not keep the others from being searched.
func (s *source) poll(ctx context.Context) error {
	s.healthy = map[string]bool{}
	if s.client.endpoint == nil {
		if err := s.client.discover(ctx); err != nil {
			return err
		}
	}
	var failures []error
	for _, collection := range s.config.Collections {
		err := s.pollCollection(ctx, collection)
		if errors.Is(err, gateway.ErrFenced) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("collection %q: %w", collection, err))
		} else {
			s.healthy[collection] = true
		}
	}
	return errors.Join(failures...)
}

func (s *source) pollCollection(ctx context.Context, collection string) error {
	if err := s.check(ctx, collection); err != nil {
		return err
	}
	started := time.Now().UTC()
	b := &batch{source: s, collection: collection}
	return s.search(ctx, b, s.liveWindow(collection, started), func() {
		s.state.Complete[collection] = started
		delete(s.state.Began, collection)
	})
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
// poll or, as long as there was none, the first one, however long ago that was.
func (s *source) liveWindow(collection string, now time.Time) interval {
	if s.config.Datetime != "" {
		w, err := parseInterval(s.config.Datetime)
		if err == nil { // Validate has refused anything else
			return w
		}
	}
	since, found := s.state.Complete[collection]
	if !found {
		since = s.state.Began[collection]
	}
	if since.After(now) { // the clock was set back
		since = now
	}
	return interval{from: since.Add(-s.config.Lookback.Std())}
}

// backfillUntil searches windows of the backfill that are not done, at least one and then until the next poll is due. It
// leaves out collections that the poll could not search: there is no use in asking their server more.
func (s *source) backfillUntil(ctx context.Context, next time.Time) error {
	if s.config.Backfill == nil {
		return nil
	}
	var failures []error
	failed, begun := map[string]bool{}, false
	for _, window := range s.config.Backfill.withDefaults().windows() {
		for _, collection := range s.config.Collections {
			key := s.coverageKey(collection)
			if !s.healthy[collection] || failed[collection] || s.state.Covered[key].cover(window) {
				continue
			}
			if begun && !time.Now().Before(next) {
				return errors.Join(failures...)
			}
			begun = true
			b := &batch{source: s, collection: collection, backfill: true}
			err := s.search(ctx, b, window, func() { s.state.Covered[key] = s.state.Covered[key].with(window) })
			if errors.Is(err, gateway.ErrFenced) || ctx.Err() != nil {
				return err
			}
			if err != nil {
				failed[collection] = true
				failures = append(failures, fmt.Errorf("backfill of collection %q, %s: %w", collection, window, err))
			}
		}
	}
	return errors.Join(failures...)
}

// search publishes what is new in one window of one collection. When everything was seen, done changes the checkpoint,
// which is saved in the same step as the last events.
func (s *source) search(ctx context.Context, b *batch, w interval, done func()) error {
	limit := s.limits[b.collection]
	if limit == 0 {
		limit = s.config.Limit
	}
	scan := newScan(s.client, query{config: s.config, collection: b.collection, window: w, limit: limit}, b.add)
	if err := scan.run(ctx); err != nil {
		// What was found is new, whether the search was complete or not. The page size that it ended with says nothing: a
		// server that is down fails with the smallest.
		return errors.Join(err, b.flush(ctx))
	}
	s.limits[b.collection] = min(scan.limit+scan.limit/4+1, s.config.Limit) // a page size that failed is not tried again at once
	b.reportSkipped()
	done()
	return s.save(ctx, b.take())
}
