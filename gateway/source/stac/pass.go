package stac

import (
	"time"

	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// pass is one search over a long time, from the newest to the oldest items, in pieces.
type pass struct {
	Started time.Time `json:"started"`
	// Newest and Oldest are the ends; zero is open.
	Newest time.Time `json:"newest"`
	Oldest time.Time `json:"oldest"`
	// At is the newer end of the next piece, zero at the beginning; Size is the length of that piece.
	At    time.Time     `json:"at"`
	Size  time.Duration `json:"size"`
	Items int           `json:"items"`
	// Whole tells that everything is searched in one piece, without a time, which is tried as long as that is little.
	Whole bool `json:"whole,omitempty"`
	// First tells that the tier had never been complete: what is older than the beginning is only noted.
	First bool `json:"first,omitempty"`
}

const (
	firstPiece = 30 * 24 * time.Hour
	minPiece   = time.Minute
	maxPiece   = 50 * 365 * 24 * time.Hour
	wholePages = 200 // of a search for everything
)

// beginningOfTime is before anything that a satellite has seen; what is older is searched with an open end.
func beginningOfTime() time.Time { return time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC) }

// piece returns the next piece, and whether it is the last.
func (p *pass) piece() (w stacapi.Interval, last bool) {
	if p.Whole {
		return stacapi.Interval{From: p.Oldest, To: p.Newest}, true
	}
	newer := p.At
	if newer.IsZero() {
		newer = p.Newest
	}
	older := newer
	if newer.IsZero() {
		older = p.Started
	}
	older = older.Add(-p.Size).Truncate(time.Second)
	switch {
	case !p.Oldest.IsZero() && !older.After(p.Oldest):
		return stacapi.Interval{From: p.Oldest, To: newer}, true
	case p.Oldest.IsZero() && older.Before(beginningOfTime()):
		return stacapi.Interval{To: newer}, true
	}
	return stacapi.Interval{From: older, To: newer}, false
}

// advance goes on to the next piece, which is longer if there was little in this one, and shorter if there was much.
func (p *pass) advance(done stacapi.Interval, items, limit int) {
	p.At = done.From
	p.Items += items
	switch {
	case items < 5*limit:
		p.Size = min(2*p.Size, maxPiece)
	case items > 20*limit:
		p.Size = max(p.Size/2, minPiece)
	}
}
