package redisstreams

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// trimming is what an XADD removes at the other end of the stream. It is always approximate ("~"): Redis then removes
// only whole blocks of entries, at almost no cost.
type trimming struct {
	maxLen       int64
	maxAge       time.Duration
	acknowledged bool
}

func (t *trimming) check() error {
	switch {
	case t.maxLen < 0 || t.maxAge < 0:
		return fmt.Errorf("redisstreams: %d entries, or entries for %s, is not a valid amount to keep; set 0 or more", t.maxLen, t.maxAge)
	case t.maxLen > 0 && t.maxAge > 0:
		return errors.New("redisstreams: Redis trims by length or by age, not by both in one command; choose one")
	case t.acknowledged && t.maxLen == 0 && t.maxAge == 0:
		return errors.New("redisstreams: WithTrimAcknowledged requires WithMaxLen or WithMaxAge, which set how much to keep")
	}
	return nil
}

// append appends the arguments. millis is the time of the latest known entry, 0 for none: before the first reply,
// nothing is trimmed by age. The local clock limits it, so that an entry with an id in the future does not trim
// anything.
func (t *trimming) append(args []any, millis int64) []any {
	if t.maxLen > 0 {
		return append(t.appendMode(args), "maxlen", "~", t.maxLen)
	}
	if t.maxAge > 0 && millis > 0 {
		oldest := min(millis, time.Now().UnixMilli()) - t.maxAge.Milliseconds()
		if oldest > 0 {
			return append(t.appendMode(args), "minid", "~", strconv.FormatInt(oldest, 10))
		}
	}
	return args
}

func (t *trimming) appendMode(args []any) []any {
	if t.acknowledged {
		return append(args, "acked")
	}
	return args
}

// noteTime keeps the latest time in an entry id.
func (s *Sender) noteTime(id string) {
	if s.trim.maxAge == 0 {
		return
	}
	text, _, _ := strings.Cut(id, "-")
	millis, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return // beyond the times of any clock
	}
	for {
		last := s.lastMillis.Load()
		if millis <= last || s.lastMillis.CompareAndSwap(last, millis) {
			return
		}
	}
}
