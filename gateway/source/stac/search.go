package stac

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// searcher makes searches. It owns what one search of a collection leaves to the next.
type searcher struct {
	*env
	states   *states
	alarms   *alarms
	seen     *seenItems
	detector detector
	polls    polls

	pageSizes map[string]int    // that worked, by collection
	skipped   map[string]string // what was logged of the items that no event could be made of, by collection
	told      map[string]bool   // members that were ignored and logged, by collection
	found     int               // items of the last poll or crawl, of all collections
}

// polls is what slow work gives way to.
type polls interface {
	// runDue runs a poll if one is due. An error means that this replica has nothing left to do.
	runDue(ctx context.Context) error
	// untilDue returns how long there is until the next poll.
	untilDue() time.Duration
}

// search is one search of one collection, and what comes of it: it recalls which items are new or changed, makes their
// events, and publishes them with the note that they were seen, in one step. A kill -9 before that step makes the next
// search find the same items; one after it makes it skip them.
//
// The events of a page are held back until the next page is there, so that the last ones go with the checkpoint.
type search struct {
	*searcher
	rules
	collection string
	tier       tier
	query      stacapi.Query // in the background for slow work, which polls go before

	// pace is called after each step with the number of events that it has published; nil waits for nothing.
	pace func(ctx context.Context, events int) error
	// ofFiles tells that the pages are files of a static catalog.
	ofFiles bool
	// keepSeen makes each page leave in kept what was noted of its items.
	keepSeen bool
	kept     []source.Emission

	pending []source.Emission // held back
	unseen  int               // of the pending ones, and some that make no event
	changed map[string]bool   // keys of the updates on the page at hand
	counts  counts
	reasons []string      // why items were skipped, of the first of them
	newest  time.Time     // latest updated of a bounded search
	undated *stacapi.Item // one without a time

	serverStart time.Time // of the first page, by the server's clock
}

// counts are what a search has found.
type counts struct {
	items   int // that were seen
	skipped int // that no event can be made of
	news    int // unseen or changed
	updates int // whether or not they were held back
	held    int // updates, while there is an alarm
	events  int // published
}

func (s *searcher) begin(collection string, t tier, q stacapi.Query) *search {
	return &search{searcher: s, collection: collection, tier: t, query: q}
}

// run searches to the end. Then done changes the state of the collection, which is saved in the step of the last events
// together with what done returns.
func (s *search) run(ctx context.Context, done func() []source.Save) error {
	if s.query.Limit = s.pageSizes[s.collection]; s.query.Limit == 0 {
		s.query.Limit = s.config.Limit
	}
	size, err := s.api.Search(ctx, s.query, s.add)
	if err != nil {
		// What was found is new, whether the search was complete or not. The page size that it ended with says nothing:
		// a server that is down fails with the smallest.
		return errors.Join(err, s.publish(ctx))
	}
	s.pageSizes[s.collection] = min(size+size/4+1, s.config.Limit) // a page size that failed is not tried again at once
	s.reportSkipped()
	if s.tier == tierPoll {
		s.found += s.counts.items
	}
	undo, err := s.states.find(s.collection).snapshot()
	if err != nil {
		return err
	}
	saves := done()
	save, err := s.states.encode(s.collection)
	if err == nil {
		err = s.publish(ctx, append(saves, save)...)
	}
	if err != nil {
		undo() // what is not published is not done
	}
	return err
}

