package stac

import (
	"context"
	"errors"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
)

// maxPause is the longest pause after polls that have failed.
const maxPause = time.Minute

// health owns which collections could be searched lately, and what was logged of it. Slow work leaves the others alone
// until the next poll: asking a server in trouble for more is of no use.
type health struct {
	*env
	engines  *engines
	healthy  map[string]bool // collections that the last poll has searched completely
	failures int             // polls in a row that have searched nothing completely
	failing  bool            // an outage was logged
}

// reset begins a poll.
func (h *health) reset() { h.healthy = map[string]bool{} }

func (h *health) mark(collection string)           { h.healthy[collection] = true }
func (h *health) isHealthy(collection string) bool { return h.healthy[collection] }
func (h *health) any() bool                        { return len(h.healthy) > 0 }

// exclude leaves a collection alone until the next poll, because of an error of slow work, which it returns.
func (h *health) exclude(ctx context.Context, collection string, err error) error {
	if !isFinal(ctx, err) {
		delete(h.healthy, collection)
	}
	return h.engines.judge(collection, err)
}

// backoff returns how long to wait at least after a poll.
func (h *health) backoff() time.Duration {
	if h.any() {
		h.failures = 0
		return 0
	}
	h.failures++
	return min(h.config.pace.pause<<min(h.failures, 10), maxPause)
}

// report logs an outage once when it begins and once when it ends.
func (h *health) report(err error) {
	switch {
	case err != nil && !h.failing:
		h.log.Warn("the STAC API could not be searched completely; nothing is skipped, the search is repeated", "err", err)
	case err == nil && h.failing:
		h.log.Info("the STAC API is searched completely again")
	}
	h.failing = err != nil
}

// isFinal reports whether this replica has nothing left to do.
func isFinal(ctx context.Context, err error) bool {
	return errors.Is(err, source.ErrFenced) || ctx.Err() != nil
}
