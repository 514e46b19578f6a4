package stacapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Capability is a way to ask a server for what was updated since a time. None works everywhere, and some servers answer
// one that they do not know as if it were not there; so each is tried before it is relied on.
type Capability string

// The capabilities, the best first.
const (
	CapabilityTimestamp Capability = "cql2-json"        // filter extension, the time as a timestamp
	CapabilityString    Capability = "cql2-json string" // the same, the time as a string: pgstac up to 0.9
	CapabilityQuery     Capability = "query"            // query extension: Earth Search
	CapabilityText      Capability = "cql2-text"        // filter extension by GET
)

func capabilities() []Capability {
	return []Capability{CapabilityTimestamp, CapabilityString, CapabilityQuery, CapabilityText}
}

// Probe is what [Client.ProbeUpdated] has found out.
type Probe struct {
	// Capability is the best one that the server has proved to have; "" is none.
	Capability Capability
	// Reason says for an operator why that is so.
	Reason string
	// IsEmpty reports that there was no item to try anything on.
	IsEmpty bool
	// Undated is one of the items that have a beginning and an end instead of a time; nil if none was seen.
	Undated *Item
}

const maxSample = 50

// ProbeUpdated finds out how the server can be asked for what was updated since a time, with a few small searches. A
// capability is accepted only if it gives nothing for tomorrow, something for 1970, and only what it should for a time
// in between. q is the search that is to be bounded; now is the present time.
func (c *Client) ProbeUpdated(ctx context.Context, q Query, now time.Time) (Probe, error) {
	q.Limit, q.Bound = min(maxSample, q.Limit), nil
	page, err := c.FirstPage(ctx, q)
	if err != nil {
		return Probe{}, err
	}
	s := inspect(page)
	found := Probe{Undated: s.undated}
	switch n := len(page.Items); {
	case n == 0:
		found.IsEmpty, found.Reason = true, "the collection shows no item to probe with"
		return found, nil
	case s.stamped < n:
		found.Reason = fmt.Sprintf("%d of %d items say when they were updated", s.stamped, n)
		return found, nil
	}
	var refused []string
	for _, capability := range capabilities() {
		why, err := c.try(ctx, q, capability, probeTimes(now, s.latest))
		if err != nil {
			return Probe{}, err
		}
		if why == "" {
			found.Capability = capability
			found.Reason = fmt.Sprintf("the server stamps its items and filters updated by %s", capability)
			return found, nil
		}
		refused = append(refused, fmt.Sprintf("%s: %s", capability, why))
	}
	found.Reason = "the server stamps its items, but does not filter by the stamp: " + strings.Join(refused, "; ")
	return found, nil
}

// sample is what a page of items tells about its server.
type sample struct {
	stamped int       // items that were stamped in UTC
	latest  time.Time // stamp
	undated *Item
}

// inspect reads a page. Stamps of other zones do not count: a server that compares stamps as text would compare them
// wrongly.
func inspect(p *Page) (s sample) {
	for _, raw := range p.Items {
		i, err := ParseItem(raw)
		if err != nil {
			continue
		}
		if i.IsUndated() {
			s.undated = i
		}
		updated, err := i.Updated()
		if err != nil {
			continue
		}
		if _, offset := updated.Zone(); offset != 0 {
			continue
		}
		s.stamped++
		if updated.After(s.latest) {
			s.latest = updated
		}
	}
	return s
}

// probeTime is a bound to try, and what is wrong if it gives items, or none.
type probeTime struct {
	since            time.Time
	ifItems, ifEmpty string // "" where that is right
}

func probeTimes(now, latest time.Time) []probeTime {
	return []probeTime{
		{since: now.AddDate(0, 0, 1), ifItems: "it gives items that were updated tomorrow"},
		{since: time.Unix(0, 0), ifEmpty: "it gives nothing at all"},
		// Two seconds before, because some servers compare text, in which 05.5Z comes before 05Z.
		{since: latest.Add(-2 * time.Second), ifEmpty: "it does not find what was updated last"},
	}
}

// try returns why a capability cannot be relied on, or "".
func (c *Client) try(ctx context.Context, q Query, capability Capability, times []probeTime) (why string, err error) {
	e, err := c.searchEndpoints()
	if err != nil {
		return "", err
	}
	for _, at := range times {
		q.Bound = &Bound{capability, at.since.UTC().Truncate(time.Second)}
		if !e.canExpress(&q) {
			return "it cannot be combined with the configured filter, or with the methods that the server offers", nil
		}
		p, err := c.FirstPage(ctx, q)
		if status, ok := errors.AsType[*StatusError](err); ok && !status.isThrottling() {
			return fmt.Sprintf("status %d", status.Code), nil
		}
		if err != nil {
			return "", err
		}
		switch n := len(p.Items); {
		case n > 0 && at.ifItems != "":
			return at.ifItems, nil
		case n == 0 && at.ifEmpty != "":
			return at.ifEmpty, nil
		case !q.Bound.holds(p):
			return "it gives items that were updated before", nil
		}
	}
	return "", nil
}

// holds reports whether every item of a page was updated since the time.
func (b *Bound) holds(p *Page) bool {
	for _, raw := range p.Items {
		i, err := ParseItem(raw)
		if err != nil {
			continue
		}
		if updated, err := i.Updated(); err != nil || updated.Before(b.Since) {
			return false
		}
	}
	return true
}

// OmitsUndated reports whether the server leaves items that have a beginning and an end instead of a time out of
// searches by time (stac-server issue 1165). undated is such an item. A server that refuses the search, and an item
// whose beginning is not a time, say nothing about that.
func (c *Client) OmitsUndated(ctx context.Context, q Query, undated *Item) (bool, error) {
	at, err := ParseTime(undated.Properties.Text("start_datetime"))
	if err != nil {
		return false, nil //nolint:nilerr // a time that cannot be read cannot be searched for
	}
	q.ID, q.Window, q.Bound, q.Limit = undated.ID, Interval{at.UTC(), at.UTC()}, nil, 1
	p, err := c.FirstPage(ctx, q)
	if status, ok := errors.AsType[*StatusError](err); ok && !status.Temporary() {
		return false, nil
	}
	return err == nil && len(p.Items) == 0, err
}
