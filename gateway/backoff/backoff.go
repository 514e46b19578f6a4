// Package backoff waits between attempts: with growing, partly random pauses that end as soon as their context does.
// All loops of the gateway that try something again are made of it, so that none of them spins on an error and replicas
// that failed together do not come back together.
package backoff

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Sleep waits for d and reports true, or reports false as soon as ctx ends.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Jitter returns a random duration between half of d and d.
func Jitter(d time.Duration) time.Duration {
	if d <= 1 {
		return max(d, 0)
	}
	return d/2 + rand.N(d/2)
}

// Policy says how long to wait after a failure: First, then twice as long each time up to Max, of which the upper half
// is random.
type Policy struct {
	First, Max time.Duration
}

// Pauses returns the sequence of pauses of the policy, from the beginning. It is for one goroutine.
func (p Policy) Pauses() *Pauses { return &Pauses{policy: p, next: p.First} }

// Pauses is a sequence of growing pauses.
type Pauses struct {
	policy Policy
	next   time.Duration
}

// Next returns the pause before the next attempt.
func (p *Pauses) Next() time.Duration {
	pause := p.next
	p.next = min(2*p.next, p.policy.Max)
	return Jitter(pause)
}

// Reset begins the sequence anew: something has worked again.
func (p *Pauses) Reset() { p.next = p.policy.First }

// permanent is an error that a further attempt cannot cure.
type permanent struct{ error }

func (e permanent) Unwrap() error { return e.error }

// Permanent marks an error that a further attempt cannot cure; [Policy.Retry] returns the error itself at once.
func Permanent(err error) error { return permanent{err} }

// Retry calls attempt until it returns nil or a [Permanent] error, which Retry returns, or ctx ends, which is ctx's
// error. failed, if not nil, is told the first error, and no other: an outage deserves one line in the log.
func (p Policy) Retry(ctx context.Context, failed func(error), attempt func(context.Context) error) error {
	pauses := p.Pauses()
	for first := true; ; first = false {
		err := attempt(ctx)
		if err == nil {
			return nil
		}
		if final, ok := errors.AsType[permanent](err); ok {
			return final.error
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if first && failed != nil {
			failed(err)
		}
		if !Sleep(ctx, pauses.Next()) {
			return ctx.Err()
		}
	}
}
