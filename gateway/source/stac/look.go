package stac

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
)

// look is one search of one collection, and what comes of it. The events of a page are held back until the next page is
// there, so that the last ones go with the checkpoint.
type look struct {
	source     *src
	collection string
	tier       tier
	query      query

	noteOnly func(*item) bool // what of the unseen is only noted; nil: nothing
	deep     bool             // a change of the content counts, even if the version says that nothing changed
	isSlow   bool             // polls that become due go first
	job      *ledger          // nil: it belongs to no backfill
	maxPages int              // 0: as many as any search may have

	started  time.Time // of a pass or a crawl
	remember bool      // keep what is remembered of the items of the page at hand

	remembered []source.Emission
	emissions  []source.Emission
	unseen     int // of what is held back, and some that makes no event
	skipped    int
	lastErr    error
	items      int // that were looked at
	emitted    int
	news       int             // unseen or changed
	updates    int             // that were found, whether or not they were held back
	held       int             // updates, while there is an alarm
	changed    map[string]bool // keys of those on the page at hand
	newest     time.Time       // updated of an item
	undated    *item           // one without a time
	// serverStart is when the first page came, by the server's clock.
	serverStart time.Time
}

// run searches. When everything was seen, done changes the state of the collection, which is saved in the step of the last
// events.
func (l *look) run(ctx context.Context, done func() []source.Save) error {
	s := l.source
	before := s.client.isSlow
	s.client.isSlow = l.isSlow
	defer func() { s.client.isSlow = before }()
	limit := s.limits[l.collection]
	if limit == 0 {
		limit = s.config.Limit
	}
	l.query.config, l.query.collection, l.query.limit = s.config, l.collection, limit
	scan := newScan(s.client, l.query, l.add)
	if l.maxPages > 0 {
		scan.maxPages = l.maxPages
	}
	if err := scan.run(ctx); err != nil {
		// What was found is new, whether the search was complete or not. The page size that it ended with says nothing: a
		// server that is down fails with the smallest.
		return errors.Join(err, l.flush(ctx))
	}
	s.limits[l.collection] = min(scan.limit+scan.limit/4+1, s.config.Limit) // a page size that failed is not tried again at once
	l.reportSkipped()
	undo, err := s.states[l.collection].snapshot()
	if err != nil {
		return err
	}
	saves := done()
	save, err := s.save(l.collection)
	if err == nil {
		err = l.publish(ctx, append(saves, save)...)
	}
	if err != nil {
		undo() // what is not published is not done
	}
	return err
}

// add publishes the events of the page before and makes those of this one.
func (l *look) add(ctx context.Context, p *page) error {
	if err := l.flush(ctx); err != nil {
		return err
	}
	if l.serverStart.IsZero() {
		l.serverStart = l.source.client.serverTime
	}
	items := make([]*item, 0, len(p.items))
	emissions := make([]source.Emission, 0, len(p.items))
	for _, raw := range p.items {
		i, emission, err := l.read(raw, p)
		if errors.Is(err, errNotBounded) {
			return err
		}
		if err != nil {
			l.skip(err)
			continue
		}
		items = append(items, i)
		emissions = append(emissions, emission)
	}
	if l.remember {
		l.remembered = slices.Clone(emissions)
	}
	l.items += len(items)
	l.changed = map[string]bool{}
	pointers := make([]*source.Emission, len(emissions))
	for i := range emissions {
		pointers[i] = &emissions[i]
	}
	known, err := l.source.outbox.Seen().Recall(ctx, pointers)
	if err != nil {
		return err
	}
	for n := range known {
		if err := l.decide(items[n], emissions[n], known[n], p); err != nil {
			l.skip(fmt.Errorf("item %q: %w", items[n].ID, err))
		}
	}
	if err := l.watchForMassChange(ctx); err != nil || !l.isSlow {
		return err
	}
	return l.giveWay(ctx)
}

// giveWay lets a poll go first that has become due. Nothing is held back meanwhile: the poll may find it in a newer state.
func (l *look) giveWay(ctx context.Context) error {
	if err := l.flush(ctx); err != nil {
		return err
	}
	if err := l.source.interlude(ctx); err != nil {
		return err
	}
	if l.source.states[l.collection] == nil {
		return errors.New("the collection is not watched any more")
	}
	return nil
}

func (l *look) skip(err error) {
	l.skipped++
	l.lastErr = err
}

