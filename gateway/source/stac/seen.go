package stac

import (
	"context"
	"fmt"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
)

// slowShare is the part of the capacity for seen items that slow work may fill; the rest is kept for what polls find.
const slowShare = 0.9

// seenItems keeps the number of seen items, which Redis holds, within its bounds.
type seenItems struct {
	*env
	states    *states
	forgot    time.Time // up to when old items were last forgotten
	wasLogged bool      // that the capacity is used up
}

// admit refuses to note what slow work has found if that would leave no capacity for what is new.
func (s *seenItems) admit(ctx context.Context, added int) error {
	if added == 0 {
		return nil
	}
	count, err := s.outbox.Seen().Count(ctx)
	if err != nil {
		return err
	}
	capacity := s.outbox.Seen().Limit()
	limit := int64(slowShare * float64(capacity))
	if count+int64(added) <= limit {
		s.wasLogged = s.wasLogged && count > limit/2
		return nil
	}
	if !s.wasLogged {
		s.wasLogged = true
		s.log.Error("the capacity for seen items is used up; only polls go on, and what they find is published as long as "+
			"there is capacity left; watch less (bbox, filter, sweep.back) or raise maxRemembered",
			"items", count, "max_remembered", capacity)
	}
	return fmt.Errorf("%w: %d of %d, of which the last tenth is kept for what is new",
		source.ErrSeenFull, count, capacity)
}

// forgetOld removes items that no tier has found when it was last complete: no search finds them again, so that they
// need not be told from what is new.
func (s *seenItems) forgetOld(ctx context.Context, watched []string) error {
	horizon, ok := s.horizon(watched)
	if !ok || !horizon.After(s.forgot.Add(s.plan.refreshAfter())) {
		return nil
	}
	forgotten, err := s.outbox.Seen().Forget(ctx, horizon.Add(-s.plan.refreshAfter()-time.Minute))
	if err != nil {
		return err
	}
	s.forgot = horizon
	if forgotten > 0 {
		s.log.Info("forgot items that no search finds any more", "items", forgotten)
	}
	return nil
}

// horizon returns when the oldest of the last complete searches of all tiers began. ok is false while one is missing.
func (s *seenItems) horizon(watched []string) (horizon time.Time, ok bool) {
	horizon = s.now()
	for _, collection := range watched {
		state := s.states.find(collection)
		if state == nil || state.Engine == "" {
			return horizon, false
		}
		for _, t := range append(slowTiers(), tierPoll) {
			if s.plan.every(state, t) == 0 || t == tierWarm && state.Engine == engineScan {
				continue
			}
			complete, found := state.Complete[t]
			if !found {
				return horizon, false
			}
			if complete.Before(horizon) {
				horizon = complete
			}
		}
	}
	return horizon, len(watched) > 0
}
