package stac

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
)

// Backfill is an order to search windows of the past, which `streamgate sources backfill` leaves. Neighbouring windows share
// their ends. Its events carry the attribute backfill.
type Backfill struct {
	// From and To are the ends; Step is the length of a window.
	From time.Time        `json:"from"`
	To   time.Time        `json:"to"`
	Step setting.Duration `json:"step"`
	// Rate is how many events a second; 0 is no limit.
	Rate float64 `json:"rate,omitempty"`
	// Seed tells that what is found is only noted: it is not new.
	Seed bool `json:"seed,omitempty"`
	// Wanted is what its operator wants of it.
	Wanted Wanted `json:"wanted"`
	// Ordered is when it was ordered; the oldest is done first.
	Ordered time.Time `json:"ordered"`
}

// Wanted is what an operator wants of a backfill.
type Wanted string

// What may be wanted.
const (
	WantedRun    Wanted = "run"
	WantedPause  Wanted = "pause"
	WantedCancel Wanted = "cancel"
)

// OrderBackfill is the name of the order of a backfill.
func OrderBackfill(id string) string { return orderBackfill + id }

const (
	orderBackfill      = "backfill/" // and its id
	configuredBackfill = "configured"
	ordersEvery        = 2 * time.Second
	maxAttempts        = 5 // for a window
	maxFailedWindows   = 100
	keepFinished       = 7 * 24 * time.Hour
)

// Validate returns what is wrong with the order.
func (b *Backfill) Validate() error {
	switch {
	case !b.From.Before(b.To):
		return fmt.Errorf("the backfill would begin at %s, which is not before its end %s", b.From.Format(time.RFC3339), b.To.Format(time.RFC3339))
	case b.Step.Std() < time.Second:
		return fmt.Errorf("windows of %s are shorter than 1s; use a step like 6h", b.Step)
	case b.To.Sub(b.From)/b.Step.Std() > maxBackfillWindows:
		return fmt.Errorf("there would be more than %d windows; use a longer step", maxBackfillWindows)
	case b.Rate < 0:
		return fmt.Errorf("a rate of %g events a second is less than nothing", b.Rate)
	}
	return nil
}

// windows returns the windows, the newest first.
func (b *Backfill) windows() []interval {
	var list []interval
	for end := b.To.UTC(); end.After(b.From); end = end.Add(-b.Step.Std()) {
		list = append(list, interval{laterOf(end.Add(-b.Step.Std()), b.From.UTC()), end})
	}
	return list
}

// ledger is how far a backfill has come.
type ledger struct {
	Backfill *Backfill        `json:"backfill"`
	Covered  map[string]spans `json:"covered"` // by collection
	Total    int              `json:"total"`   // windows, of all collections
	Done     int              `json:"done"`
	Items    int              `json:"items"`
	Events   int              `json:"events"`
	Started  time.Time        `json:"started"`
	Changed  time.Time        `json:"changed"`
	Finished time.Time        `json:"finished"`
	State    string           `json:"state"` // running, paused, canceled, done
	Failed   []failedWindow   `json:"failed,omitempty"`

	attempts map[string]int // by collection and window
}

type failedWindow struct {
	Collection string `json:"collection"`
	Window     string `json:"window"`
	Error      string `json:"error"`
}

// The states of a backfill.
const (
	backfillRunning  = "running"
	backfillPaused   = "paused"
	backfillCanceled = "canceled"
	backfillDone     = "done"
)

// stepBackfills searches the next window of the oldest backfill that is to run, and reports whether there was one.
func (s *src) stepBackfills(ctx context.Context) (worked bool, err error) {
	if s.now().Sub(s.ordersRead) > ordersEvery {
		if err := s.readOrders(ctx); err != nil {
			return false, err
		}
	}
	if s.client.isStatic { // every crawl reads everything
		return false, s.dropBackfills(ctx)
	}
	if s.config.Backfill != nil {
		for _, w := range s.config.Backfill.withDefaults().windows() {
			if worked, err = s.stepConfigured(ctx, w); worked || err != nil {
				return worked, err
			}
		}
	}
	for _, id := range s.ordered() {
		if worked, err = s.stepOrdered(ctx, id); worked || err != nil {
			return worked, err
		}
	}
	return false, nil
}