// read makes what is to be remembered of an item.
func (l *look) read(raw json.RawMessage, p *page) (*item, source.Emission, error) {
	i, err := parseItem(raw)
	if err != nil {
		return nil, source.Emission{}, err
	}
	if i.Collection != "" && i.Collection != l.collection {
		return nil, source.Emission{}, fmt.Errorf("item %q is of collection %q, which was not asked for", i.ID, i.Collection)
	}
	if p.isFile {
		file := url.URL{Scheme: p.from.Scheme, Host: p.from.Host, Path: p.from.Path} // without what may be secret
		if len(p.items) > 1 {
			file.Fragment = i.ID
		}
		i.address = file.String()
	}
	if err := l.checkBound(i); err != nil {
		return nil, source.Emission{}, err
	}
	if i.isUndated() {
		l.undated = i
	}
	e := source.Emission{Key: itemKey(l.collection, i.ID)}
	if e.Content, err = i.contentHash(); err != nil {
		return nil, e, err
	}
	e.Version = e.Content
	if !l.source.config.IgnoreTouches {
		if e.Version, err = i.version(); err != nil {
			return nil, e, err
		}
	}
	if l.source.config.Deletes.Enabled {
		e.Reference = l.source.reference(l.collection, i, p)
	}
	return i, e, nil
}

func itemKey(collection, id string) string { return collection + "\x00" + id }

// decide holds back what an item gives rise to.
func (l *look) decide(i *item, e source.Emission, known source.Known, p *page) error {
	if !known.Exists {
		l.unseen++
	}
	isSame := known.SameVersion && (known.SameContent || !l.deep)
	if !known.Exists || !isSame {
		l.news++
	}
	switch {
	case known.Exists && isSame:
		if time.Since(known.Found) > l.source.refreshAfter() || l.provesPresence() && known.Found.Before(l.started) {
			e.Action = source.Note
			l.emissions = append(l.emissions, e)
		}
		return nil
	case known.Exists:
		l.updates++
		l.changed[e.Key] = true
		if alarm := l.source.states[l.collection].Alarm; alarm != nil {
			if !alarm.Discard {
				l.held++
				return nil // and not noted: it is found again
			}
			e.Action = source.Note
			l.emissions = append(l.emissions, e)
			return nil
		}
	case l.noteOnly != nil && l.noteOnly(i):
		e.Action = source.Note
		l.emissions = append(l.emissions, e)
		return nil
	}
	op := opCreate
	if known.Exists || l.job == nil && i.wasChangedSince(l.source.states[l.collection].From) {
		op = opUpdate
	}
	version := e.Version
	if known.SameVersion { // the server did not say that it changed: its version makes no new id
		version += " " + e.Content
	}
	event, err := l.source.mapper.event(i, l.collection, version, op, p.from)
	if err != nil {
		return err
	}
	if l.job != nil {
		event.Set("backfill", "true")
	}
	e.Event = event
	l.emissions = append(l.emissions, e)
	return nil
}

// provesPresence tells whether what a look does not find is missing: then everything that it finds is noted.
func (l *look) provesPresence() bool { return l.tier == tierSweep && l.source.config.Deletes.Enabled }

// wasChangedSince tells whether an item that was never seen is nevertheless not new: it was created before what counts as
// new, and changed since (the rule of cirrus-geo for its notices).
func (i *item) wasChangedSince(from time.Time) bool {
	created, updated := i.property("created"), i.property("updated")
	at, err := parseTime(created)
	return err == nil && updated != "" && created != updated && at.Before(from)
}

func (l *look) flush(ctx context.Context) error {
	return l.publish(ctx)
}

func (l *look) publish(ctx context.Context, saves ...source.Save) error {
	emissions := l.emissions
	l.emissions = nil
	if len(emissions) == 0 && len(saves) == 0 {
		return nil
	}
	if l.isSlow {
		if err := l.source.admitSlow(ctx, l.unseen); err != nil {
			return err
		}
	}
	l.unseen = 0
	ids, err := l.source.outbox.Publish(ctx, emissions, saves...)
	published := 0
	for _, id := range ids {
		if id != "" {
			published++
		}
	}
	l.emitted += published
	if err != nil {
		return err
	}
	return l.pace(ctx, published)
}

// reportSkipped logs when the number of items changes that no event could be made of: they are found again by every poll.
func (l *look) reportSkipped() {
	s := l.source
	if l.tier != tierPoll && l.skipped == 0 {
		return
	}
	if l.skipped > 0 && l.skipped != s.skipped[l.collection] {
		s.log.Warn("items were skipped because no event can be made of them", "collection", l.collection, "items", l.skipped, "err", l.lastErr)
	}
	s.skipped[l.collection] = l.skipped
}
