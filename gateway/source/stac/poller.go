package stac

import (
	"context"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// A poll by windows reads everything since lookback, most of which it has read a minute before. Where that is much, it
// is cut into slices: every poll reads the newest; another one is read the more seldom the longer it has brought
// nothing new. What comes late comes in bursts, to a few slices.
const (
	slicePages  = 3  // of a whole window, above which it is cut
	sliceCount  = 12 // of lookback
	maxSkipped  = 16 // polls from one search of a quiet slice to the next
	minSlice    = time.Minute
	sliceSlack  = 2 // slices that a window may be longer by, after an outage
	maxSliceSet = 4 * sliceCount
)

// poller searches collections for what is new. It owns the slices of windows, by collection; a collection without
// slices is searched in one window.
type poller struct {
	*env
	engines  *engines
	states   *states
	searcher *searcher
	slices   map[string]sliced
}

// slice is a part of the window of polls.
type slice struct {
	due      time.Time
	every    time.Duration
	items    int
	searched time.Time // when it was last searched
}

// sliced is the window of polls of one collection, by the beginnings of its slices.
type sliced map[time.Time]*slice

// poll searches a collection for what is new.
func (p *poller) poll(ctx context.Context, collection string) error {
	err := p.pollCollection(ctx, collection)
	if err == nil || isFinal(ctx, err) {
		return err
	}
	return p.engines.judge(collection, err)
}

func (p *poller) pollCollection(ctx context.Context, collection string) error {
	if err := p.engines.check(ctx, collection); err != nil {
		return err
	}
	state := p.states.begin(collection)
	if err := p.engines.choose(ctx, collection, state); err != nil {
		return err
	}
	started := p.now().UTC()
	if state.Engine == engineWindows {
		return p.pollWindow(ctx, collection, state, started)
	}
	_, err := p.search(ctx, collection, state, started)
	return err
}

// search searches all that a poll has to.
func (p *poller) search(
	ctx context.Context, collection string, state *collectionState, started time.Time,
) (items int, err error) {
	s := p.searcher.begin(collection, tierPoll, p.plan.poll(collection, state, started))
	if !state.isSeeded(tierPoll) {
		s.noteOnly = state.isOld
	}
	err = s.run(ctx, func() []source.Save {
		s.complete(state, started)
		return nil
	})
	return s.counts.items, err
}

// pollWindow searches what a poll by windows has to.
func (p *poller) pollWindow(ctx context.Context, collection string, state *collectionState, started time.Time) error {
	from := p.plan.poll(collection, state, started).Window.From
	lookback := p.config.Lookback.Std()
	size := max(lookback/sliceCount, minSlice).Truncate(time.Minute)
	isShort := started.Sub(from) <= lookback+sliceSlack*size // else it catches up after an outage
	if p.slices[collection] != nil && isShort && state.isSeeded(tierPoll) {
		return p.pollSlices(ctx, collection, state, started, from.Truncate(size), size)
	}
	items, err := p.search(ctx, collection, state, started)
	if err == nil && items > slicePages*p.config.Limit {
		p.slices[collection] = sliced{}
	}
	return err
}

// pollSlices searches the slices that are due, the newest first.
func (p *poller) pollSlices(
	ctx context.Context, collection string, state *collectionState, started, oldest time.Time, size time.Duration,
) error {
	parts, total := p.slices[collection], 0
	newest, earliest := started.Truncate(size), started
	for begin := newest; !begin.Before(oldest); begin = begin.Add(-size) {
		one := parts[begin]
		if one == nil {
			one = &slice{}
			parts[begin] = one
		}
		if !started.Before(one.due) {
			w := stacapi.Interval{From: begin, To: begin.Add(size)}
			if begin.Equal(newest) {
				w.To = time.Time{}
			}
			if err := p.pollSlice(ctx, collection, started, one, w); err != nil {
				return err
			}
		}
		total += one.items
		if one.searched.Before(earliest) {
			earliest = one.searched
		}
	}
	state.endDiscard(tierPoll, earliest)
	for begin := range parts {
		if begin.Before(oldest) || begin.After(newest) {
			delete(parts, begin)
		}
	}
	if total < slicePages*p.config.Limit/2 || len(parts) > maxSliceSet {
		delete(p.slices, collection)
	}
	state.Complete[tierPoll] = started
	return p.states.save(ctx, collection)
}

func (p *poller) pollSlice(
	ctx context.Context, collection string, started time.Time, one *slice, w stacapi.Interval,
) error {
	s := p.searcher.begin(collection, tierPoll, p.plan.query(collection, w))
	if err := s.run(ctx, func() []source.Save { return nil }); err != nil {
		return err
	}
	interval := p.config.Interval.Std()
	one.every = min(max(2*one.every, interval), maxSkipped*interval)
	if s.counts.news > 0 || w.To.IsZero() {
		one.every = 0 // the next poll
	}
	one.due, one.items, one.searched = started.Add(one.every), s.counts.items, started
	return nil
}
