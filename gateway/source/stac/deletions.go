package stac

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// No STAC API tells what was deleted (stac-api-spec issue 417). What a complete sweep has not found is suspected; it
// counts as deleted when the server has said twice, with an interval in between, that there is no such item.
const (
	confirmations = 2
	maxSuspects   = 10_000 // of one sweep; the rest is left for the next one
	fewItems      = 20     // may always be deleted together
)

// deletions finds deleted items. It owns the suspects, which a restart may lose: the next sweep finds them again.
type deletions struct {
	*env
	states   *states
	health   *health
	suspects []suspect
}

// suspect is an item that may have been deleted.
type suspect struct {
	collection, id, href string
	state                string // that it was last seen in
	asked                int    // how often the server has said that it is not there
	next                 time.Time
}

// afterSweep suspects what a complete sweep has not found.
func (d *deletions) afterSweep(ctx context.Context, collection string, p *pass) error {
	if !d.config.Deletes.Enabled || p.First || p.Items == 0 { // an empty answer proves nothing
		return nil
	}
	var suspects []suspect
	missing := 0
	for item, err := range d.outbox.Seen().Stale(ctx, p.Started) {
		if err != nil {
			return err
		}
		one, ok := d.suspect(item.Reference, item.State)
		if !ok || one.collection != collection {
			continue
		}
		if missing++; len(suspects) < maxSuspects {
			suspects = append(suspects, one)
		}
	}
	if missing > fewItems && float64(missing) > d.config.Deletes.MaxShare*float64(p.Items+missing) {
		d.log.Error("a sweep has found so much less than before that it is not believed; nothing counts as deleted "+
			"(deletes.maxShare)", "collection", collection, "found", p.Items, "missing", missing)
		d.suspects = slices.DeleteFunc(d.suspects, func(one suspect) bool { return one.collection == collection })
		return nil
	}
	d.suspects = append(d.suspects, suspects...)
	return nil
}

// suspect reads a reference that the detector has made.
func (d *deletions) suspect(reference, state string) (one suspect, ok bool) {
	parts := strings.SplitN(reference, "\x00", 3)
	if len(parts) < 2 {
		return one, false
	}
	one = suspect{collection: parts[0], id: parts[1], state: state}
	one.href = stacapi.ItemURL(d.api.Base(), one.collection, one.id)
	if len(parts) == 3 {
		one.href = parts[2]
	}
	return one, true
}

// confirm asks for one item that may be gone, and publishes that it is when that is sure.
func (d *deletions) confirm(ctx context.Context) (worked bool, err error) {
	if len(d.suspects) == 0 || d.now().Before(d.suspects[0].next) {
		return false, nil
	}
	one := d.suspects[0]
	d.suspects = d.suspects[1:]
	if !d.health.isHealthy(one.collection) {
		return true, nil // the next sweep finds it again
	}
	state := d.states.find(one.collection)
	isCrawled := state != nil && state.Engine == engineCrawl
	address := stacapi.ItemURL(d.api.Base(), one.collection, one.id)
	if isCrawled {
		address = one.href
	}
	isGone, err := d.api.IsGone(ctx, address)
	if err != nil || !isGone {
		return true, err
	}
	if one.asked++; one.asked < confirmations {
		one.next = d.now().Add(d.config.Interval.Std())
		d.suspects = append(d.suspects, one)
		return true, nil
	}
	if !isCrawled { // a whole collection that is gone, or hidden, is another matter
		if exists, err := d.api.CollectionExists(ctx, one.collection); err != nil || !exists {
			return true, err
		}
	}
	return true, d.publish(ctx, one)
}

// publish publishes that an item is gone, and removes it from the seen items.
func (d *deletions) publish(ctx context.Context, one suspect) error {
	event, err := d.mapper.deleted(deletedItem{one.id, one.collection, one.href, one.state})
	if err != nil {
		return fmt.Errorf("make the event of the deletion of item %q: %w", one.id, err)
	}
	_, err = d.outbox.Publish(ctx, []source.Emission{
		{Action: source.Withdraw, Key: itemKey(one.collection, one.id), Event: event},
	})
	return err
}
