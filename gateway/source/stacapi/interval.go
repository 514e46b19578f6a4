package stacapi

import (
	"fmt"
	"strings"
	"time"
)

// TimeFormat is how times are written to servers, in UTC: in full, because some refuse a date alone, and with at most
// six digits of a second.
const TimeFormat = "2006-01-02T15:04:05.999999Z"

// ParseTime reads a time in RFC 3339 in every spelling that section 5.6 allows: t and z in lower case, a blank instead
// of the T, and leap seconds, which are read as the second that follows.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err == nil || len(s) < len("2006-01-02T15:04:05Z") {
		return t, err
	}
	s = strings.ToUpper(s)
	if s[10] == ' ' {
		s = s[:10] + "T" + s[11:]
	}
	leap := time.Duration(0)
	if s[16:19] == ":60" {
		s, leap = s[:16]+":59"+s[19:], time.Second
	}
	t, err = time.Parse(time.RFC3339, s)
	return t.Add(leap), err
}

// Interval is a closed interval of time; a zero end is open. Neighbouring intervals share their ends, so that nothing
// falls between them. The zero value restricts nothing.
type Interval struct{ From, To time.Time }

// IsZero reports whether both ends are open.
func (i Interval) IsZero() bool { return i == Interval{} }

// ParseInterval reads the datetime parameter of a STAC search: an instant, or an interval with at most one open end.
func ParseInterval(s string) (Interval, error) {
	first, second, isInterval := strings.Cut(s, "/")
	from, err := parseEnd(first, isInterval)
	if err != nil {
		return Interval{}, err
	}
	if !isInterval {
		return Interval{from, from}, nil
	}
	to, err := parseEnd(second, true)
	switch {
	case err != nil:
		return Interval{}, err
	case from.IsZero() && to.IsZero():
		return Interval{}, fmt.Errorf("%q has two open ends", s)
	case !from.IsZero() && !to.IsZero() && from.After(to):
		return Interval{}, fmt.Errorf("%q ends before it begins", s)
	}
	return Interval{from, to}, nil
}

func parseEnd(s string, mayBeOpen bool) (time.Time, error) {
	if mayBeOpen && (s == ".." || s == "") {
		return time.Time{}, nil
	}
	t, err := ParseTime(s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a valid time in RFC 3339", s)
	}
	return t.UTC(), nil
}

// String returns the datetime parameter. An instant is not written as an interval, for which some servers return
// nothing; an open end is written "..", because some refuse an empty one.
func (i Interval) String() string {
	if i.From.Equal(i.To) {
		return i.From.Format(TimeFormat)
	}
	return formatEnd(i.From) + "/" + formatEnd(i.To)
}

func formatEnd(t time.Time) string {
	if t.IsZero() {
		return ".."
	}
	return t.UTC().Format(TimeFormat)
}

// halves cuts the interval at a whole second. ok is false if it is too short for that. An open end stays open.
func (i Interval) halves(now time.Time) (older, newer Interval, ok bool) {
	from, to := i.From, i.To
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
		return Interval{}, Interval{}, false
	}
	return Interval{i.From, middle}, Interval{middle, i.To}, true
}
