package stacsample

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// compileDatetime implements the datetime parameter: an instant, or an interval that includes its ends, one of which
// may be open. An item without a datetime matches if its range overlaps.
func (q *query) compileDatetime(quirks *Quirks) (predicate, error) {
	if q.Datetime == "" {
		return nil, nil
	}
	first, last, isInterval := strings.Cut(q.Datetime, "/")
	if !isInterval {
		last = first
	}
	from, err := parseEnd(first, isInterval)
	if err != nil {
		return nil, err
	}
	to, err := parseEnd(last, isInterval)
	if err != nil {
		return nil, err
	}
	switch {
	case from == nil && to == nil:
		return nil, errors.New("datetime is open at both ends")
	case from != nil && to != nil && from.After(*to):
		return nil, fmt.Errorf("datetime %q ends before it begins", q.Datetime)
	case quirks.InstantIntervalEmpty && isInterval && from != nil && to != nil && from.Equal(*to):
		return func(*Item) bool { return false }, nil
	}
	return func(item *Item) bool {
		start, end, ok := item.span()
		return ok && (from == nil || !end.Before(*from)) && (to == nil || !start.After(*to)) &&
			(!item.Datetime.IsZero() || !quirks.ExcludeNullDatetime)
	}, nil
}

// parseEnd returns nil for an open end.
func parseEnd(text string, mayBeOpen bool) (*time.Time, error) {
	if mayBeOpen && (text == "" || text == "..") {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, fmt.Errorf("parse datetime: %w", err)
	}
	return &t, nil
}
