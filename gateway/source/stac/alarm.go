package stac

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// alarm is there while updates of a collection are held back, because too many came at once: servers have changed all of
// their items by a new release, which is no news to anybody.
type alarm struct {
	Since   time.Time `json:"since"`
	Tier    tier      `json:"tier"`
	Updates int       `json:"updates"`
	Items   int       `json:"items"`
	// Discard tells that an operator wants them noted without events, until the tier that has found them is through.
	Discard bool `json:"discard,omitempty"`
	// Decided is when that was: a look that had begun before has held back what it found.
	Decided time.Time `json:"decided,omitzero"`
}

// endDiscard ends an alarm whose updates are only noted, once a whole look of the tier that has raised it began after that
// was decided.
func (s *collectionState) endDiscard(t tier, began time.Time) {
	if s.Alarm != nil && s.Alarm.Discard && s.Alarm.Tier == t && began.After(s.Alarm.Decided) {
		s.Alarm = nil
	}
}

// The order that ends an alarm, followed by the collection, and its texts.
const (
	orderUpdates   = "updates/"
	updatesRelease = "release" // publish them
	updatesDiscard = "discard" // only note them
)

// watchForMassChange raises the alarm. What was found on the page at hand is not published, and not noted either.
func (l *look) watchForMassChange(ctx context.Context) error {
	s, state := l.source, l.source.states[l.collection]
	limit := s.config.MassChange
	if state.Alarm != nil || limit.AtLeast == 0 || l.updates < limit.AtLeast || float64(l.updates) < limit.Share*float64(l.items) {
		return nil
	}
	if state.Released.After(s.now().Add(-s.config.MassChange.Quiet.Std())) {
		return nil
	}
	state.Alarm = &alarm{Since: s.now().UTC(), Tier: l.tier, Updates: l.updates, Items: l.items}
	s.log.Error("too much changes at once; updates of the collection are held back until an operator decides (streamgate sources updates)",
		"collection", l.collection, "tier", l.tier, "updates", l.updates, "items", l.items)
	kept := l.emissions[:0]
	for _, e := range l.emissions {
		if !l.changed[e.Key] {
			kept = append(kept, e)
		}
	}
	l.held += len(l.emissions) - len(kept)
	l.emissions = kept
	return s.store(ctx, l.collection)
}

// readOrders takes what operators ask for.
func (s *src) readOrders(ctx context.Context) (err error) {
	if s.orders, err = s.outbox.Commands(ctx); err != nil {
		return err
	}
	s.ordersRead = s.now()
	if err := s.takeBackfills(ctx); err != nil {
		return err
	}
	for order, text := range s.orders {
		collection, isUpdates := strings.CutPrefix(order, orderUpdates)
		if !isUpdates {
			continue
		}
		if err := s.endAlarm(ctx, collection, text); err != nil {
			return err
		}
		if err := s.outbox.Done(ctx, order); err != nil {
			return fmt.Errorf("take an order away: %w", err)
		}
	}
	return nil
}

func (s *src) endAlarm(ctx context.Context, collection, text string) error {
	state := s.states[collection]
	if state == nil || state.Alarm == nil {
		return nil
	}
	if text == updatesDiscard {
		state.Alarm.Discard, state.Alarm.Decided = true, s.now().UTC()
	} else {
		state.Alarm, state.Released = nil, s.now().UTC()
	}
	s.log.Info("an operator has decided about the updates that were held back", "collection", collection, "decision", text)
	return s.store(ctx, collection)
}
