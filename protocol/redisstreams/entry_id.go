package redisstreams

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// An entry id is "milliseconds-sequence", two unsigned 64-bit numbers. Redis orders entries by them, as numbers.

// TimeFormat is the format in which the time of an entry becomes an attribute: RFC 3339 with milliseconds.
const TimeFormat = "2006-01-02T15:04:05.000Z07:00"

// ValidID reports whether id is a complete entry id like "1700000000123-0". An id without a sequence, which some
// commands of Redis accept, is not complete.
func ValidID(id string) bool {
	millis, seq, _ := strings.Cut(id, "-")
	_, millisErr := strconv.ParseUint(millis, 10, 64)
	_, seqErr := strconv.ParseUint(seq, 10, 64)
	return millisErr == nil && seqErr == nil
}

// CompareIDs compares two entry ids in the order of Redis: by their numbers. The result is negative if a comes first,
// positive if b does, and 0 if they are equal. An id without a sequence counts as "-0".
func CompareIDs(a, b string) int {
	aMillis, aSeq, _ := strings.Cut(a, "-")
	bMillis, bSeq, _ := strings.Cut(b, "-")
	if c := compareNumbers(aMillis, bMillis); c != 0 {
		return c
	}
	return compareNumbers(aSeq, bSeq)
}

func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// MinID returns the lower of two entry ids; b if they are equal.
func MinID(a, b string) string {
	if CompareIDs(a, b) < 0 {
		return a
	}
	return b
}

// PreviousID returns the greatest entry id that is lower than id, and "0-0" for "0-0". Reading after it ([ReadAfter],
// [WithStart]) begins with the entry id itself. An id without a sequence counts as "-0"; other invalid ids as "0-0".
func PreviousID(id string) string {
	millis, seq := splitID(id)
	switch {
	case seq > 0:
		seq--
	case millis > 0:
		millis, seq = millis-1, math.MaxUint64
	}
	return joinID(millis, seq)
}

// NextID returns the lowest entry id that is greater than id, and the greatest id for itself. An id without a sequence
// counts as "-0"; other invalid ids as "0-0".
func NextID(id string) string {
	millis, seq := splitID(id)
	switch {
	case seq < math.MaxUint64:
		seq++
	case millis < math.MaxUint64:
		millis, seq = millis+1, 0
	}
	return joinID(millis, seq)
}

func splitID(id string) (millis, seq uint64) {
	millisText, seqText, hasSeq := strings.Cut(id, "-")
	millis, err := strconv.ParseUint(millisText, 10, 64)
	if err != nil {
		return 0, 0
	}
	if !hasSeq {
		return millis, 0
	}
	if seq, err = strconv.ParseUint(seqText, 10, 64); err != nil {
		return 0, 0
	}
	return millis, seq
}

func joinID(millis, seq uint64) string {
	return strconv.FormatUint(millis, 10) + "-" + strconv.FormatUint(seq, 10)
}

// EntryTime returns the time at which Redis added an entry, which its id contains. ok is false if the id is not valid
// or RFC 3339 cannot express the time.
func EntryTime(id string) (t time.Time, ok bool) {
	const year10000 = 253402300800000 // RFC 3339 has four digits
	millis, _, _ := strings.Cut(id, "-")
	ms, err := strconv.ParseUint(millis, 10, 63)
	if err != nil || ms >= year10000 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(ms)).UTC(), true
}

// StartAt returns the position for [WithStart] from which a group reads the entries added at t or later.
func StartAt(t time.Time) string {
	ms := t.UnixMilli()
	if ms <= 0 {
		return "0"
	}
	return PreviousID(joinID(uint64(ms), 0))
}
