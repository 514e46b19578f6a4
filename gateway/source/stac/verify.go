package stac

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

const (
	maxListed   = 1000 // items that a verification names
	maxLost     = 10_000
	streamBatch = 1000
)

// Verification is what a comparison of a catalog with a stream has found.
type Verification struct {
	Windows int `json:"windows"` // of all collections
	Items   int `json:"items"`   // of the catalog, each once
	// Missing counts the items of which the stream has no event: those that were never published, and those that were,
	// but whose event the stream has lost. Doubled counts the items of which the stream has an event twice, with the
	// same id.
	Missing int `json:"missing"`
	Doubled int `json:"doubled"`
	// Removed counts the items that were published and whose event is not in the stream any more, from which entries
	// were removed, such as by retention.
	Removed int `json:"removed"`
	// MissingItems and DoubledItems name them as collection/id, at most 1000 each.
	MissingItems []string `json:"missingItems"`
	DoubledItems []string `json:"doubledItems"`

	lost []string // keys of what was published and is not in the stream, at most maxLost
}

// Repair returns the backfill that publishes what is missing in the windows of the one that was verified.
func (v *Verification) Repair(b *Backfill) *Backfill {
	repair := *b
	repair.Again = v.lost
	return &repair
}

// Verify compares what the catalog has in the windows of a backfill with what the stream of e got. progress is called
// after each window. It publishes nothing and notes nothing. It blocks until all is compared or ctx ends.
func (c *Config) Verify(
	ctx context.Context, b *Backfill, e source.Env, progress func(v *Verification, total int),
) (*Verification, error) {
	e.Outbox = source.NewPreview(e.Redis, e, func(*rawevent.Event) error { return nil })
	s, err := newSource(c, e)
	if err != nil {
		return nil, err
	}
	defer s.api.Close()
	v := &verifier{
		watcher: s, stream: &streamIndex{env: e, last: "0"}, counted: map[digest]struct{}{},
		found: &Verification{MissingItems: []string{}, DoubledItems: []string{}},
	}
	if err := v.stream.read(ctx); err != nil {
		return nil, err
	}
	if err := v.stream.checkRemoved(ctx); err != nil {
		return nil, err
	}
	err = s.eachWindow(ctx, b, func(collection string, w stacapi.Interval, total int) error {
		if err := v.compare(ctx, collection, w); err != nil {
			return err
		}
		progress(v.found, total)
		return nil
	})
	return v.found, err
}

// verifier compares items with events.
type verifier struct {
	*watcher
	stream  *streamIndex
	counted map[digest]struct{} // items, which may be in several windows
	found   *Verification
}

// candidate is an item whose event was not found yet.
type candidate struct {
	one       *sighting
	name      string
	published bool // by its mark
}

// compare compares one window. An event may come while the catalog is read, so the stream is read on before an item
// counts as missing.
func (v *verifier) compare(ctx context.Context, collection string, w stacapi.Interval) error {
	state := v.states.begin(collection)
	var candidates []candidate
	q := v.plan.query(collection, w)
	q.Background = true
	_, err := v.api.Search(ctx, q, func(ctx context.Context, p *stacapi.Page) error {
		more, err := v.page(ctx, collection, p, state)
		candidates = append(candidates, more...)
		return err
	})
	if err != nil {
		return err
	}
	if len(candidates) > 0 {
		if err := v.stream.read(ctx); err != nil {
			return err
		}
	}
	for _, c := range candidates {
		v.judge(collection, &c)
	}
	v.found.Windows++
	return nil
}

