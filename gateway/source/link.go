package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/state"
)

// outboxTimeout bounds one command or script.
const outboxTimeout = 5 * time.Second

// ErrFenced is returned by an [Outbox] whose source has lost its lease: another replica runs the source, and nothing
// was written. The source must stop.
var ErrFenced = errors.New("the source's lease is lost: another replica may be running it")

// link is what an outbox and its seen items share: where the state of a source is in Redis, and the right to write it.
type link struct {
	client redis.UniversalClient
	stream string
	source string
	token  string // of the lease
	log    *slog.Logger
}

func (l *link) leaseKey() string { return state.LeaseKey(l.stream, l.source) }

func (l *link) stepKey() string { return state.StepKey(l.stream, l.source) }

func (l *link) checkpointKey() string { return state.CheckpointKey(l.stream, l.source) }

func (l *link) seenKey() string { return state.SeenKey(l.stream, l.source) }

func (l *link) bucketKey(bucket uint32) string { return state.BucketKey(l.stream, l.source, bucket) }

// retry runs f until it succeeds, the lease is lost, or ctx ends, and logs once when Redis does not answer.
func (l *link) retry(ctx context.Context, f func(ctx context.Context) error) error {
	report := func(err error) { l.log.Warn("cannot reach Redis, trying again", "err", err) }
	policy := backoff.Policy{First: 100 * time.Millisecond, Max: time.Second}
	return policy.Retry(ctx, report, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, outboxTimeout)
		defer cancel()
		err := f(ctx)
		if errors.Is(err, ErrFenced) {
			return backoff.Permanent(err)
		}
		return err
	})
}

// fenced translates the reply of a script that found another token.
func fenced(err error) error {
	if errors.Is(err, redis.Nil) {
		return ErrFenced
	}
	return err
}

// checkpoints returns all parts of the checkpoint that was saved last.
func (l *link) checkpoints(ctx context.Context) (map[string][]byte, error) {
	var saved map[string]string
	err := l.retry(ctx, func(ctx context.Context) (err error) {
		saved, err = l.client.HGetAll(ctx, l.checkpointKey()).Result()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint of source %q: %w", l.source, err)
	}
	return checkpointParts(saved), nil
}

func checkpointParts(saved map[string]string) map[string][]byte {
	parts := make(map[string][]byte, len(saved))
	for part, data := range saved {
		parts[part] = []byte(data)
	}
	return parts
}
