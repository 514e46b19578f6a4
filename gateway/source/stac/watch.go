package stac

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/source"
)

// NewSource implements source.Config.
func (c *Config) NewSource(env source.Env) (source.Source, error) {
	client, err := newClient(c, env.UserAgent)
	if err != nil {
		return nil, err
	}
	env.Outbox.Seen().SetLimit(c.MaxRemembered)
	mapper, err := newMapper(client.base, c, env.Name)
	if err != nil {
		return nil, err
	}
	return &src{
		config: c, client: client, outbox: env.Outbox, log: env.Logger, now: time.Now,
		validators: map[string]*validator{}, slices: map[string]sliced{}, served: map[string]map[tier]int{},
		limits: map[string]int{}, checked: map[string]bool{}, skipped: map[string]int{},
		mapper: mapper,
	}, nil
}

// source watches collections. Polls find what is new; between them the slow work is done, a page at a time: tiers that look
// further back, confirmations of what was deleted, and backfills. All of it is one goroutine, because a server is asked one
// thing at a time, and all of it is a [look]: it recalls which items are new or changed, makes their events, and publishes
// them with the note that they were seen, and how far it has come, in one step. A crash before that step makes the next look
// find the same items; a crash after it makes it skip them.
type src struct {
	config *Config
	client *client
	outbox source.Outbox
	mapper mapper
	log    *slog.Logger
	now    func() time.Time

	states  map[string]*collectionState // by collection; as saved
	ledgers map[string]*ledger          // of backfills, by id; as saved
	listing listing                     // as saved

	limits     map[string]int       // page size that worked, by collection
	checked    map[string]bool      // collections that are known to exist
	healthy    map[string]bool      // collections that the last poll has searched completely
	skipped    map[string]int       // items that no event could be made of, in the last complete search, by collection
	suspects   []suspect            // items that may have been deleted
	orders     map[string]string    // of operators
	backfills  map[string]*Backfill // that were ordered and are not done, by id
	ordersRead time.Time
	validators map[string]*validator // of the items of a static catalogue, by address
	nextCrawl  time.Time
	slices     map[string]sliced       // of polls, by collection, where a poll is much
	kind       int                     // of slow work that was done last
	served     map[string]map[tier]int // when the tiers of a collection were looked at last, by turn
	turn       int                     // whose slow work was done last
	nextPoll   time.Time
	polling    bool
	forgot     time.Time // when the memory was last cleared of what is old
	failures   int       // polls in a row that have searched nothing completely
	failing    bool      // something could not be searched, and that was logged
	full       bool      // that the memory is full was logged
}

var _ source.Source = (*src)(nil)

// Run implements source.Source.
func (s *src) Run(ctx context.Context) error {
	defer s.client.close()
	if err := s.load(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		var err error
		if !s.now().Before(s.nextPoll) {
			err = s.poll(ctx)
			s.report(err)
		}
		if isFinal(ctx, err) {
			return err
		}
		worked, err := s.workSlowly(ctx)
		if isFinal(ctx, err) {
			return err
		}
		if err != nil {
			s.report(err)
			continue // the collection is left alone until the next poll
		}
		if !worked {
			backoff.Sleep(ctx, min(time.Until(s.nextPoll), ordersEvery))
		}
	}
	return nil
}

// isFinal tells whether there is nothing left to do on this replica.
func isFinal(ctx context.Context, err error) bool {
	return errors.Is(err, source.ErrFenced) || ctx.Err() != nil
}

// interlude does the poll that has become due in the middle of slow work: the next page can wait.
func (s *src) interlude(ctx context.Context) error {
	if s.polling || s.now().Before(s.nextPoll) {
		return nil
	}
	err := s.poll(ctx)
	s.report(err)
	if isFinal(ctx, err) {
		return err
	}
	return nil
}

// poll looks for what is new in every collection; the failure of one does not keep the others from being searched.
func (s *src) poll(ctx context.Context) (err error) {
	s.polling = true
	began := s.now()
	defer func() {
		s.polling = false
		s.nextPoll = began.Add(s.config.Interval.Std())
		if pause := s.backoff(); pause > 0 && s.nextPoll.Before(s.now().Add(pause)) {
			s.nextPoll = s.now().Add(pause) // because a poll that has failed may have taken longer than the interval
		}
	}()
	s.healthy = map[string]bool{}
	if s.client.endpoint == nil && !s.client.isStatic {
		if err := s.client.discover(ctx); err != nil {
			return err
		}
	}
	if err := s.readOrders(ctx); err != nil {
		return err
	}
	if s.client.isStatic {
		return s.pollStatic(ctx)
	}
	collections, err := s.collections(ctx)
	failures := []error{err}
	for _, collection := range collections {
		err := s.pollCollection(ctx, collection)
		if isFinal(ctx, err) {
			return err
		}
		if err != nil {
			failures = append(failures, s.judge(collection, err))
			continue
		}
		s.healthy[collection] = true
	}
	return errors.Join(failures...)
}

