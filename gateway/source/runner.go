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
	"github.com/streamgate/streamgate/gateway/transform"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// A replica that is silent for sourceLease loses its sources to the others.
const (
	leaseLength = 10 * time.Second
	minPause    = time.Second
	maxPause    = time.Minute
)

// Runner runs one source on this replica while it holds the source's lease, and stands by otherwise.
type Runner struct {
	Block     Block
	Redis     redis.UniversalClient
	Sender    *redisstreams.Sender // into the block's stream
	Capacity  Capacity             // of that stream
	Logger    *slog.Logger
	Hooks     Hooks
	UserAgent string
}

// Hooks are told what an operator wants to count. None may be nil, and none may block.
type Hooks struct {
	Published      func(events int)  // that were stored
	Failed         func()            // a run of the source ended with an error
	NotTransformed func()            // an event was published as its source made it
	SeenItems      func(items int64) // how many there are now
	// Checked is told the health after each success and failure, and with isFailure false when the source begins to
	// run. Stopped is told that the source does not run here any more.
	Checked func(h Health, isFailure bool)
	Stopped func()
}

// Capacity says how much a stream may still take.
type Capacity interface {
	// Take reserves n entries that are about to be added, or returns an error if the stream cannot take them now.
	Take(n int) error
}

// Run blocks until ctx ends.
func (r *Runner) Run(ctx context.Context) error {
	l := state.Lease{Redis: r.Redis, Key: state.LeaseKey(r.Block.Stream, r.Block.Name), Length: leaseLength, Logger: r.Logger}
	l.WhileHeld(ctx, func(ctx context.Context, token string) {
		r.Logger.Info("running the source")
		defer r.Hooks.Stopped()
		r.runSource(ctx, token)
	})
	return nil
}

// runSource runs the source, again and again with growing pauses where it fails, until ctx ends or the lease is lost.
func (r *Runner) runSource(ctx context.Context, token string) {
	pauses := backoff.Policy{First: minPause, Max: maxPause}.Pauses()
	monitor := newMonitor(r.link(token), r.Hooks.Checked)
	monitor.load(ctx)
	for ctx.Err() == nil {
		started := time.Now()
		err := r.runOnce(ctx, token, monitor)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrFenced):
			r.Logger.Warn("stopped the source: its lease is lost")
			return
		case err == nil:
			err = errors.New("it ended by itself")
		}
		if time.Since(started) > maxPause {
			pauses.Reset()
		}
		pause := pauses.Next()
		r.Hooks.Failed()
		monitor.Failed(ctx, err, time.Now().Add(pause))
		r.Logger.Warn("the source failed and is started again", "pause", pause, "err", err)
		backoff.Sleep(ctx, pause)
	}
}

func (r *Runner) runOnce(ctx context.Context, token string, monitor *Monitor) error {
	outbox, err := r.newOutbox(token)
	if err != nil {
		return fmt.Errorf("build source %q: %w", r.Block.Name, err)
	}
	source, err := r.Block.Config.NewSource(Env{
		Name: r.Block.Name, Stream: r.Block.Stream, Redis: r.Redis, Logger: r.Logger, UserAgent: r.UserAgent, Outbox: outbox,
		Monitor: monitor,
	})
	if err != nil {
		return fmt.Errorf("build source %q: %w", r.Block.Name, err)
	}
	return source.Run(ctx)
}

func (r *Runner) link(token string) *link {
	return &link{client: r.Redis, stream: r.Block.Stream, source: r.Block.Name, token: token, log: r.Logger}
}

func (r *Runner) newOutbox(token string) (*RedisOutbox, error) {
	change, err := transform.New(r.Block.Transform)
	if err != nil {
		return nil, err
	}
	at := r.link(token)
	return &RedisOutbox{
		link: at, seen: newSeenItems(at, r.Hooks.SeenItems), write: r.Sender, capacity: r.Capacity,
		transform: transformer{change: change, log: r.Logger, failed: r.Hooks.NotTransformed}, published: r.Hooks.Published,
	}, nil
}
