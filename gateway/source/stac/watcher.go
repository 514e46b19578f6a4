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

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// watcher watches collections. Polls find what is new; between them the slow work is done, a page at a time: tiers that
// search further back, confirmations of deletions, and backfills. All of it is one goroutine, because a server is asked
// one thing at a time; so nothing here needs a lock.
//
// The source only wires its parts and decides whose turn it is. Each part owns its state; the checkpoint is saved by
// the part that changes it, in one step with the events that follow.
type watcher struct {
	*env
	kind stacapi.Kind // "" until the landing page was read

	states      *states
	health      *health
	collections *collections
	searcher    *searcher
	poller      *poller
	tiers       *tiers
	crawler     *crawler
	deletions   *deletions
	backfills   *backfills
	seen        *seenItems
	commands    *commands

	nextPoll  time.Time
	isPolling bool
	turn      int // of the kinds of slow work
}

var (
	_ source.Source = (*watcher)(nil)
	_ polls         = (*watcher)(nil)
)

// newSource wires the parts.
func newSource(c *Config, e source.Env) (*watcher, error) {
	api, err := newWatchedClient(c, e.UserAgent, e.Monitor)
	if err != nil {
		return nil, err
	}
	m, err := newMapper(api.Base(), c, e.Name)
	if err != nil {
		return nil, err
	}
	shared := &env{
		config: c, plan: plan{c}, api: api, outbox: e.Outbox, mapper: m, log: e.Logger, now: time.Now, monitor: e.Monitor,
	}
	s := &watcher{env: shared}

	s.states = &states{env: shared, byName: map[string]*collectionState{}}
	chooser := &engines{env: shared, states: s.states, exists: map[string]bool{}}
	s.health = &health{env: shared, engines: chooser}
	s.collections = &collections{env: shared, states: s.states, engines: chooser}
	s.states.isNew = s.collections.isNew
	s.seen = &seenItems{env: shared, states: s.states}
	s.deletions = &deletions{env: shared, states: s.states, health: s.health}
	alarm := &alarms{env: shared, states: s.states}
	searches := &searcher{
		env: shared, states: s.states, alarms: alarm, seen: s.seen, detector: detector{shared}, polls: s,
		pageSizes: map[string]int{}, skipped: map[string]string{}, told: map[string]bool{},
	}
	s.searcher = searches
	s.poller = &poller{
		env: shared, engines: chooser, states: s.states, searcher: searches, slices: map[string]sliced{},
	}
	s.tiers = &tiers{
		env: shared, states: s.states, engines: chooser, searcher: searches, deletions: s.deletions,
		collections: s.collections, health: s.health, served: map[string]map[tier]int{},
	}
	s.crawler = &crawler{
		env: shared, states: s.states, searcher: searches, collections: s.collections, deletions: s.deletions,
		health: s.health, files: map[string]*knownFile{},
	}
	s.backfills = &backfills{
		env: shared, states: s.states, searcher: searches, collections: s.collections, health: s.health, polls: s,
		ledgers: map[string]*ledger{}, ordered: map[string]*Backfill{},
	}
	s.commands = &commands{env: shared, alarms: alarm, backfills: s.backfills}
	return s, nil
}

// Run implements source.Source.
func (s *watcher) Run(ctx context.Context) error {
	defer s.api.Close()
	if err := s.load(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := s.runDue(ctx); err != nil {
			return err
		}
		worked, err := s.workSlowly(ctx)
		if isFinal(ctx, err) {
			return err
		}
		if err != nil {
			s.health.report(err)
			s.monitor.Failed(ctx, err, s.nextPoll)
			continue // the collection is left alone until the next poll
		}
		if !worked {
			backoff.Sleep(ctx, min(s.untilDue(), commandsEvery))
		}
	}
	return nil
}

// RunOnce implements source.Source: it polls every collection once. The slow tiers are left out.
func (s *watcher) RunOnce(ctx context.Context) error {
	defer s.api.Close()
	if err := s.load(ctx); err != nil {
		return err
	}
	return s.poll(ctx)
}

// runDue implements polls. It does nothing in the middle of a poll.
func (s *watcher) runDue(ctx context.Context) error {
	if s.isPolling || s.now().Before(s.nextPoll) {
		return nil
	}
	err := s.poll(ctx)
	s.health.report(err)
	if isFinal(ctx, err) {
		return err
	}
	s.tell(ctx, err)
	return nil
}

