package state

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// ErrPosition is returned for what is neither an entry id, nor a time, nor a word for a place in a stream.
var ErrPosition = errors.New("no position in a stream")

// StartPosition translates startFrom into a position for a consumer group.
func StartPosition(s string) (string, error) {
	switch s {
	case "latest":
		return "$", nil
	case "earliest":
		return "0", nil
	}
	if regexp.MustCompile(`^[0-9]{1,19}(-[0-9]{1,19})?$`).MatchString(s) {
		return s, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return redisstreams.StartAt(t), nil
	}
	return "", fmt.Errorf("%q is %w", s, ErrPosition)
}

// IdBefore returns the greatest id that is lower.
func IdBefore(id string) string {
	millisText, seqText, _ := strings.Cut(id, "-")
	millis, _ := strconv.ParseUint(millisText, 10, 64)
	seq, _ := strconv.ParseUint(seqText, 10, 64)
	switch {
	case seq > 0:
		seq--
	case millis > 0:
		millis, seq = millis-1, math.MaxUint64
	}
	return strconv.FormatUint(millis, 10) + "-" + strconv.FormatUint(seq, 10)
}

// IdAfter returns the least id that is greater.
func IdAfter(id string) string {
	millisText, seqText, _ := strings.Cut(id, "-")
	millis, _ := strconv.ParseUint(millisText, 10, 64)
	seq, _ := strconv.ParseUint(seqText, 10, 64)
	if seq++; seq == 0 {
		millis++
	}
	return strconv.FormatUint(millis, 10) + "-" + strconv.FormatUint(seq, 10)
}

// LowerID returns the lower of two ids.
func LowerID(a, b string) string {
	if redisstreams.CompareIDs(a, b) < 0 {
		return a
	}
	return b
}
