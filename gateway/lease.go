package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// A replica that is silent for sourceLease loses its sources to the others.
const (
	sourceLease      = 10 * time.Second
	minSourcePause   = time.Second
	maxSourcePause   = time.Minute
	redisStepTimeout = 2 * time.Second
)

// renewScript prolongs the lease, or gives it up, for whoever holds the token.
//
//	KEYS[1] lease; ARGV[1] token, ARGV[2] length in ms, 0 to give it up
//	returns 1 if the token was the lease's
//
// It is a script because the lease may be somebody else's by now.
var renewScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1`)

// sourceRunner runs one source on this replica while it holds the source's lease, and stands by otherwise.
type sourceRunner struct {
	block     SourceBlock
	client    redis.UniversalClient
	sender    *redisstreams.Sender
	log       *slog.Logger
	metrics   *metrics
	userAgent string
}

// Run blocks until ctx ends.
func (r *sourceRunner) Run(ctx context.Context) error {
	down := false
	for ctx.Err() == nil {
		token, err := r.acquire(ctx)
		switch {
		case err != nil:
			if !down && ctx.Err() == nil {
				r.log.Warn("cannot reach Redis for the source's lease, trying again", "err", err)
			}
			down = true
			Sleep(ctx, time.Second/2+rand.N(time.Second/2))
		case token == "":
			down = false
			Sleep(ctx, sourceLease/10+rand.N(sourceLease/10))
		default:
			down = false
			r.lead(ctx, token)
		}
	}
	return nil
}

// acquire takes the lease if it is free, and returns the token that fences off whoever had it before: it is random, so that
// it is new even where Redis has forgotten everything. It returns "" if somebody has the lease.
func (r *sourceRunner) acquire(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, redisStepTimeout)
	defer cancel()
	token := uuid.NewString()
	taken, err := r.client.SetNX(ctx, leaseKey(r.block.Stream, r.block.Name), token, sourceLease).Result()
	if err != nil || !taken {
		return "", err
	}
	return token, nil
}

// lead runs the source until ctx ends or the lease is lost.
func (r *sourceRunner) lead(ctx context.Context, token string) {
	r.log.Info("running the source")
	leadCtx, cancel := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		defer cancel()
		r.keepLease(leadCtx, token)
	})
	r.runSource(leadCtx, token)
	cancel()
	renewing.Wait()

	last, cancelLast := context.WithTimeout(context.WithoutCancel(ctx), redisStepTimeout)
	defer cancelLast()
	if _, err := r.renew(last, token, 0); err != nil {
		r.log.Warn("cannot give up the source's lease; another replica gets it when it ends", "err", err)
	}
}

// runSource runs the source, again and again with growing pauses where it fails, until ctx ends or the lease is lost.
func (r *sourceRunner) runSource(ctx context.Context, token string) {
	for pause := minSourcePause; ctx.Err() == nil; pause = min(2*pause, maxSourcePause) {
		started := time.Now()
		err := r.runOnce(ctx, token)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrFenced):
			r.log.Warn("stopped the source: its lease is lost")
			return
		case err == nil:
			err = errors.New("it ended by itself")
		}
		if time.Since(started) > maxSourcePause {
			pause = minSourcePause
		}
		r.metrics.sourceErrors.WithLabelValues(r.block.Name).Inc()
		r.log.Warn("the source failed and is started again", "pause", pause, "err", err)
		Sleep(ctx, pause/2+rand.N(pause/2))
	}
}

func (r *sourceRunner) runOnce(ctx context.Context, token string) error {
	source, err := r.block.Config.NewSource(SourceEnv{
		Name: r.block.Name, Stream: r.block.Stream, Redis: r.client, Logger: r.log, UserAgent: r.userAgent,
		Outbox: &Outbox{
			client: r.client, sender: r.sender, stream: r.block.Stream, source: r.block.Name, token: token, log: r.log,
			stored: func(n int) { r.metrics.sourceEvents.WithLabelValues(r.block.Name).Add(float64(n)) },
		},
	})
	if err != nil {
		return fmt.Errorf("build source %q: %w", r.block.Name, err)
	}
	return source.Run(ctx)
}

// keepLease renews the lease until ctx ends. It returns earlier when the lease is lost, or could not be renewed in time.
func (r *sourceRunner) keepLease(ctx context.Context, token string) {
	for held := time.Now(); time.Since(held) < sourceLease; {
		if !Sleep(ctx, sourceLease/5) {
			return
		}
		renewed := time.Now()
		mine, err := r.renew(ctx, token, sourceLease)
		switch {
		case err == nil && !mine:
			return
		case err == nil:
			held = renewed
		}
	}
}

func (r *sourceRunner) renew(ctx context.Context, token string, length time.Duration) (mine bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, redisStepTimeout)
	defer cancel()
	keys := []string{leaseKey(r.block.Stream, r.block.Name)}
	n, err := renewScript.Run(ctx, r.client, keys, token, length.Milliseconds()).Int()
	return n == 1, err
}
