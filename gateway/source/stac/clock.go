package stac

import "time"

// clockSlack is how far ahead of the clock a saved time may be before the clock counts as set back: as much as the
// clocks of two replicas differ.
const clockSlack = 10 * time.Second

// rebase brings saved times that lie in the future back to the present, and reports whether there were any. They are
// left when a clock that was ahead is set right, also across restarts. Everything that is done every so often would
// stop until the clock is there again.
func (s *collectionState) rebase(now time.Time) (wasAhead bool) {
	latest := now.Add(clockSlack)
	bring := func(t *time.Time) {
		if t.After(latest) {
			*t, wasAhead = now, true
		}
	}
	for t, at := range s.Complete {
		bring(&at)
		s.Complete[t] = at
	}
	for _, p := range s.Passes {
		bring(&p.Started)
	}
	bring(&s.Began)
	bring(&s.Swept)
	bring(&s.Probed)
	bring(&s.Released)
	if s.Alarm != nil {
		bring(&s.Alarm.Since)
		bring(&s.Alarm.Decided)
	}
	return wasAhead
}

// noticeClock goes on with all schedules when the clock was set back. The time between two polls is measured without
// the clock on the wall, and needs nothing.
func (s *watcher) noticeClock() {
	now, wasAhead := s.now().UTC(), false
	for collection, state := range s.states.byName {
		if state.rebase(now) {
			wasAhead = true
			delete(s.poller.slices, collection)
		}
	}
	if s.collections.listing.Read.After(now.Add(clockSlack)) {
		s.collections.listing.Read, wasAhead = time.Time{}, true
	}
	if wasAhead {
		s.log.Warn("the clock was set back behind what this source has done; its schedules go on from now")
	}
}
