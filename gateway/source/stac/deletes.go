package stac

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
)

// No STAC API tells what was deleted (stac-api-spec issue 417). What a complete sweep has not found is suspected; it is taken
// for deleted when the server has said twice, with a while in between, that there is no such item.
const (
	confirmations = 2
	maxSuspects   = 10_000 // of one sweep; the rest is left for the next one
	fewItems      = 20     // may always be deleted together
)

// suspect is an item that may have been deleted.
type suspect struct {
	collection, id, href string
	state                string // that it was in
	asked                int    // how often the server has said that it is not there
	next                 time.Time
}

// reference is what is remembered of an item to be able to tell that it was deleted: its address only where it is not what
// the API should call it.
func (s *src) reference(collection string, i *item, p *page) string {
	reference := collection + "\x00" + i.ID
	if href := i.href(s.client.base, collection, p.from); href != itemURL(s.client.base, collection, i.ID) {
		reference += "\x00" + href
	}
	return reference
}

// afterSweep looks for what a complete sweep has not found.
func (s *src) afterSweep(ctx context.Context, collection string, p *pass) error {
	if !s.config.Deletes.Enabled || p.First || p.Items == 0 { // nothing at all is no proof of anything
		return nil
	}
	var suspects []suspect
	missing := 0
	for thing, err := range s.outbox.Seen().Stale(ctx, p.Started) {
		if err != nil {
			return err
		}
		parts := strings.SplitN(thing.Reference, "\x00", 3)
		if len(parts) < 2 || parts[0] != collection {
			continue
		}
		if missing++; len(suspects) >= maxSuspects {
			continue
		}
		one := suspect{collection: collection, id: parts[1], state: thing.State, href: itemURL(s.client.base, collection, parts[1])}
		if len(parts) == 3 {
			one.href = parts[2]
		}
		suspects = append(suspects, one)
	}
	if missing > fewItems && float64(missing) > s.config.Deletes.MaxShare*float64(p.Items+missing) {
		s.log.Error("a sweep has found so much less than before that it is not believed; nothing is taken for deleted (deletes.maxShare)",
			"collection", collection, "found", p.Items, "missing", missing)
		s.suspects = slices.DeleteFunc(s.suspects, func(one suspect) bool { return one.collection == collection })
		return nil
	}
	s.suspects = append(s.suspects, suspects...)
	return nil
}

// confirmDeletions asks for one item that may be gone, and publishes that it is when that is sure.
func (s *src) confirmDeletions(ctx context.Context) (worked bool, err error) {
	if len(s.suspects) == 0 || s.now().Before(s.suspects[0].next) {
		return false, nil
	}
	one := s.suspects[0]
	s.suspects = s.suspects[1:]
	if !s.healthy[one.collection] {
		return true, nil // the next sweep finds it again
	}
	address := itemURL(s.client.base, one.collection, one.id)
	if s.client.isStatic {
		address = one.href
	}
	isGone, err := s.client.isGone(ctx, address)
	if err != nil || !isGone {
		return true, err
	}
	if one.asked++; one.asked < confirmations {
		one.next = s.now().Add(s.config.Interval.Std())
		s.suspects = append(s.suspects, one)
		return true, nil
	}
	if s.client.isStatic { // there is no other place to ask
		return true, s.withdraw(ctx, one)
	}
	if there, err := s.client.exists(ctx, collectionURL(s.client.base, one.collection)); err != nil || !there {
		return true, err // the whole collection is gone, or hidden: that is another matter
	}
	return true, s.withdraw(ctx, one)
}

// withdraw publishes that an item is gone.
func (s *src) withdraw(ctx context.Context, one suspect) error {
	event, err := s.mapper.deleted(deletedItem{one.id, one.collection, one.href, one.state})
	if err != nil {
		return fmt.Errorf("the deletion of item %q makes no event: %w", one.id, err)
	}
	_, err = s.outbox.Publish(ctx, []source.Emission{{Action: source.Withdraw, Key: itemKey(one.collection, one.id), Event: event}})
	return err
}

// isGone tells whether the server says that there is nothing at an address. Anything else, and any trouble, is no.
func (c *client) isGone(ctx context.Context, address string) (bool, error) {
	target, err := url.Parse(address)
	if err != nil {
		return false, fmt.Errorf("the id makes no address: %w", err)
	}
	err = c.get(ctx, &request{method: http.MethodGet, url: c.withBaseQuery(target)}, false, func(body io.Reader, _ *url.URL) error {
		var document json.RawMessage
		return decodeJSON(json.NewDecoder(body), &document)
	})
	status, ok := errors.AsType[*statusError](err)
	return ok && (status.code == http.StatusNotFound || status.code == http.StatusGone), ctx.Err()
}
