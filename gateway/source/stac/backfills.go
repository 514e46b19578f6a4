package stac

import (
	"cmp"
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

// backfills searches windows of the past, one window of one collection at a time. It owns the ledgers, as they are
// saved, and the backfills that were ordered and are not done, both by id.
type backfills struct {
	*env
	states      *states
	searcher    *searcher
	collections *collections
	health      *health
	polls       polls

	ledgers map[string]*ledger
	ordered map[string]*Backfill
}

// restore reads a saved ledger.
func (b *backfills) restore(id string, data []byte) error {
	l := &ledger{}
	b.ledgers[id] = l
	return json.Unmarshal(data, l)
}

// take reads the commands of operators, and drops what was finished long ago.
func (b *backfills) take(ctx context.Context, commands map[string]string) error {
	b.ordered = map[string]*Backfill{}
	for command, text := range commands {
		id, isBackfill := BackfillOf(command)
		if !isBackfill {
			continue
		}
		one := &Backfill{}
		err := json.Unmarshal([]byte(text), one)
		if err == nil {
			err = one.Validate()
		}
		if err != nil {
			b.log.Warn("dropped the command of a backfill, which cannot be carried out", "id", id, "err", err)
			if err := b.outbox.Done(ctx, command); err != nil {
				return err
			}
			continue
		}
		b.ordered[id] = one
	}
	return b.dropOld(ctx)
}

// dropOld drops the ledgers of backfills that were finished long ago, or whose command is gone before they were
// finished.
func (b *backfills) dropOld(ctx context.Context) error {
	for id, l := range b.ledgers {
		isExpired := l.isExpired(b.now())
		isActive := b.ordered[id] != nil
		isShown := !l.Finished.IsZero()
		if !isExpired && (isActive || isShown) {
			continue
		}
		delete(b.ledgers, id)
		delete(b.ordered, id)
		if err := b.outbox.Done(ctx, OrderBackfill(id)); err != nil {
			return err
		}
		if _, err := b.outbox.Publish(ctx, nil, source.Save{Part: partBackfill + id}); err != nil {
			return err
		}
	}
	return nil
}

// step searches the next window of the backfill of the configuration, then of the oldest one that was ordered and is to
// run. It reports whether there was one.
func (b *backfills) step(ctx context.Context) (worked bool, err error) {
	for _, w := range b.config.configuredWindows() {
		if worked, err = b.stepConfigured(ctx, w); worked || err != nil {
			return worked, err
		}
	}
	for _, id := range b.ids() {
		if worked, err = b.stepOrdered(ctx, id); worked || err != nil {
			return worked, err
		}
	}
	return false, nil
}

// refuse ends what was ordered of a catalog that cannot be searched.
func (b *backfills) refuse(ctx context.Context) error {
	for _, id := range b.ids() {
		b.ledgers[id] = &ledger{
			Backfill: b.ordered[id], Started: b.now().UTC(), Failed: []failedWindow{{Error: errStaticCatalog.Error()}},
		}
		if err := b.finish(ctx, id, backfillCanceled); err != nil {
			return err
		}
	}
	return nil
}

// errStaticCatalog is why a static catalog has no backfills.
var errStaticCatalog = errors.New("a static catalog cannot be searched; every crawl reads all of it")

// stepConfigured searches a window of the configuration's backfill for one collection.
func (b *backfills) stepConfigured(ctx context.Context, w stacapi.Interval) (worked bool, err error) {
	for _, collection := range b.collections.watched() {
		state := b.states.begin(collection)
		if !b.health.isHealthy(collection) || state.Covered.cover(w) {
			continue
		}
		s := b.begin(collection, w, &Backfill{})
		err := s.run(ctx, func() []source.Save {
			state.Covered = state.Covered.with(w)
			state.Past.add(s, b.now().UTC())
			return nil
		})
		if err != nil {
			return true, b.health.exclude(ctx, collection, fmt.Errorf("backfill of %s: %w", w, err))
		}
		return true, nil
	}
	return false, nil
}

// begin begins the search of a window, by the rules of an order.
func (b *backfills) begin(collection string, w stacapi.Interval, order *Backfill) *search {
	q := b.plan.query(collection, w)
	q.Background = true
	s := b.searcher.begin(collection, "", q)
	s.inBackfill, s.isSeed = true, order.Seed
	return s
}

// ids returns the ids of the backfills that were ordered, the oldest first.
func (b *backfills) ids() []string {
	return slices.SortedFunc(maps.Keys(b.ordered), func(one, other string) int {
		return cmp.Or(b.ordered[one].Ordered.Compare(b.ordered[other].Ordered), strings.Compare(one, other))
	})
}

// stepOrdered searches the next window of a backfill for one collection.
func (b *backfills) stepOrdered(ctx context.Context, id string) (worked bool, err error) {
	order, l := b.ordered[id], b.open(id)
	switch {
	case !l.Finished.IsZero():
		return false, nil
	case order.Wanted == WantedCancel:
		return true, b.finish(ctx, id, backfillCanceled)
	case order.Wanted == WantedPause:
		return false, b.setState(ctx, id, backfillPaused)
	}
	if err := b.setState(ctx, id, backfillRunning); err != nil {
		return false, err
	}
	windows, watched := order.windows(), b.collections.watched()
	l.Total = len(windows) * len(watched)
	isWaiting := false
	for _, w := range windows {
		for _, collection := range watched {
			switch {
			case l.Covered[collection].cover(w):
			case !b.health.isHealthy(collection):
				isWaiting = true
			default:
				return true, b.searchWindow(ctx, id, collection, w)
			}
		}
	}
	if isWaiting {
		return false, nil
	}
	return true, b.finish(ctx, id, backfillDone)
}

// open returns the ledger of a backfill that was ordered.
func (b *backfills) open(id string) *ledger {
	l := b.ledgers[id]
	if l == nil {
		l = &ledger{Started: b.now().UTC(), State: backfillRunning}
		b.ledgers[id] = l
	}
	if l.again == nil {
		l.again = map[string]bool{}
		for _, key := range b.ordered[id].Again {
			l.again[key] = true
		}
	}
	if l.Finished.IsZero() && l.Covered == nil {
		l.Covered = map[string]spans{}
	}
	l.Backfill = b.ordered[id]
	return l
}

func (b *backfills) searchWindow(ctx context.Context, id, collection string, w stacapi.Interval) error {
	l := b.ledgers[id]
	s := b.begin(collection, w, l.Backfill)
	s.again = l.again
	s.pace = func(ctx context.Context, events int) error { return b.pace(ctx, l.Backfill.Rate, events) }
	var saveErr error
	undo := l.snapshot()
	err := s.run(ctx, func() []source.Save {
		l.cover(collection, w, b.now().UTC())
		l.Items += s.counts.items
		l.Events += s.counts.events + s.pendingEvents()
		var save source.Save
		save, saveErr = encodePart(partBackfill+id, l)
		return []source.Save{save}
	})
	if err = errors.Join(err, saveErr); err == nil {
		return nil
	}
	undo() // what is not published is not done
	if isFinal(ctx, err) || errors.Is(err, source.ErrSeenFull) {
		return b.health.exclude(ctx, collection, err)
	}
	if l.fail(collection, w, b.now().UTC(), err) {
		return b.save(ctx, id)
	}
	return b.health.exclude(ctx, collection, fmt.Errorf("backfill %s of %s: %w", id, w, err))
}

// pace keeps the rate of a backfill, and lets polls go first.
func (b *backfills) pace(ctx context.Context, rate float64, events int) error {
	if rate == 0 || events == 0 {
		return nil
	}
	for until := b.now().Add(time.Duration(float64(events) / rate * float64(time.Second))); b.now().Before(until); {
		if !backoff.Sleep(ctx, min(until.Sub(b.now()), max(b.polls.untilDue(), time.Millisecond))) {
			return ctx.Err()
		}
		if err := b.polls.runDue(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *backfills) setState(ctx context.Context, id, state string) error {
	l := b.ledgers[id]
	if l.State == state && !l.Changed.IsZero() {
		return nil
	}
	l.State, l.Changed = state, b.now().UTC()
	return b.save(ctx, id)
}

func (b *backfills) finish(ctx context.Context, id, state string) error {
	l := b.ledgers[id]
	l.State, l.Finished, l.Changed, l.Covered = state, b.now().UTC(), b.now().UTC(), nil
	b.log.Info("a backfill has ended", "id", id, "state", state,
		"windows", l.Done, "items", l.Items, "events", l.Events, "failed", len(l.Failed))
	if err := b.save(ctx, id); err != nil {
		return err
	}
	delete(b.ordered, id)
	return b.outbox.Done(ctx, OrderBackfill(id))
}

// save saves a ledger in a step of its own.
func (b *backfills) save(ctx context.Context, id string) error {
	save, err := encodePart(partBackfill+id, b.ledgers[id])
	if err == nil {
		_, err = b.outbox.Publish(ctx, nil, save)
	}
	return err
}
