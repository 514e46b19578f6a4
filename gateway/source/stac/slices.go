package stac

import (
	"context"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
)

// A poll by windows reads everything since lookback, which most of the time is what it has read a minute before. Where that
// is much, it is cut into slices: the newest is read by every poll, and another one the more seldom the longer it has
// brought nothing new. What comes late comes in bursts, to a few slices.
const (
	slicePages  = 3  // of a whole window, above which it is cut
	sliceCount  = 12 // of lookback
	maxSkipped  = 16 // polls from one look at a quiet slice to the next
	minSlice    = time.Minute
	sliceSlack  = 2 // slices that a window may be longer by, after an outage
	maxSliceSet = 4 * sliceCount
)

// slice is a part of the window of polls.
type slice struct {
	due   time.Time
	every time.Duration
	items int
	// looked is when it was last searched.
	looked time.Time
}

// sliced is the window of polls of one collection, by the beginnings of its slices.
type sliced map[time.Time]*slice

// pollWindow searches what a poll by windows has to.
func (s *src) pollWindow(ctx context.Context, collection string, state *collectionState, started time.Time) error {
	q := s.pollQuery(state, started)
	size := max(s.config.Lookback.Std()/sliceCount, minSlice).Truncate(time.Minute)
	isShort := started.Sub(q.window.from) <= s.config.Lookback.Std()+sliceSlack*size // else it catches up after an outage
	if parts := s.slices[collection]; parts != nil && isShort && state.isSeeded(tierPoll) {
		return s.pollSlices(ctx, collection, state, started, q.window.from.Truncate(size), size)
	}
	l := &look{source: s, collection: collection, tier: tierPoll, query: q}
	if !state.isSeeded(tierPoll) {
		l.noteOnly = state.isOld
	}
	err := l.run(ctx, func() []source.Save {
		l.complete(state, started)
		return nil
	})
	if err == nil && l.items > slicePages*s.config.Limit {
		s.slices[collection] = sliced{}
	}
	return err
}

// pollSlices searches the slices that are due, the newest first.
func (s *src) pollSlices(ctx context.Context, collection string, state *collectionState, started, oldest time.Time, size time.Duration) error {
	parts, total := s.slices[collection], 0
	newest, earliest := started.Truncate(size), started
	for begin := newest; !begin.Before(oldest); begin = begin.Add(-size) {
		one := parts[begin]
		if one == nil {
			one = &slice{}
			parts[begin] = one
		}
		if !started.Before(one.due) {
			w := interval{begin, begin.Add(size)}
			if begin.Equal(newest) {
				w.to = time.Time{}
			}
			if err := s.pollSlice(ctx, collection, state, started, one, w); err != nil {
				return err
			}
		}
		total += one.items
		if one.looked.Before(earliest) {
			earliest = one.looked
		}
	}
	state.endDiscard(tierPoll, earliest)
	for begin := range parts {
		if begin.Before(oldest) || begin.After(newest) {
			delete(parts, begin)
		}
	}
	if total < slicePages*s.config.Limit/2 || len(parts) > maxSliceSet {
		delete(s.slices, collection)
	}
	state.Complete[tierPoll] = started
	return s.store(ctx, collection)
}

func (s *src) pollSlice(ctx context.Context, collection string, state *collectionState, started time.Time, one *slice, w interval) error {
	l := &look{source: s, collection: collection, tier: tierPoll, query: query{window: w}}
	if err := l.run(ctx, func() []source.Save { return nil }); err != nil {
		return err
	}
	interval := s.config.Interval.Std()
	one.every = min(max(2*one.every, interval), maxSkipped*interval)
	if l.news > 0 || w.to.IsZero() {
		one.every = 0 // the next poll
	}
	one.due, one.items, one.looked = started.Add(one.every), l.items, started
	return nil
}
