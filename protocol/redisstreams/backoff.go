package redisstreams

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff spaces out attempts: its pauses double from least to most, each shortened by a random part of up to one half,
// so that members which lost Redis at the same moment do not come back at the same moment. It is not safe for
// concurrent use.
type backoff struct {
	least, most time.Duration
	last        time.Duration // the last pause before jitter; 0: no attempt has failed since the last success
}

// outageBackoff is for attempts that fail while Redis is away.
func outageBackoff() backoff { return backoff{least: 50 * time.Millisecond, most: time.Second} }

// next returns the next pause before jitter.
func (b *backoff) next() time.Duration { return min(max(2*b.last, b.least), b.most) }

// pause blocks for the next pause, or until ctx ends.
func (b *backoff) pause(ctx context.Context) {
	b.last = b.next()
	sleep(ctx, b.last/2+rand.N(b.last/2))
}

// reset notes that an attempt has succeeded.
func (b *backoff) reset() { b.last = 0 }

// failing reports whether the last attempt failed.
func (b *backoff) failing() bool { return b.last > 0 }

// retry calls attempt until it succeeds or ctx ends. onFirst is called with the first error of a series.
func (b *backoff) retry(ctx context.Context, attempt func(context.Context) error, onFirst func(error)) {
	for ctx.Err() == nil {
		err := attempt(ctx)
		if err == nil {
			b.reset()
			return
		}
		if !b.failing() && ctx.Err() == nil {
			onFirst(err)
		}
		b.pause(ctx)
	}
}

// sleep blocks for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
