package stac

import (
	"context"
)

// alarms holds updates of a collection back when too many come at once, until an operator decides.
type alarms struct {
	*env
	states *states
}

// The command that ends an alarm, followed by the collection, and its texts.
const (
	commandUpdates = "updates/"
	updatesRelease = "release" // publish them
	updatesDiscard = "discard" // only note them
)

// watch raises an alarm if a search has found too many updates, and saves that. raised holds even if saving fails.
func (a *alarms) watch(ctx context.Context, collection string, t tier, found counts) (raised bool, err error) {
	state, limit := a.states.find(collection), a.config.MassChange
	isMany := limit.AtLeast > 0 && found.updates >= limit.AtLeast &&
		float64(found.updates) >= limit.Share*float64(found.items)
	if state.Alarm != nil || !isMany || state.Released.After(a.now().Add(-limit.Quiet.Std())) {
		return false, nil
	}
	state.Alarm = &alarm{Since: a.now().UTC(), Tier: t, Updates: found.updates, Items: found.items}
	a.log.Error("too many items have changed at once; updates of the collection are held back until an operator decides "+
		"(streamgate sources updates)", "collection", collection, "tier", t, "updates", found.updates, "items", found.items)
	return true, a.states.save(ctx, collection)
}

// decide carries out what an operator has decided about the updates that are held back.
func (a *alarms) decide(ctx context.Context, collection, decision string) error {
	state := a.states.find(collection)
	if state == nil || state.Alarm == nil {
		return nil
	}
	if decision == updatesDiscard {
		state.Alarm.Discard, state.Alarm.Decided = true, a.now().UTC()
	} else {
		state.Alarm, state.Released = nil, a.now().UTC()
	}
	a.log.Info("an operator has decided about the updates that were held back",
		"collection", collection, "decision", decision)
	return a.states.save(ctx, collection)
}
