package source

import (
	"encoding/binary"
	"testing"
	"time"
)

// TestStamp: a mark and a time come back, to the second, long after 2038 and 2106, with a clock that was set back by
// months, and in what the first builds wrote.
func TestStamp(t *testing.T) {
	t.Parallel()
	read := func(raw uint32, now time.Time) (Mark, time.Time) {
		return stampOf(string(make([]byte, stateSize))+string(binary.BigEndian.AppendUint32(nil, raw)), now)
	}
	for _, year := range []int{2026, 2038, 2060, 2107, 2200} {
		at := time.Date(year, 11, 23, 1, 2, 3, 0, time.UTC)
		for _, mark := range []Mark{MarkUnknown, MarkNoted, MarkPublished} {
			for _, later := range []time.Duration{0, time.Second, 30 * 365 * 24 * time.Hour, -200 * 24 * time.Hour} {
				if gotMark, got := read(stamp(mark, at), at.Add(later)); gotMark != mark || !got.Equal(at) {
					t.Errorf("%d of %s read %s later: %d of %s", mark, at, later, gotMark, got)
				}
			}
		}
	}
	for _, at := range []time.Time{time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2037, 12, 31, 0, 0, 0, 0, time.UTC)} {
		if mark, got := read(uint32(at.Unix()), at); mark != MarkUnknown || !got.Equal(at) { //nolint:gosec // 32 bits
			t.Errorf("%s of an old build: %d of %s", at, mark, got)
		}
	}
}