// add publishes the events of the page before and makes those of this one.
func (s *search) add(ctx context.Context, p *stacapi.Page) error {
	if err := s.publish(ctx); err != nil {
		return err
	}
	if s.serverStart.IsZero() {
		s.serverStart = p.ServerTime
	}
	sightings, err := s.read(p)
	if err != nil {
		return err
	}
	emissions := make([]*source.Emission, len(sightings))
	s.kept = s.kept[:0]
	for n, one := range sightings {
		emissions[n] = &one.emission
		if s.keepSeen {
			s.kept = append(s.kept, one.emission)
		}
	}
	s.counts.items += len(sightings)
	s.changed = map[string]bool{}
	known, err := s.outbox.Seen().Recall(ctx, emissions)
	if err != nil {
		return err
	}
	for n := range known {
		if err := s.decide(sightings[n], known[n], p); err != nil {
			s.skip(fmt.Errorf("item %q: %w", sightings[n].item.ID, err))
		}
	}
	if err := s.watchForMassChange(ctx); err != nil || !s.query.Background {
		return err
	}
	return s.giveWay(ctx)
}

// giveWay lets a poll that is due go first. Nothing is held back meanwhile: the poll may find it in a newer state.
func (s *search) giveWay(ctx context.Context) error {
	if err := s.publish(ctx); err != nil {
		return err
	}
	if err := s.polls.runDue(ctx); err != nil {
		return err
	}
	if s.states.find(s.collection) == nil {
		return errors.New("the collection is not watched any more")
	}
	return nil
}

// tell logs once for each member of the items of a collection that it could not be read and was not needed.
func (s *search) tell(i *stacapi.Item) {
	for _, ignored := range i.Ignored {
		member, _, _ := strings.Cut(ignored, " ")
		if key := s.collection + "\x00" + member; !s.told[key] {
			s.told[key] = true
			s.log.Warn("a member of an item cannot be read and is ignored; others like it are not logged",
				"collection", s.collection, "item", i.ID, "reason", ignored)
		}
	}
}

// read returns the items of a page. Items that cannot be read are skipped; one that was not asked for ends the search.
func (s *search) read(p *stacapi.Page) ([]*sighting, error) {
	sightings := make([]*sighting, 0, len(p.Items))
	for n, raw := range p.Items {
		one, err := s.detector.sight(raw, s.collection, p, s.ofFiles)
		if err != nil {
			err = fmt.Errorf("item %d of a page: %w", n+1, err)
		} else {
			s.tell(one.item)
			if err := s.checkBound(one.item); err != nil {
				return nil, err
			}
			if one.item.IsUndated() {
				s.undated = one.item
			}
			err = s.detector.identify(one, s.collection, p)
		}
		if err != nil {
			s.skip(err)
			continue
		}
		sightings = append(sightings, one)
	}
	return sightings, nil
}

// maxReasons bounds how many of the skipped items are named.
const maxReasons = 5

func (s *search) skip(err error) {
	if s.counts.skipped++; len(s.reasons) < maxReasons {
		s.reasons = append(s.reasons, err.Error())
	}
}

// checkBound notes the latest stamp of a search by updated, and fails if the item does not meet the condition.
func (s *search) checkBound(i *stacapi.Item) error {
	if s.query.Bound == nil {
		return nil
	}
	updated, err := i.Updated()
	if err != nil || updated.Before(s.query.Bound.Since.Add(-time.Second)) {
		return fmt.Errorf("item %q was updated %q: %w", i.ID, i.Properties.Text("updated"), errNotBounded)
	}
	s.newest = laterOf(s.newest, updated)
	return nil
}