// page counts the items of a page, and returns those of which no event was found.
func (v *verifier) page(
	ctx context.Context, collection string, p *stacapi.Page, state *collectionState,
) (candidates []candidate, err error) {
	var sightings []*sighting
	var emissions []*source.Emission
	for _, raw := range p.Items {
		one, err := v.searcher.detector.sight(raw, collection, p, false)
		if err == nil {
			err = v.searcher.detector.identify(one, collection, p)
		}
		if err != nil {
			continue // no event can be made of it
		}
		key := digestOf(one.emission.Key)
		if _, isCounted := v.counted[key]; isCounted {
			continue
		}
		v.counted[key] = struct{}{}
		sightings, emissions = append(sightings, one), append(emissions, &one.emission)
	}
	known, err := v.outbox.Seen().Recall(ctx, emissions)
	if err != nil {
		return nil, err
	}
	for n, one := range sightings {
		v.found.Items++
		name := collection + "/" + one.item.ID
		if v.stream.doubled[digestOf(name)] {
			v.found.Doubled++
			v.found.DoubledItems = listed(v.found.DoubledItems, name)
		}
		isPublished := known[n].Exists && state.wasPublished(one.item, known[n].Mark)
		if c := (candidate{one, name, isPublished}); !v.isInStream(collection, &c) {
			candidates = append(candidates, c)
		}
	}
	return candidates, nil
}

// isInStream reports whether the stream has an event of an item, by what it is about or by the id that its present
// state has.
func (v *verifier) isInStream(collection string, c *candidate) bool {
	if v.stream.items[digestOf(c.name)] {
		return true
	}
	for _, op := range []operation{opCreate, opUpdate} {
		id := v.mapper.id(&subject{id: c.one.item.ID, collection: collection, operation: op, version: c.one.emission.Version})
		if v.stream.ids[digestOf(id)] {
			return true
		}
	}
	return false
}

func (v *verifier) judge(collection string, c *candidate) {
	switch {
	case v.isInStream(collection, c):
		return
	case c.published && v.stream.isTrimmed:
		v.found.Removed++
		return
	case c.published && len(v.found.lost) < maxLost:
		v.found.lost = append(v.found.lost, c.one.emission.Key)
	}
	v.found.Missing++
	v.found.MissingItems = listed(v.found.MissingItems, c.name)
}

func listed(list []string, name string) []string {
	if len(list) < maxListed {
		list = append(list, name)
	}
	return list
}

// streamIndex is what a stream has of items: digests, because there may be millions.
type streamIndex struct {
	env       source.Env // whose Redis and stream it reads
	last      string     // entry that was read
	isTrimmed bool       // entries were removed from the stream

	items, doubled, ids map[digest]bool // by what the events are about, and by their ids
}

type digest [8]byte

func digestOf(s string) digest {
	sum := sha256.Sum256([]byte(s))
	return digest(sum[:8])
}

// read reads what was added to the stream since the last time.
func (x *streamIndex) read(ctx context.Context) error {
	if x.items == nil {
		x.items, x.doubled, x.ids = map[digest]bool{}, map[digest]bool{}, map[digest]bool{}
	}
	for {
		entries, err := redisstreams.ReadAfter(ctx, x.env.Redis, x.env.Stream, x.last, streamBatch, -1)
		if err != nil || len(entries) == 0 {
			return err
		}
		x.last = entries[len(entries)-1].ID
		for i := range entries {
			if e, err := entries[i].Event(); err == nil { // what is not an event is not an item's
				x.add(&e)
			}
		}
	}
}

func (x *streamIndex) add(e *rawevent.Event) {
	about, _ := e.Attribute("partitionkey") // collection/id
	id := digestOf(e.ID())
	if x.ids[id] {
		x.doubled[digestOf(about)] = true
	}
	x.ids[id] = true
	if _, isItem := e.Attribute("collection"); isItem && about != "" {
		x.items[digestOf(about)] = true
	}
}

// checkRemoved finds out whether entries were removed from the stream.
func (x *streamIndex) checkRemoved(ctx context.Context) error {
	if n, err := x.env.Redis.Exists(ctx, x.env.Stream).Result(); err != nil || n == 0 {
		return err
	}
	info, err := x.env.Redis.XInfoStream(ctx, x.env.Stream).Result()
	if err != nil {
		return fmt.Errorf("read the state of stream %q: %w", x.env.Stream, err)
	}
	x.isTrimmed = info.EntriesAdded > info.Length
	return nil
}
