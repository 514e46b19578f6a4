package stac

import (
	"fmt"
	"maps"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// The states of a backfill.
const (
	backfillRunning  = "running"
	backfillPaused   = "paused"
	backfillCanceled = "canceled"
	backfillDone     = "done"
)

const (
	maxAttempts      = 5 // for a window
	maxFailedWindows = 100
	keepFinished     = 7 * 24 * time.Hour
)

// ledger is how far a backfill has come. It is saved in the step that publishes the events of a window.
type ledger struct {
	Backfill *Backfill        `json:"backfill"`
	Covered  map[string]spans `json:"covered"` // by collection
	Total    int              `json:"total"`   // windows, of all collections
	Done     int              `json:"done"`
	Items    int              `json:"items"`
	Events   int              `json:"events"`
	Started  time.Time        `json:"started"`
	Changed  time.Time        `json:"changed"`
	Finished time.Time        `json:"finished"`
	State    string           `json:"state"` // running, paused, canceled, done
	Failed   []failedWindow   `json:"failed,omitempty"`

	attempts map[string]int  // by collection and window
	again    map[string]bool // keys of the order that are not published again yet; an item may be in two windows
}

type failedWindow struct {
	Collection string `json:"collection"`
	Window     string `json:"window"`
	Error      string `json:"error"`
}

// cover notes that a window of a collection is done.
func (l *ledger) cover(collection string, w stacapi.Interval, now time.Time) {
	l.Covered[collection] = l.Covered[collection].with(w)
	l.Done++
	l.Changed = now
}

// snapshot returns a function that restores the ledger as it is now, except for the attempts.
func (l *ledger) snapshot() (undo func()) {
	before := *l
	before.Covered = maps.Clone(l.Covered)
	return func() {
		before.attempts = l.attempts
		*l = before
	}
}

// fail counts an attempt, and reports whether it was the last: then the window is given up, so that the others are
// searched nevertheless.
func (l *ledger) fail(collection string, w stacapi.Interval, now time.Time, err error) (isLast bool) {
	if l.attempts == nil {
		l.attempts = map[string]int{}
	}
	key := collection + " " + w.String()
	if l.attempts[key]++; l.attempts[key] < maxAttempts {
		return false
	}
	l.cover(collection, w, now)
	if len(l.Failed) < maxFailedWindows {
		l.Failed = append(l.Failed, failedWindow{collection, w.String(), err.Error()})
	}
	return true
}

// isExpired reports whether a finished backfill was shown for long enough.
func (l *ledger) isExpired(now time.Time) bool {
	return !l.Finished.IsZero() && now.Sub(l.Finished) > keepFinished
}

// report returns what operators are shown.
func (l *ledger) report(id string) source.BackfillReport {
	r := source.BackfillReport{
		ID: id, State: l.State, Windows: l.Total, Done: l.Done, Items: l.Items, Events: l.Events,
		Started: l.Started, Changed: l.Changed, Finished: l.Finished,
	}
	for _, f := range l.Failed {
		r.Failed = append(r.Failed, fmt.Sprintf("%s %s: %s", f.Collection, f.Window, f.Error))
	}
	return r
}
