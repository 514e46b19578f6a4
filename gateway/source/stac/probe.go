package stac

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// rung is a way to ask for what was updated since a time. None works everywhere, and some servers answer one that they do
// not know as if it were not there; so each is tried before it is relied on.
type rung string

// The rungs, the best first.
const (
	rungTimestamp rung = "cql2-json"        // filter extension, the time as a timestamp
	rungString    rung = "cql2-json string" // the same, the time as a string: pgstac up to 0.9
	rungQuery     rung = "query"            // query extension: Earth Search
	rungText      rung = "cql2-text"        // filter extension by GET
)

const (
	probeEvery  = 24 * time.Hour
	probeSoon   = 10 * time.Minute // where there was nothing to try it on
	probeSample = 50
)

// choose finds out by which engine a collection is watched: at the beginning, and again every day where the better one was
// not possible.
func (s *src) choose(ctx context.Context, collection string, state *collectionState) error {
	switch {
	case s.config.Engine == string(engineWindows):
		s.switchTo(collection, state, s.otherwise(), "", "the configuration says so")
		return nil
	case state.Engine == engineUpdated:
		return nil // a server that does not keep to it shows that: demote
	case state.Engine != "" && s.now().Sub(state.Probed) < s.probeAgain(state):
		return nil
	}
	found, err := s.probe(ctx, collection)
	if err != nil {
		return fmt.Errorf("find out what the server can do: %w", err)
	}
	state.Probed = s.now().UTC()
	s.switchTo(collection, state, found.engine, found.rung, found.reason)
	return nil
}

func (s *src) probeAgain(state *collectionState) time.Duration {
	if state.Reason == reasonEmpty {
		return probeSoon
	}
	return probeEvery
}

func (s *src) switchTo(collection string, state *collectionState, e engine, r rung, reason string) {
	if state.Engine != e || state.Rung != r {
		s.log.Info("chose how to watch a collection", "collection", collection, "engine", e, "rung", r, "reason", reason)
		if state.Engine != "" {
			state.Passes = map[tier]*pass{}
			state.Watermark = laterOf(state.Complete[tierPoll].Add(-overlaps*s.config.Cold.Every.Std()), state.From)
		}
	}
	state.Engine, state.Rung, state.Reason = e, r, reason
}

// otherwise is the engine for a server that does not tell what was updated.
func (s *src) otherwise() engine {
	if s.config.Datetime != "" {
		return engineInterval
	}
	return engineWindows
}

// demote gives up on a server's filter that has let through what it should not.
func (s *src) demote(collection string, state *collectionState, err error) {
	state.Probed = s.now().UTC()
	s.switchTo(collection, state, s.otherwise(), "", err.Error())
}

type probed struct {
	engine engine
	rung   rung
	reason string
}

const reasonEmpty = "the collection shows no item to try it on"

// probe tries the rungs. One is accepted only if it gives nothing for tomorrow, something for ever, and only what it should
// for a time in between.
func (s *src) probe(ctx context.Context, collection string) (probed, error) {
	sample, err := s.first(ctx, query{collection: collection, window: s.config.scope(), limit: min(probeSample, s.config.Limit)})
	if err != nil {
		return probed{}, err
	}
	found := probed{engine: s.otherwise()}
	stamps, latest, undated := inspect(sample)
	switch {
	case len(sample.items) == 0:
		found.reason = reasonEmpty
		return found, nil
	case stamps < len(sample.items):
		found.reason = fmt.Sprintf("%d of %d items say when they were updated", stamps, len(sample.items))
		return s.probeUndated(ctx, collection, found, undated)
	}
	var refused []string
	for _, r := range []rung{rungTimestamp, rungString, rungQuery, rungText} {
		why, err := s.try(ctx, collection, r, latest)
		if err != nil {
			return probed{}, err
		}
		if why == "" {
			found.engine, found.rung = engineUpdated, r
			found.reason = fmt.Sprintf("the server stamps its items and filters updated by %s", r)
			return found, nil
		}
		refused = append(refused, fmt.Sprintf("%s: %s", r, why))
	}
	found.reason = "the server stamps its items and does not filter them by it: " + strings.Join(refused, "; ")
	return s.probeUndated(ctx, collection, found, undated)
}