// dropBackfills ends what was ordered of a catalogue that cannot be searched.
func (s *src) dropBackfills(ctx context.Context) error {
	for _, id := range s.ordered() {
		l := &ledger{Backfill: s.backfills[id], Started: s.now().UTC(), Failed: []failedWindow{{Error: "a static catalogue cannot be searched; every crawl reads all of it"}}}
		s.ledgers[id] = l
		if err := s.finishBackfill(ctx, id, backfillCanceled); err != nil {
			return err
		}
	}
	return nil
}

// stepConfigured searches a window of the configuration's backfill for one collection.
func (s *src) stepConfigured(ctx context.Context, w interval) (worked bool, err error) {
	for _, collection := range s.listing.Watched {
		state := s.state(collection)
		if !s.healthy[collection] || state.Covered.cover(w) {
			continue
		}
		l := &look{source: s, collection: collection, isSlow: true, job: &ledger{}, query: query{window: w}}
		err := l.run(ctx, func() []source.Save {
			state.Covered = state.Covered.with(w)
			return nil
		})
		if err != nil {
			return true, s.failSlowly(ctx, collection, fmt.Errorf("backfill of %s: %w", w, err))
		}
		return true, nil
	}
	return false, nil
}

// failSlowly leaves a collection alone until the next poll.
func (s *src) failSlowly(ctx context.Context, collection string, err error) error {
	if !isFinal(ctx, err) {
		delete(s.healthy, collection)
	}
	return s.judge(collection, err)
}

// ordered returns the ids of the backfills that were ordered, the oldest first.
func (s *src) ordered() []string {
	ids := slices.Collect(maps.Keys(s.backfills))
	slices.SortFunc(ids, func(a, b string) int {
		return cmpOr(s.backfills[a].Ordered.Compare(s.backfills[b].Ordered), strings.Compare(a, b))
	})
	return ids
}

func cmpOr(a, b int) int {
	if a != 0 {
		return a
	}
	return b
}

// takeBackfills reads the orders of backfills, and drops what was finished long ago.
func (s *src) takeBackfills(ctx context.Context) error {
	s.backfills = map[string]*Backfill{}
	for order, text := range s.orders {
		id, isBackfill := strings.CutPrefix(order, orderBackfill)
		if !isBackfill {
			continue
		}
		b := &Backfill{}
		err := json.Unmarshal([]byte(text), b)
		if err == nil {
			err = b.Validate()
		}
		if err != nil {
			s.log.Warn("an order of a backfill cannot be carried out and is dropped", "id", id, "err", err)
			if err := s.outbox.Done(ctx, order); err != nil {
				return err
			}
			continue
		}
		s.backfills[id] = b
	}
	for id, ledger := range s.ledgers {
		isOld := !ledger.Finished.IsZero() && s.now().Sub(ledger.Finished) > keepFinished
		if s.backfills[id] != nil && !isOld {
			continue
		}
		if !isOld && !ledger.Finished.IsZero() {
			continue // shown for a while
		}
		delete(s.ledgers, id)
		delete(s.backfills, id)
		if err := s.outbox.Done(ctx, orderBackfill+id); err != nil {
			return err
		}
		if _, err := s.outbox.Publish(ctx, nil, source.Save{Part: partJob + id}); err != nil {
			return err
		}
	}
	return nil
}

// stepOrdered searches the next window of a backfill for one collection.
func (s *src) stepOrdered(ctx context.Context, id string) (worked bool, err error) {
	b, l := s.backfills[id], s.ledgers[id]
	if l == nil {
		l = &ledger{Backfill: b, Covered: map[string]spans{}, Started: s.now().UTC(), State: backfillRunning}
		s.ledgers[id] = l
	}
	if l.Finished.IsZero() && l.Covered == nil {
		l.Covered = map[string]spans{}
	}
	l.Backfill = b
	switch {
	case !l.Finished.IsZero():
		return false, nil
	case b.Wanted == WantedCancel:
		return true, s.finishBackfill(ctx, id, backfillCanceled)
	case b.Wanted == WantedPause:
		return false, s.setBackfillState(ctx, id, backfillPaused)
	}
	if err := s.setBackfillState(ctx, id, backfillRunning); err != nil {
		return false, err
	}
	windows := b.windows()
	l.Total = len(windows) * len(s.listing.Watched)
	isWaiting := false
	for _, w := range windows {
		for _, collection := range s.listing.Watched {
			if l.Covered[collection].cover(w) {
				continue
			}
			if !s.healthy[collection] {
				isWaiting = true
				continue
			}
			return true, s.searchWindow(ctx, id, collection, w)
		}
	}
	if isWaiting {
		return false, nil
	}
	return true, s.finishBackfill(ctx, id, backfillDone)
}

