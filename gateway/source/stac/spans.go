package stac

import (
	"slices"
	"time"

	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// span is an interval with two ends, as it is kept in a checkpoint.
type span [2]time.Time

// spans are intervals that do not touch, in the order of time.
type spans []span

// cover reports whether the whole interval, which has two ends, is in the spans.
func (s spans) cover(i stacapi.Interval) bool {
	after, _ := slices.BinarySearchFunc(s, i.From, func(one span, t time.Time) int {
		if one[0].After(t) {
			return 1
		}
		return -1
	})
	return after > 0 && !i.To.After(s[after-1][1])
}

// with returns the spans and the interval. Spans that touch become one, so that a thousand neighbouring windows take as
// little space as one.
func (s spans) with(i stacapi.Interval) spans {
	sorted := append(slices.Clone(s), span{i.From, i.To})
	slices.SortFunc(sorted, func(a, b span) int { return a[0].Compare(b[0]) })
	merged := sorted[:1]
	for _, one := range sorted[1:] {
		last := &merged[len(merged)-1]
		switch {
		case one[0].After(last[1]):
			merged = append(merged, one)
		case one[1].After(last[1]):
			last[1] = one[1]
		}
	}
	return merged
}