// inspect returns how many items of a page were stamped in UTC, the latest stamp, and an item without a time, if any. Where
// a server compares stamps as text, those of other zones would be compared wrongly.
func inspect(p *page) (stamps int, latest time.Time, undated *item) {
	for _, raw := range p.items {
		i, err := parseItem(raw)
		if err != nil {
			continue
		}
		if i.isUndated() {
			undated = i
		}
		updated, err := parseTime(i.property("updated"))
		if err != nil {
			continue
		}
		if _, offset := updated.Zone(); offset != 0 {
			continue
		}
		stamps++
		latest = laterOf(latest, updated)
	}
	return stamps, latest, undated
}

// try returns why a rung cannot be relied on, or "".
func (s *src) try(ctx context.Context, collection string, r rung, latest time.Time) (why string, err error) {
	for _, c := range []struct {
		since time.Time
		want  func(n int) string
	}{
		{s.now().AddDate(0, 0, 1), func(n int) string {
			return map[bool]string{true: "it gives items that were updated tomorrow"}[n > 0]
		}},
		{time.Unix(0, 0), func(n int) string { return map[bool]string{true: "it gives nothing at all"}[n == 0] }},
		// Two seconds before, because some servers compare text, in which 05.5Z comes before 05Z.
		{latest.Add(-2 * time.Second), func(n int) string { return map[bool]string{true: "it does not find what was updated last"}[n == 0] }},
	} {
		q := query{
			collection: collection, window: s.config.scope(), limit: min(probeSample, s.config.Limit),
			bound: &bound{r, c.since.UTC().Truncate(time.Second)},
		}
		q.config = s.config
		if !s.client.canAsk(&q) {
			return "it does not go with the configured filter, or with the requests that the server offers", nil
		}
		p, err := s.first(ctx, q)
		if status, ok := errors.AsType[*statusError](err); ok && status.code != http.StatusTooManyRequests && status.code != http.StatusServiceUnavailable {
			return fmt.Sprintf("status %d", status.code), nil
		}
		if err != nil {
			return "", err
		}
		if why := c.want(len(p.items)); why != "" {
			return why, nil
		}
		for _, raw := range p.items {
			i, err := parseItem(raw)
			if err != nil {
				continue
			}
			if updated, err := parseTime(i.property("updated")); err != nil || updated.Before(q.bound.since) {
				return "it gives items that were updated before", nil
			}
		}
	}
	return "", nil
}

// probeUndated finds out whether the server leaves items without a time out of searches by time.
func (s *src) probeUndated(ctx context.Context, collection string, found probed, undated *item) (probed, error) {
	if undated == nil {
		return found, nil
	}
	at, err := parseTime(undated.property("start_datetime"))
	if err != nil {
		return found, nil //nolint:nilerr // a time that nobody can read cannot be searched for
	}
	p, err := s.first(ctx, query{collection: collection, ids: []string{undated.ID}, window: interval{at.UTC(), at.UTC()}, limit: 1})
	if status, ok := errors.AsType[*statusError](err); ok && !status.temporary() {
		return found, nil
	}
	if err == nil && len(p.items) == 0 {
		found.engine = engineScan
		found.reason += "; the server leaves items without datetime out of searches by time, so that everything is read every time"
	}
	return found, err
}

// chooseForUndated looks whether the tiers can find an item without a time at all.
func (s *src) chooseForUndated(ctx context.Context, collection string, state *collectionState, undated *item) error {
	found, err := s.probeUndated(ctx, collection, probed{state.Engine, state.Rung, state.Reason}, undated)
	if err == nil && found.engine != state.Engine {
		s.switchTo(collection, state, found.engine, found.rung, found.reason)
		err = s.store(ctx, collection)
	}
	return err
}

// first reads the first page of a search.
func (s *src) first(ctx context.Context, q query) (p *page, err error) {
	q.config = s.config
	r := q.first(s.client.endpointFor(&q))
	err = s.client.get(ctx, r, true, func(body io.Reader, from *url.URL) (err error) {
		p, err = decodePage(body, from)
		return err
	})
	return p, err
}