// judge draws the consequences of a failure.
func (s *src) judge(collection string, err error) error {
	if errors.Is(err, errNotBounded) {
		s.demote(collection, s.states[collection], err)
	}
	return fmt.Errorf("collection %q: %w", collection, err)
}

// workSlowly does a piece of what has no hurry, for one collection after the other, and reports whether there was any. It
// leaves out collections that the poll could not search: there is no use in asking their server more.
func (s *src) workSlowly(ctx context.Context) (worked bool, err error) {
	if len(s.healthy) == 0 {
		return false, nil
	}
	kinds := []func(context.Context) (bool, error){s.confirmDeletions, s.stepBackfills, s.stepAnyTier}
	for range kinds { // in turn: a long backfill must not keep the tiers from being looked at, nor the other way round
		s.kind = (s.kind + 1) % len(kinds)
		if worked, err = kinds[s.kind](ctx); worked || err != nil {
			return worked, err
		}
	}
	return false, s.forgetOld(ctx)
}

// stepAnyTier does a piece of a tier of one collection after the other.
func (s *src) stepAnyTier(ctx context.Context) (worked bool, err error) {
	watched := s.listing.Watched
	for range watched {
		s.turn++
		collection := watched[s.turn%len(watched)]
		if !s.healthy[collection] {
			continue
		}
		if worked, err = s.stepTiers(ctx, collection); err != nil {
			return worked, s.failSlowly(ctx, collection, err)
		}
		if worked {
			return true, nil
		}
	}
	return false, nil
}

// backoff returns how long to wait at least.
func (s *src) backoff() time.Duration {
	if len(s.healthy) > 0 {
		s.failures = 0
		return 0
	}
	s.failures++
	return min(s.client.pause<<min(s.failures, 10), maxPause)
}

// report logs an outage once when it begins and once when it ends.
func (s *src) report(err error) {
	switch {
	case err != nil && !s.failing:
		s.log.Warn("the STAC API could not be searched completely; nothing is skipped, the search is repeated", "err", err)
	case err == nil && s.failing:
		s.log.Info("the STAC API is searched completely again")
	}
	s.failing = err != nil
}

// check asks once whether there is such a collection, until the answer is yes.
func (s *src) check(ctx context.Context, collection string) error {
	if s.checked[collection] {
		return nil
	}
	err := s.client.checkCollection(ctx, collection)
	s.checked[collection] = err == nil
	return err
}

// refreshAfter is how old the note of an item may be before it is renewed: half of the shortest time in which two looks at
// it tell that it is gone, and at most a day, so that what is looked at often is not written often.
func (s *src) refreshAfter() time.Duration {
	after := 24 * time.Hour
	for _, every := range []time.Duration{s.config.Warm.Every.Std(), s.config.Cold.Every.Std(), s.config.Sweep.Every.Std()} {
		if every > 0 {
			after = min(after, every/2)
		}
	}
	return after
}

// forgetOld removes from the memory what no tier has found when it last looked at everything: nothing will ask for it
// again, so that it need not be told from what is new.
func (s *src) forgetOld(ctx context.Context) error {
	horizon := s.now()
	for _, collection := range s.listing.Watched {
		state := s.states[collection]
		if state == nil || state.Engine == "" {
			return nil
		}
		for _, t := range append(slowTiers(), tierPoll) {
			complete, found := state.Complete[t]
			if every := s.every(state, t); every == 0 || t == tierWarm && state.Engine == engineScan {
				continue
			}
			if !found {
				return nil
			}
			if complete.Before(horizon) {
				horizon = complete
			}
		}
	}
	if len(s.listing.Watched) == 0 || !horizon.After(s.forgot.Add(s.refreshAfter())) {
		return nil
	}
	forgotten, err := s.outbox.Seen().Forget(ctx, horizon.Add(-s.refreshAfter()-time.Minute))
	if err != nil {
		return err
	}
	s.forgot = horizon
	if forgotten > 0 {
		s.log.Info("forgot items that no search finds any more", "items", forgotten)
	}
	return nil
}

// slowShare is the part of the memory that slow work may fill; the rest is kept for what is new.
const slowShare = 0.9

// admitSlow refuses to remember what slow work has found where that would leave no room for what is new.
func (s *src) admitSlow(ctx context.Context, added int) error {
	if added == 0 {
		return nil
	}
	remembered, err := s.outbox.Seen().Count(ctx)
	if err != nil {
		return err
	}
	limit := int64(slowShare * float64(s.outbox.Seen().Limit()))
	if remembered+int64(added) <= limit {
		s.full = s.full && remembered > limit/2
		return nil
	}
	if !s.full {
		s.full = true
		s.log.Error("the memory of the source is full; only polls go on, and what they find is still published as long as there is room for it; "+
			"watch less (bbox, filter, sweep.back) or raise maxRemembered", "items", remembered, "max_remembered", s.outbox.Seen().Limit())
	}
	return fmt.Errorf("%w: %d of %d, of which the last tenth is kept for what is new", source.ErrSeenFull, remembered, s.outbox.Seen().Limit())
}
