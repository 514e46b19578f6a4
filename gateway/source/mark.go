package source

import (
	"encoding/binary"
	"time"
)

// Mark tells whether an event of a seen item was ever published. To have noted an item is not to have published it: a
// backfill publishes what was only noted.
type Mark uint8

// The marks.
const (
	// MarkUnknown is the mark of an item that was seen before marks were kept: it was published or only noted.
	MarkUnknown Mark = iota
	// MarkNoted is the mark of an item that was never published.
	MarkNoted
	// MarkPublished is the mark of an item of which some state was published.
	MarkPublished
)

// What is kept of an item is 6 bytes each of the digests of its version and content, 4 bytes of its stamp, and its
// reference. The stamp holds the mark and when the item was last published or noted:
//
//	00  30 bits of time  unknown; an item without a mark that was noted again
//	01  30 bits of time  unknown; the two bits belong to the time, which the first builds wrote as seconds since 1970 in
//	                     32 bits: of any time from 2004 to 2038 they are 01
//	10  30 bits of time  only noted
//	11  30 bits of time  published
//
// The 30 bits are the low bits of the seconds since 1970. They are read as the time nearest to the present that has
// them, so that they suffice for as long as an item is found again, or forgotten, within 33 years.
const (
	markShift = 30
	markOfOld = 0b01 // the two bits of a stamp of the first builds
	timeMask  = 1<<markShift - 1
	aheadMax  = 1 << 25 // seconds, about a year, that a time may be ahead of a clock that was set back
)

// stamp returns the 4 bytes of a mark and a time.
func stamp(mark Mark, at time.Time) uint32 {
	bits := map[Mark]uint32{MarkUnknown: 0b00, MarkNoted: 0b10, MarkPublished: 0b11}[mark]
	return bits<<markShift | uint32(at.Unix()&timeMask) //nolint:gosec // 30 bits
}

// stampOf reads the stamp of what is kept of an item.
func stampOf(state string, now time.Time) (mark Mark, found time.Time) {
	raw := binary.BigEndian.Uint32([]byte(state[stateSize : stateSize+timeSize]))
	switch raw >> markShift {
	case markOfOld:
		return MarkUnknown, time.Unix(int64(raw), 0).UTC()
	case 0b10:
		mark = MarkNoted
	case 0b11:
		mark = MarkPublished
	}
	latest := now.Unix() + aheadMax
	return mark, time.Unix(latest-(latest-int64(raw))&timeMask, 0).UTC()
}

// mark returns the mark of an item that was not seen before this emission.
func (e *Emission) mark() Mark {
	if e.Action == Note {
		return MarkNoted
	}
	return MarkPublished
}

// state is what is kept of an item.
func (e *Emission) state(stamp uint32) string {
	state := make([]byte, 0, stateSize+timeSize+len(e.Reference))
	for _, part := range []string{e.Version, e.Content} {
		var d [8]byte
		if part != "" {
			d = digest(part)
		}
		state = append(state, d[:stateSize/2]...)
	}
	state = binary.BigEndian.AppendUint32(state, stamp)
	return string(append(state, e.Reference...))
}

func (e *Emission) compare(state string) Known {
	if len(state) < stateSize+timeSize {
		return Known{}
	}
	mine := e.state(0)
	const half, none = stateSize / 2, "\x00\x00\x00\x00\x00\x00"
	content, known := mine[half:stateSize], state[half:stateSize]
	mark, found := stampOf(state, time.Now())
	return Known{
		Exists: true, SameVersion: mine[:half] == state[:half], SameContent: content == known || content == none || known == none,
		Found: found, Mark: mark,
	}
}
