package stac

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// A tier is one of the searches that a collection gets again and again: for what is young often, for what is old
// seldom.
type tier string

const (
	tierPoll  tier = "poll"
	tierWarm  tier = "warm"
	tierCold  tier = "cold"
	tierSweep tier = "sweep"
)

// slowTiers are those that wait while a poll is due, in the order in which they are served.
func slowTiers() []tier { return []tier{tierWarm, tierCold, tierSweep} }

// collectionState is what is known of one collection, beside its seen items. It is saved in the step that publishes the
// events that follow from it, so that a kill -9 loses both or neither.
type collectionState struct {
	// Query names what is searched for; another area or filter begins anew.
	Query string `json:"query"`
	// Began is when the collection was first to be searched, and From what was new then: the first search of each tier
	// only notes older items.
	Began time.Time `json:"began"`
	From  time.Time `json:"from"`

	// Engine is how changes are found, and Reason why; Capability is how the server takes a condition on updated. It is
	// stored as rung, which is what it was called when the first checkpoints were written.
	Engine     engine             `json:"engine,omitempty"`
	Capability stacapi.Capability `json:"rung,omitempty"`
	Reason     string             `json:"reason,omitempty"`
	Probed     time.Time          `json:"probed"`
	// NothingToProbe tells that the collection showed no item to probe with.
	NothingToProbe bool `json:"nothingToProbe,omitempty"`

	// Watermark is the latest updated of a complete search (engine updated).
	Watermark time.Time `json:"watermark"`
	// Complete holds for each tier when its last complete search began.
	Complete map[tier]time.Time `json:"complete"`
	// Swept is when the last sweep ended.
	Swept time.Time `json:"swept,omitzero"`
	// Passes holds for each slow tier how far the search that is under way has come.
	Passes map[tier]*pass `json:"passes,omitempty"`
	// Covered is what the backfill of the configuration has searched.
	Covered spans `json:"covered,omitempty"`
	// Past is what it has found in them.
	Past past `json:"past,omitzero"`
	// Released is when an operator last released updates that were held back.
	Released time.Time `json:"released"`
	// Alarm is set while updates are held back.
	Alarm *alarm `json:"alarm,omitempty"`
	// Skipped says which items no event could be made of, in the last search; "" if there were none.
	Skipped string `json:"skipped,omitempty"`
	// Gone counts the complete lists of the API in a row that have not named the collection.
	Gone int `json:"gone,omitempty"`
}

// past is what the backfill of the configuration has found in a collection.
type past struct {
	Items   int       `json:"items"`
	Events  int       `json:"events"`
	Changed time.Time `json:"changed"` // when the last window was done
}

// add adds a complete search, of which the last events are pending.
func (p *past) add(s *search, now time.Time) {
	p.Items += s.counts.items
	p.Events += s.counts.events + s.pendingEvents()
	p.Changed = now
}

// alarm is set while updates of a collection are held back because too many came at once: servers have changed all of
// their items with a new release, which is not news.
type alarm struct {
	Since   time.Time `json:"since"`
	Tier    tier      `json:"tier"`
	Updates int       `json:"updates"`
	Items   int       `json:"items"`
	// Discard tells that an operator wants the updates noted without events, until the tier that has found them is
	// complete.
	Discard bool `json:"discard,omitempty"`
	// Decided is when that was: a search that had begun before has held back what it found.
	Decided time.Time `json:"decided,omitzero"`
}

// due returns when a tier is to be searched again.
func (s *collectionState) due(t tier, every time.Duration) time.Time {
	complete, found := s.Complete[t]
	if !found {
		return time.Time{}
	}
	return complete.Add(every)
}

// isSeeded reports whether everything that a tier can find was seen once.
func (s *collectionState) isSeeded(t tier) bool {
	_, once := s.Complete[t]
	_, all := s.Complete[tierSweep]
	return once || all
}

// isOld reports whether an item that was never seen was there before the watch began.
func (s *collectionState) isOld(i *stacapi.Item) bool {
	if s.From.IsZero() {
		return false
	}
	at := i.Begins()
	if s.Engine == engineUpdated {
		if updated, err := i.Updated(); err == nil {
			at = updated
		}
	}
	return at.Before(s.From)
}

// wasPublished reports whether an event of an item that was seen before was published. Of an item that was seen before
// marks were kept, the rule by which it was published or noted then tells it: one that was old when the watch began was
// only noted. It does not tell of backfills: what one of them had published of old items counts as not published.
func (s *collectionState) wasPublished(i *stacapi.Item, mark source.Mark) bool {
	if mark == source.MarkUnknown {
		return !s.isOld(i)
	}
	return mark == source.MarkPublished
}

// wasChanged reports whether an item that was never seen is nevertheless not new: it was created before what counts as
// new, and changed since (the rule of cirrus-geo for its notifications).
func (s *collectionState) wasChanged(i *stacapi.Item) bool {
	created, updated := i.Properties.Text("created"), i.Properties.Text("updated")
	at, err := stacapi.ParseTime(created)
	return err == nil && updated != "" && created != updated && at.Before(s.From)
}

// completed notes that a tier has seen everything that it can find.
func (s *collectionState) completed(t tier, started, now time.Time) {
	s.Complete[t] = started
	delete(s.Passes, t)
	if t == tierSweep {
		s.Swept = now
	}
	s.endDiscard(t, started)
}

// advanceWatermark moves the watermark to the latest stamp of a complete search, but never beyond the server's own
// clock at its beginning: a stamp from the future must not hide what is stamped rightly.
func (s *collectionState) advanceWatermark(newest, serverStart time.Time) {
	if !serverStart.IsZero() && newest.After(serverStart) {
		newest = serverStart
	}
	s.Watermark = laterOf(s.Watermark, newest)
}

// endDiscard ends an alarm whose updates are only noted, once a complete search of the tier that raised it began after
// that was decided.
func (s *collectionState) endDiscard(t tier, began time.Time) {
	if s.Alarm != nil && s.Alarm.Discard && s.Alarm.Tier == t && began.After(s.Alarm.Decided) {
		s.Alarm = nil
	}
}

// snapshot returns a function that restores the state as it is now.
func (s *collectionState) snapshot() (undo func(), err error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the state of a collection: %w", err)
	}
	return func() {
		*s = collectionState{}
		_ = json.Unmarshal(data, s) // the data was made from it
	}, nil
}

// report returns what operators are shown.
func (s *collectionState) report(name string) source.Watched {
	w := source.Watched{
		Name: name, Engine: string(s.Engine), Reason: s.Reason,
		Complete: map[string]time.Time{}, Underway: map[string]time.Time{},
	}
	if s.Skipped != "" {
		w.Reason = strings.TrimPrefix(w.Reason+"; "+s.Skipped, "; ")
	}
	for t, at := range s.Complete {
		w.Complete[string(t)] = at
	}
	for t, p := range s.Passes {
		at := p.At
		if at.IsZero() {
			at = p.Started
		}
		w.Underway[string(t)] = at
	}
	if s.Alarm != nil {
		w.Alarm = fmt.Sprintf("%d of %d items have changed at once; updates are held back since %s",
			s.Alarm.Updates, s.Alarm.Items, s.Alarm.Since.Format(time.RFC3339))
	}
	return w
}
