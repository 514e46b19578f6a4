package gateway

import (
	"math"
	"strconv"
	"strings"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// What to do about a consumer group that has disappeared.
const (
	onLostResume   = "resume"
	onLostEarliest = "earliest"
	onLostLatest   = "latest"
	onLostFail     = "fail"
)

func onLostPolicies() []string {
	return []string{onLostResume, onLostEarliest, onLostLatest, onLostFail}
}

// idBefore returns the greatest id that is lower.
func idBefore(id string) string {
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

// idAfter returns the least id that is greater.
func idAfter(id string) string {
	millisText, seqText, _ := strings.Cut(id, "-")
	millis, _ := strconv.ParseUint(millisText, 10, 64)
	seq, _ := strconv.ParseUint(seqText, 10, 64)
	if seq++; seq == 0 {
		millis++
	}
	return strconv.FormatUint(millis, 10) + "-" + strconv.FormatUint(seq, 10)
}

// lowerID returns the lower of two ids.
func lowerID(a, b string) string {
	if redisstreams.CompareIDs(a, b) < 0 {
		return a
	}
	return b
}