// decide holds back what an item gives rise to.
func (s *search) decide(one *sighting, known source.Known, p *stacapi.Page) error {
	state := s.states.find(s.collection)
	change := s.classify(one.item, known, state)
	isLost := s.again[one.emission.Key]
	if isLost {
		change = changeCreate
	}
	if !known.Exists {
		s.unseen++
	}
	if change != changeNone {
		s.counts.news++
	}
	if change == changeUpdate && known.Exists {
		s.counts.updates++
		s.changed[one.emission.Key] = true
		if state.Alarm != nil && !state.Alarm.Discard {
			s.counts.held++
			return nil // and not noted: it is found again
		}
		if state.Alarm != nil {
			change = changeNote
		}
	}
	switch change {
	case changeNone:
		if s.isStale(known.Found) {
			s.note(one.emission)
		}
		return nil
	case changeNote:
		s.note(one.emission)
		return nil
	case changeSettle:
		one.emission.Action = source.Settle
		s.pending = append(s.pending, one.emission)
		return nil
	}
	event, err := s.detector.event(one, s.collection, change, known, p)
	if err != nil {
		return err
	}
	if s.inBackfill {
		event.Set("backfill", "true")
	}
	switch {
	case isLost:
		one.emission.Action = source.Again
		delete(s.again, one.emission.Key) // the next window may have it as well
	case s.inBackfill && change == changeCreate:
		one.emission.Action = source.Once
	}
	one.emission.Event = event
	s.pending = append(s.pending, one.emission)
	return nil
}

// note holds back the note that an item was seen, without an event.
func (s *search) note(e source.Emission) {
	e.Action = source.Note
	s.pending = append(s.pending, e)
}

// isStale reports whether the note of an item that has not changed is to be renewed.
func (s *search) isStale(found time.Time) bool {
	isAhead := found.After(s.now().Add(clockSlack)) // the clock was set back
	return isAhead || time.Since(found) > s.plan.refreshAfter() || s.provesPresence() && found.Before(s.started)
}

// provesPresence reports whether what the search does not find is missing: then everything that it finds is noted.
func (s *search) provesPresence() bool { return s.tier == tierSweep && s.config.Deletes.Enabled }

// watchForMassChange raises an alarm if too much has changed. Then updates on the page at hand are not published, and
// not noted either.
func (s *search) watchForMassChange(ctx context.Context) error {
	raised, err := s.alarms.watch(ctx, s.collection, s.tier, s.counts)
	if !raised {
		return err
	}
	before := len(s.pending)
	s.pending = slices.DeleteFunc(s.pending, func(e source.Emission) bool { return s.changed[e.Key] })
	s.counts.held += before - len(s.pending)
	return err
}

// publish publishes what is held back, in one step with saves.
func (s *search) publish(ctx context.Context, saves ...source.Save) error {
	pending := s.pending
	s.pending = nil
	if len(pending) == 0 && len(saves) == 0 {
		return nil
	}
	if s.query.Background {
		if err := s.seen.admit(ctx, s.unseen); err != nil {
			return err
		}
	}
	s.unseen = 0
	ids, err := s.outbox.Publish(ctx, pending, saves...)
	published := 0
	for _, id := range ids {
		if id != "" {
			published++
		}
	}
	s.counts.events += published
	if err != nil || s.pace == nil {
		return err
	}
	return s.pace(ctx, published)
}

// pendingEvents counts the events that are held back.
func (s *search) pendingEvents() (n int) {
	for i := range s.pending {
		if a := s.pending[i].Action; a != source.Note && a != source.Settle {
			n++
		}
	}
	return n
}

// complete notes that everything that the tier can find was seen.
func (s *search) complete(state *collectionState, started time.Time) {
	state.completed(s.tier, started, s.now().UTC())
	if state.Engine == engineUpdated && s.query.Bound != nil {
		state.advanceWatermark(s.newest, s.serverStart)
	}
}

// reportSkipped logs which items no event could be made of, when they change: every poll finds them again.
func (s *search) reportSkipped() {
	skipped := s.counts.skipped
	if s.tier != tierPoll && skipped == 0 {
		return
	}
	text := ""
	if skipped > 0 {
		text = fmt.Sprintf("items that are left out: %d: %s", skipped, strings.Join(s.reasons, "; "))
	}
	if text != "" && text != s.skipped[s.collection] {
		s.log.Warn("items were skipped because no event can be made of them",
			"collection", s.collection, "items", skipped, "err", strings.Join(s.reasons, "; "))
	}
	s.skipped[s.collection] = text
	if state := s.states.find(s.collection); state != nil {
		state.Skipped = text
	}
}