// tell keeps for operators what came of a poll.
func (s *watcher) tell(ctx context.Context, err error) {
	next := s.nextPoll
	if s.kind == stacapi.KindCatalog {
		if !s.crawler.ran {
			return // nothing was asked
		}
		next = laterOf(next, s.crawler.next)
	}
	if err != nil {
		s.monitor.Failed(ctx, err, next)
		return
	}
	s.monitor.Succeeded(ctx, s.searcher.found, next)
}

// untilDue implements polls.
func (s *watcher) untilDue() time.Duration { return time.Until(s.nextPoll) }

// load reads the checkpoint.
func (s *watcher) load(ctx context.Context) error {
	parts, err := s.outbox.Checkpoints(ctx)
	if err != nil {
		return err
	}
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		if err := s.restore(part, parts[part]); err != nil {
			return fmt.Errorf("read the part %q of the checkpoint: %w", part, err)
		}
	}
	if s.config.needsList() {
		return nil
	}
	for _, collection := range s.config.Collections { // the watch begins now, and not when the server first answers
		s.states.begin(collection)
		if err := s.states.save(ctx, collection); err != nil {
			return err
		}
	}
	return nil
}

// restore hands a part of the checkpoint to its owner.
func (s *watcher) restore(part string, data []byte) error {
	if name, found := strings.CutPrefix(part, partCollection); found {
		return s.states.restore(name, data)
	}
	if id, found := strings.CutPrefix(part, partBackfill); found {
		return s.backfills.restore(id, data)
	}
	if part == partCollections {
		return json.Unmarshal(data, &s.collections.listing)
	}
	return nil
}

// poll searches every collection for what is new; a failure of one does not keep the others from being searched.
func (s *watcher) poll(ctx context.Context) (err error) {
	s.isPolling = true
	began := s.now()
	defer func() {
		s.isPolling = false
		s.nextPoll = began.Add(s.config.Interval.Std())
		if err == nil && !s.health.any() {
			return // there is nothing to search, as in an empty catalog
		}
		if pause := s.health.backoff(); pause > 0 { // a poll that has failed may have taken longer than the interval
			s.nextPoll = laterOf(s.nextPoll, s.now().Add(pause))
		}
	}()
	s.health.reset()
	s.noticeClock()
	if s.kind != stacapi.KindCatalog { // a crawl counts for itself; most polls make none
		s.searcher.found = 0
	}
	if s.kind == "" {
		if s.kind, err = s.api.Discover(ctx); err != nil {
			return err
		}
	}
	if err := s.commands.read(ctx); err != nil {
		return err
	}
	if s.kind == stacapi.KindCatalog {
		return s.crawler.poll(ctx)
	}
	watched, err := s.collections.refresh(ctx)
	failures := []error{err}
	for _, collection := range watched {
		err := s.poller.poll(ctx, collection)
		if isFinal(ctx, err) {
			return err
		}
		if err != nil {
			failures = append(failures, err)
			continue
		}
		s.health.mark(collection)
	}
	return errors.Join(failures...)
}

// workSlowly does a piece of what is not urgent, and reports whether there was any. It leaves out collections that the
// poll could not search: there is no use in asking their server for more.
func (s *watcher) workSlowly(ctx context.Context) (worked bool, err error) {
	if !s.health.any() {
		return false, nil
	}
	kinds := []func(context.Context) (bool, error){s.deletions.confirm, s.stepBackfills, s.tiers.step}
	for range kinds { // in turn: a long backfill must not keep the tiers from being searched, nor the other way round
		s.turn = (s.turn + 1) % len(kinds)
		if worked, err = kinds[s.turn](ctx); worked || err != nil {
			return worked, err
		}
	}
	return false, s.seen.forgetOld(ctx, s.collections.watched())
}

func (s *watcher) stepBackfills(ctx context.Context) (worked bool, err error) {
	if s.commands.isDue() {
		if err := s.commands.read(ctx); err != nil {
			return false, err
		}
	}
	if s.kind == stacapi.KindCatalog {
		return false, s.backfills.refuse(ctx)
	}
	return s.backfills.step(ctx)
}