func (s *src) searchWindow(ctx context.Context, id, collection string, w interval) error {
	ledger := s.ledgers[id]
	l := &look{source: s, collection: collection, isSlow: true, job: ledger, query: query{window: w}}
	if ledger.Backfill.Seed {
		l.noteOnly = func(*item) bool { return true }
	}
	note := func() {
		ledger.Covered[collection] = ledger.Covered[collection].with(w)
		ledger.Done++
		ledger.Changed = s.now().UTC()
	}
	var saveErr error
	before := *ledger
	before.Covered = maps.Clone(ledger.Covered)
	err := l.run(ctx, func() []source.Save {
		note()
		ledger.Items += l.items
		ledger.Events += l.emitted + l.pendingEvents()
		save, err := encodePart(partJob+id, ledger)
		saveErr = err
		return []source.Save{save}
	})
	if err = errors.Join(err, saveErr); err == nil {
		return nil
	}
	before.attempts = ledger.attempts
	*ledger = before // what is not published is not done
	if isFinal(ctx, err) || errors.Is(err, source.ErrSeenFull) {
		return s.failSlowly(ctx, collection, err)
	}
	if ledger.attempts == nil {
		ledger.attempts = map[string]int{}
	}
	key := collection + " " + w.String()
	if ledger.attempts[key]++; ledger.attempts[key] >= maxAttempts { // the others shall be searched nevertheless
		note()
		if len(ledger.Failed) < maxFailedWindows {
			ledger.Failed = append(ledger.Failed, failedWindow{collection, w.String(), err.Error()})
		}
		return s.storeLedger(ctx, id)
	}
	return s.failSlowly(ctx, collection, fmt.Errorf("backfill %s of %s: %w", id, w, err))
}

func (s *src) setBackfillState(ctx context.Context, id, state string) error {
	if s.ledgers[id].State == state && !s.ledgers[id].Changed.IsZero() {
		return nil
	}
	s.ledgers[id].State, s.ledgers[id].Changed = state, s.now().UTC()
	return s.storeLedger(ctx, id)
}

func (s *src) finishBackfill(ctx context.Context, id, state string) error {
	l := s.ledgers[id]
	l.State, l.Finished, l.Changed, l.Covered = state, s.now().UTC(), s.now().UTC(), nil
	s.log.Info("a backfill has ended", "id", id, "state", state, "windows", l.Done, "items", l.Items, "events", l.Events, "failed", len(l.Failed))
	if err := s.storeLedger(ctx, id); err != nil {
		return err
	}
	delete(s.backfills, id)
	return s.outbox.Done(ctx, orderBackfill+id)
}

func (s *src) storeLedger(ctx context.Context, id string) error {
	save, err := encodePart(partJob+id, s.ledgers[id])
	if err == nil {
		_, err = s.outbox.Publish(ctx, nil, save)
	}
	return err
}

// pendingEvents counts the events that are held back.
func (l *look) pendingEvents() (n int) {
	for i := range l.emissions {
		if l.emissions[i].Action != source.Note {
			n++
		}
	}
	return n
}

// pace keeps the rate of a backfill, and lets polls go first.
func (l *look) pace(ctx context.Context, events int) error {
	if l.job == nil || l.job.Backfill == nil || l.job.Backfill.Rate == 0 || events == 0 {
		return nil
	}
	s := l.source
	for until := s.now().Add(time.Duration(float64(events) / l.job.Backfill.Rate * float64(time.Second))); s.now().Before(until); {
		if !backoff.Sleep(ctx, min(until.Sub(s.now()), max(time.Until(s.nextPoll), time.Millisecond))) {
			return ctx.Err()
		}
		if err := s.interlude(ctx); err != nil {
			return err
		}
	}
	return nil
}

// BackfillOf returns the id of the backfill that an order is about.
func BackfillOf(order string) (id string, ok bool) { return strings.CutPrefix(order, orderBackfill) }

// IsSame tells whether two backfills search the same, so that one of them is enough; with anyEnd the newest end does not
// matter.
func (b *Backfill) IsSame(other *Backfill, anyEnd bool) bool {
	return b.From.Equal(other.From) && (anyEnd || b.To.Equal(other.To)) && b.Step == other.Step && b.Seed == other.Seed && b.Wanted != WantedCancel
}
