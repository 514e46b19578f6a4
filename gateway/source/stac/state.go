package stac

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
)

// A tier is one of the ways in which a collection is looked at again and again: what is young often, what is old seldom.
type tier string

const (
	tierPoll  tier = "poll"
	tierWarm  tier = "warm"
	tierCold  tier = "cold"
	tierSweep tier = "sweep"
)

// slowTiers are those that wait while a poll is due, in the order in which they are served.
func slowTiers() []tier { return []tier{tierWarm, tierCold, tierSweep} }

// Parts of the checkpoint.
const (
	partCollection  = "collection/" // and its name
	partJob         = "job/"        // and its id
	partCollections = "collections"
)

// collectionState is what is remembered of one collection, beside its items.
type collectionState struct {
	// Query names what is searched for; another area or filter begins anew.
	Query string `json:"query"`
	// Began is when the collection was first to be looked at, and From what was new then: anything older is only noted by
	// the first look of each tier.
	Began time.Time `json:"began"`
	From  time.Time `json:"from"`

	// Engine is how changes are found, and Reason why so; Rung is how the server takes a condition on updated.
	Engine engine    `json:"engine,omitempty"`
	Rung   rung      `json:"rung,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Probed time.Time `json:"probed"`

	// Watermark is the latest updated of a complete look (engine updated).
	Watermark time.Time `json:"watermark"`
	// Complete holds for each tier when its last complete look began.
	Complete map[tier]time.Time `json:"complete"`
	// Swept is when the last sweep ended.
	Swept time.Time `json:"swept,omitzero"`
	// Passes holds for each slow tier how far the look has come that is under way.
	Passes map[tier]*pass `json:"passes,omitempty"`
	// Covered is what the backfill of the configuration has searched.
	Covered spans `json:"covered,omitempty"`
	// Released is when an operator has last let updates through.
	Released time.Time `json:"released"`
	// Alarm is there while too much changes at once: updates are held back.
	Alarm *alarm `json:"alarm,omitempty"`
	// Gone counts the complete listings of the API in a row that have not named the collection.
	Gone int `json:"gone,omitempty"`
}

// pass is one look over a long time, from the newest to the oldest, in pieces.
type pass struct {
	Started time.Time `json:"started"`
	// Newest and Oldest are the ends; zero is open.
	Newest time.Time `json:"newest"`
	Oldest time.Time `json:"oldest"`
	// At is the newer end of the next piece, zero at the beginning; Size how long that is to be.
	At    time.Time     `json:"at"`
	Size  time.Duration `json:"size"`
	Items int           `json:"items"`
	// Whole tells that everything is searched in one piece, without a time: as long as that is little.
	Whole bool `json:"whole,omitempty"`
	// First tells that the tier had never looked at all of it: what is older than the beginning is only noted.
	First bool `json:"first,omitempty"`
}

const (
	firstPiece = 30 * 24 * time.Hour
	minPiece   = time.Minute
	wholePages = 200 // of a search for everything
	maxPiece   = 50 * 365 * 24 * time.Hour
)

// beginningOfTime is before anything that a satellite has seen; what is older is searched with an open end.
func beginningOfTime() time.Time { return time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC) }

// piece returns the next piece, and whether it is the last.
func (p *pass) piece() (w interval, last bool) {
	if p.Whole {
		return interval{p.Oldest, p.Newest}, true
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
		return interval{p.Oldest, newer}, true
	case p.Oldest.IsZero() && older.Before(beginningOfTime()):
		return interval{time.Time{}, newer}, true
	}
	return interval{older, newer}, false
}

// advance goes on to the next piece, which is longer where there was little.
func (p *pass) advance(done interval, items, limit int) {
	p.At = done.from
	p.Items += items
	switch {
	case items < 5*limit:
		p.Size = min(2*p.Size, maxPiece)
	case items > 20*limit:
		p.Size = max(p.Size/2, minPiece)
	}
}

// due returns when a tier is to be looked at again.
func (s *collectionState) due(t tier, every time.Duration) time.Time {
	complete, found := s.Complete[t]
	if !found {
		return time.Time{}
	}
	return complete.Add(every)
}

// isSeeded tells whether everything that a tier can find was looked at once.
func (s *collectionState) isSeeded(t tier) bool {
	_, once := s.Complete[t]
	_, all := s.Complete[tierSweep]
	return once || all
}

// load reads the checkpoint.
func (s *src) load(ctx context.Context) error {
	parts, err := s.outbox.Checkpoints(ctx)
	if err != nil {
		return err
	}
	s.states, s.ledgers, s.listing = map[string]*collectionState{}, map[string]*ledger{}, listing{}
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		name, isCollection := strings.CutPrefix(part, partCollection)
		id, isJob := strings.CutPrefix(part, partJob)
		switch {
		case isCollection:
			s.states[name] = &collectionState{}
			err = json.Unmarshal(parts[part], s.states[name])
		case isJob:
			s.ledgers[id] = &ledger{}
			err = json.Unmarshal(parts[part], s.ledgers[id])
		case part == partCollections:
			err = json.Unmarshal(parts[part], &s.listing)
		}
		if err != nil {
			return fmt.Errorf("read the part %q of the checkpoint: %w", part, err)
		}
	}
	if s.config.needsList() {
		return nil
	}
	for _, collection := range s.config.Collections { // now, and not when the server first answers
		s.state(collection)
		if err := s.store(ctx, collection); err != nil {
			return err
		}
	}
	return nil
}

// state returns the state of a collection that is watched, which it begins if there is none.
func (s *src) state(collection string) *collectionState {
	state, query := s.states[collection], s.queryKey(collection)
	if state == nil || state.Query != query {
		now := s.now().UTC()
		state = &collectionState{Query: query, Began: now, From: s.config.from(now, s.listing.isNew(collection))}
		s.states[collection] = state
	}
	if state.Complete == nil {
		state.Complete = map[tier]time.Time{}
	}
	if state.Passes == nil {
		state.Passes = map[tier]*pass{}
	}
	return state
}

// from returns what is new at the beginning: everything of a collection that is itself new.
func (c *Config) from(now time.Time, isNewCollection bool) time.Time {
	switch c.StartFrom {
	case "":
		if c.Datetime != "" || isNewCollection {
			return time.Time{}
		}
		return now.Add(-c.Lookback.Std())
	case startBeginning:
		return time.Time{}
	case startNow:
		if isNewCollection {
			return time.Time{}
		}
		return now
	}
	t, err := parseTime(c.StartFrom)
	if err != nil {
		return now // Validate has refused it
	}
	return t
}

// queryKey names a search, so that another area or filter is another search, and finds nothing done.
func (s *src) queryKey(collection string) string {
	c := s.config
	text := fmt.Sprintf("%s\n%v\n%s\n%s\n%s", collectionURL(s.client.base, collection), c.BBox, c.Intersects, c.Filter, c.Datetime)
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// snapshot returns a function that brings back the state as it is now.
func (s *collectionState) snapshot() (undo func(), err error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the state of a collection: %w", err)
	}
	return func() {
		*s = collectionState{}
		_ = json.Unmarshal(data, s) // which it was made from
	}, nil
}

// save returns the part of the checkpoint that holds the state of a collection.
func (s *src) save(collection string) (source.Save, error) {
	return encodePart(partCollection+collection, s.states[collection])
}

func encodePart(part string, v any) (source.Save, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return source.Save{}, fmt.Errorf("encode the part %q of the checkpoint: %w", part, err)
	}
	return source.Save{Part: part, Data: data}, nil
}

// store saves the state of a collection.
func (s *src) store(ctx context.Context, collection string) error {
	save, err := s.save(collection)
	if err == nil {
		_, err = s.outbox.Publish(ctx, nil, save)
	}
	return err
}
