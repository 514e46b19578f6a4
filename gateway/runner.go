package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// A replica that is silent for sourceLease loses its sources to the others.
const (
	sourceLease    = 10 * time.Second
	minSourcePause = time.Second
	maxSourcePause = time.Minute
)

// SourceRunner runs one source on this replica while it holds the source's lease, and stands by otherwise.
type SourceRunner struct {
	Block     SourceBlock
	Redis     redis.UniversalClient
	Sender    *redisstreams.Sender // into the block's stream
	Capacity  SourceCapacity       // of that stream
	Logger    *slog.Logger
	Metrics   *SourceMetrics
	UserAgent string
}

// SourceCapacity says how much a stream may still take.
type SourceCapacity interface {
	// Take reserves n entries that are about to be added, or returns an error if the stream cannot take them now.
	Take(n int) error
}

// Run blocks until ctx ends.
func (r *SourceRunner) Run(ctx context.Context) error {
	l := lease{client: r.Redis, key: leaseKey(r.Block.Stream, r.Block.Name), length: sourceLease, log: r.Logger}
	l.whileHeld(ctx, func(ctx context.Context, token string) {
		r.Logger.Info("running the source")
		r.runSource(ctx, token)
	})
	return nil
}

// runSource runs the source, again and again with growing pauses where it fails, until ctx ends or the lease is lost.
func (r *SourceRunner) runSource(ctx context.Context, token string) {
	pauses := backoff.Policy{First: minSourcePause, Max: maxSourcePause}.Pauses()
	for ctx.Err() == nil {
		started := time.Now()
		err := r.runOnce(ctx, token)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrFenced):
			r.Logger.Warn("stopped the source: its lease is lost")
			return
		case err == nil:
			err = errors.New("it ended by itself")
		}
		if time.Since(started) > maxSourcePause {
			pauses.Reset()
		}
		pause := pauses.Next()
		r.Metrics.errors.WithLabelValues(r.Block.Name).Inc()
		r.Logger.Warn("the source failed and is started again", "pause", pause, "err", err)
		backoff.Sleep(ctx, pause)
	}
}

func (r *SourceRunner) runOnce(ctx context.Context, token string) error {
	outbox, err := r.newOutbox(token)
	if err != nil {
		return fmt.Errorf("build source %q: %w", r.Block.Name, err)
	}
	source, err := r.Block.Config.NewSource(SourceEnv{
		Name: r.Block.Name, Stream: r.Block.Stream, Redis: r.Redis, Logger: r.Logger, UserAgent: r.UserAgent, Outbox: outbox,
	})
	if err != nil {
		return fmt.Errorf("build source %q: %w", r.Block.Name, err)
	}
	return source.Run(ctx)
}

func (r *SourceRunner) newOutbox(token string) (*RedisOutbox, error) {
	change, err := NewTransform(r.Block.Transform)
	if err != nil {
		return nil, err
	}
	name := r.Block.Name
	at := &link{client: r.Redis, stream: r.Block.Stream, source: name, token: token, log: r.Logger}
	return &RedisOutbox{
		link:  at,
		seen:  newSeenItems(at, func(items int64) { r.Metrics.seenItems.WithLabelValues(name).Set(float64(items)) }),
		write: r.Sender, capacity: r.Capacity,
		transform: sourceTransform{change: change, log: r.Logger, failed: r.Metrics.transformErrors.WithLabelValues(name).Inc},
		published: func(n int) { r.Metrics.events.WithLabelValues(name).Add(float64(n)) },
	}, nil
}
