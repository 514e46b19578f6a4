package state

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// PositionRemedy says what [StartPosition] accepts.
const PositionRemedy = "write latest, earliest, an entry id like 1700000000000-0, a time like 2026-11-23T00:00:00Z, " +
	"a date like 2026-11-23, or how long ago, like 1h or 7d"

// ErrPosition is returned for text that is neither an entry id, nor a time, nor a word for a place in a stream.
var ErrPosition = errors.New("not a valid position in a stream")

// StartPosition translates startFrom, and the positions that commands take, into a position for a consumer group:
// latest, earliest or 0, an entry id (exclusive), a time in RFC 3339, a date, which begins at midnight UTC, or a
// duration before now. Times are compared with the ids of entries, which Redis makes by its own clock.
func StartPosition(s string) (string, error) {
	switch s {
	case "latest":
		return "$", nil
	case "earliest", "0":
		return "0", nil
	}
	if at, ok := ParseTime(s, time.Now()); ok {
		return redisstreams.StartAt(at), nil
	}
	if regexp.MustCompile(`^[0-9]{1,19}(-[0-9]{1,20})?$`).MatchString(s) {
		return s, nil
	}
	return "", fmt.Errorf("%q is %w", s, ErrPosition)
}

// ParseTime reads a time as people write it: RFC 3339, a date (midnight UTC), or a duration before now, like 1h or 7d.
func ParseTime(s string, now time.Time) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, true
		}
	}
	var ago setting.Duration
	if err := ago.UnmarshalText([]byte(s)); err == nil && ago > 0 {
		return now.Add(-ago.Std()), true
	}
	return time.Time{}, false
}
