package stac

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// Backfill is a command to search windows of the past, as `streamgate sources backfill` leaves it. Neighbouring windows
// share their ends. Its events carry the attribute backfill.
type Backfill struct {
	// From and To are the ends; Step is the length of a window.
	From time.Time        `json:"from"`
	To   time.Time        `json:"to"`
	Step setting.Duration `json:"step"`
	// Rate is the number of events a second; 0 is unlimited.
	Rate float64 `json:"rate,omitempty"`
	// Seed tells that what is found is not new: it counts as published, without events.
	Seed bool `json:"seed,omitempty"`
	// Again are the keys of items that are published although they were published before: their events are lost. A kill
	// -9 may publish those of one window twice.
	Again []string `json:"again,omitempty"`
	// Wanted is what its operator wants of it.
	Wanted Wanted `json:"wanted"`
	// Ordered is when it was ordered; the oldest is done first.
	Ordered time.Time `json:"ordered"`
}

// Wanted is what an operator wants of a backfill.
type Wanted string

// What may be wanted.
const (
	WantedRun    Wanted = "run"
	WantedPause  Wanted = "pause"
	WantedCancel Wanted = "cancel"
)

const commandBackfill = "backfill/" // and its id

// OrderBackfill returns the name of the command of a backfill.
func OrderBackfill(id string) string { return commandBackfill + id }

// BackfillOf returns the id of the backfill that a command is about.
func BackfillOf(command string) (id string, ok bool) {
	return strings.CutPrefix(command, commandBackfill)
}

// Validate returns the first thing that is wrong.
func (b *Backfill) Validate() error {
	switch {
	case !b.From.Before(b.To):
		return fmt.Errorf("the backfill begins at %s, which is not before its end %s",
			b.From.Format(time.RFC3339), b.To.Format(time.RFC3339))
	case b.Step.Std() < time.Second:
		return fmt.Errorf("windows of %s are shorter than 1s; use a step like 6h", b.Step)
	case b.To.Sub(b.From)/b.Step.Std() > maxBackfillWindows:
		return fmt.Errorf("the backfill has more than %d windows; use a longer step", maxBackfillWindows)
	case b.Rate < 0:
		return fmt.Errorf("the rate of %g events a second is negative", b.Rate)
	}
	return nil
}

// IsSame reports whether two backfills search the same, so that one of them is enough; with anyEnd the newest end does
// not matter.
func (b *Backfill) IsSame(other *Backfill, anyEnd bool) bool {
	return b.From.Equal(other.From) && (anyEnd || b.To.Equal(other.To)) && b.Step == other.Step && b.Seed == other.Seed &&
		slices.Equal(b.Again, other.Again) && b.Wanted != WantedCancel
}

// windows returns the windows, the newest first.
func (b *Backfill) windows() []stacapi.Interval {
	var list []stacapi.Interval
	for end := b.To.UTC(); end.After(b.From); end = end.Add(-b.Step.Std()) {
		list = append(list, stacapi.Interval{From: laterOf(end.Add(-b.Step.Std()), b.From.UTC()), To: end})
	}
	return list
}
