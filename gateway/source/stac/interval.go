package stac

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// interval is a closed interval of time; a zero end is open. Neighbouring intervals share their ends.
type interval struct{ from, to time.Time }

// parseInterval reads the datetime parameter of a STAC search: an instant or an interval.
func parseInterval(s string) (interval, error) {
	first, second, isInterval := strings.Cut(s, "/")
	from, err := parseEnd(first, isInterval)
	if err != nil {
		return interval{}, err
	}
	if !isInterval {
		return interval{from, from}, nil
	}
	to, err := parseEnd(second, true)
	switch {
	case err != nil:
		return interval{}, err
	case from.IsZero() && to.IsZero():
		return interval{}, fmt.Errorf("%q has two open ends", s)
	case !from.IsZero() && !to.IsZero() && from.After(to):
		return interval{}, fmt.Errorf("%q ends before it begins", s)
	}
	return interval{from, to}, nil
}

func parseEnd(s string, mayBeOpen bool) (time.Time, error) {
	if mayBeOpen && (s == ".." || s == "") {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time in RFC 3339", s)
	}
	return t.UTC(), nil
}

// String writes the parameter. An instant is not written as an interval, for which some servers return nothing; an open
// end is written "..", because some refuse an empty one; and always in full, because some refuse a date alone.
func (i interval) String() string {
	if i.from.Equal(i.to) {
		return i.from.Format(timeFormat)
	}
	return end(i.from) + "/" + end(i.to)
}

func end(t time.Time) string {
	if t.IsZero() {
		return ".."
	}
	return t.UTC().Format(timeFormat)
}

// split halves the interval at a whole second. ok is false where it is too short for that. An open end stays open.
func (i interval) split(now time.Time) (older, newer interval, ok bool) {
	from, to := i.from, i.to
	if from.IsZero() {
		from = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if to.IsZero() {
		to = now.UTC().AddDate(1, 0, 0)
		if to.Before(from) {
			to = from.AddDate(1, 0, 0)
		}
	}
	middle := from.Add(to.Sub(from) / 2).Truncate(time.Second)
	if !middle.After(from) || !middle.Before(to) {
		return interval{}, interval{}, false
	}
	return interval{i.from, middle}, interval{middle, i.to}, true
}

// span is an interval with two ends, as it is kept in a checkpoint.
type span [2]time.Time

// spans are intervals that do not touch, in the order of time.
type spans []span

// cover reports whether the whole interval, which has two ends, is in the spans.
func (s spans) cover(i interval) bool {
	after, _ := slices.BinarySearchFunc(s, i.from, func(one span, t time.Time) int {
		if one[0].After(t) {
			return 1
		}
		return -1
	})
	return after > 0 && !i.to.After(s[after-1][1])
}

// with returns the spans and the interval. What touches becomes one, so that a thousand neighbouring windows are as short
// to keep as one.
func (s spans) with(i interval) spans {
	sorted := append(slices.Clone(s), span{i.from, i.to})
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

// parseTime reads a time in RFC 3339.
func parseTime(s string) (time.Time, error) { return time.Parse(time.RFC3339, s) }
