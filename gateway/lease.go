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

// lease gives one replica at a time the right to do something. A replica that is silent for length loses it.
type lease struct {
	client redis.UniversalClient
	key    string
	length time.Duration
	log    *slog.Logger
}

// whileHeld calls lead whenever this replica has the lease, and stands by otherwise, until ctx ends. lead must return soon
// after its context has ended; token fences off whoever had the lease before.
func (l *lease) whileHeld(ctx context.Context, lead func(ctx context.Context, token string)) {
	down := false
	for ctx.Err() == nil {
		token, err := l.acquire(ctx)
		switch {
		case err != nil:
			if !down && ctx.Err() == nil {
				l.log.Warn("cannot reach Redis for the lease, trying again", "err", err)
			}
			down = true
			Sleep(ctx, time.Second/2+rand.N(time.Second/2))
		case token == "":
			down = false
			pause := min(l.length/10, time.Second)
			Sleep(ctx, pause+rand.N(pause))
		default:
			down = false
			l.hold(ctx, token, lead)
		}
	}
}

// acquire takes the lease if it is free, and returns the token that fences off whoever had it before: it is random, so that
// it is new even where Redis has forgotten everything. It returns "" if somebody has the lease.
func (l *lease) acquire(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, redisStepTimeout)
	defer cancel()
	token := uuid.NewString()
	taken, err := l.client.SetNX(ctx, l.key, token, l.length).Result()
	if err != nil || !taken {
		return "", err
	}
	return token, nil
}

// hold calls lead with a context that ends with ctx or with the lease, and gives the lease up afterwards.
func (l *lease) hold(ctx context.Context, token string, lead func(ctx context.Context, token string)) {
	leadCtx, end := context.WithCancel(ctx)
	defer end()
	// It is renewed until lead has returned, and not only until ctx ends: lead may take longer than the lease to finish.
	renewCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var renewing sync.WaitGroup
	renewing.Go(func() {
		defer end()
		l.keep(renewCtx, token)
	})
	lead(leadCtx, token)
	stop()
	renewing.Wait()

	last, cancelLast := context.WithTimeout(context.WithoutCancel(ctx), redisStepTimeout)
	defer cancelLast()
	if _, err := l.renew(last, token, 0); err != nil {
		l.log.Warn("cannot give up the lease; another replica gets it when it ends", "err", err)
	}
}

// keep renews the lease until ctx ends. It returns earlier when the lease is lost, or could not be renewed in time.
func (l *lease) keep(ctx context.Context, token string) {
	for held := time.Now(); time.Since(held) < l.length*4/5; { // ends before another replica can begin
		if !Sleep(ctx, l.length/5) {
			return
		}
		renewed := time.Now()
		mine, err := l.renew(ctx, token, l.length)
		switch {
		case err == nil && !mine:
			return
		case err == nil:
			held = renewed
		}
	}
}

func (l *lease) renew(ctx context.Context, token string, length time.Duration) (mine bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, redisStepTimeout)
	defer cancel()
	n, err := renewScript.Run(ctx, l.client, []string{l.key}, token, length.Milliseconds()).Int()
	return n == 1, err
}

// sourceRunner runs one source on this replica while it holds the source's lease, and stands by otherwise.
type sourceRunner struct {
	block     SourceBlock
	client    redis.UniversalClient
	sender    *redisstreams.Sender
	room      *room
	log       *slog.Logger
	metrics   *metrics
	userAgent string
}

// Run blocks until ctx ends.
func (r *sourceRunner) Run(ctx context.Context) error {
	l := lease{client: r.client, key: leaseKey(r.block.Stream, r.block.Name), length: sourceLease, log: r.log}
	l.whileHeld(ctx, func(ctx context.Context, token string) {
		r.log.Info("running the source")
		r.runSource(ctx, token)
	})
	return nil
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
	change, err := newTransform(r.block.Transform)
	if err != nil {
		return fmt.Errorf("build source %q: %w", r.block.Name, err)
	}
	source, err := r.block.Config.NewSource(SourceEnv{
		Name: r.block.Name, Stream: r.block.Stream, Redis: r.client, Logger: r.log, UserAgent: r.userAgent,
		Outbox: &Outbox{
			client: r.client, sender: r.sender, stream: r.block.Stream, source: r.block.Name, token: token,
			room: r.room, log: r.log,
			memory:    memory{gauge: func(items int64) { r.metrics.sourceMemory.WithLabelValues(r.block.Name).Set(float64(items)) }},
			transform: change, notTransformed: r.metrics.sourceTransformErrors.WithLabelValues(r.block.Name).Inc,
			stored: func(n int) { r.metrics.sourceEvents.WithLabelValues(r.block.Name).Add(float64(n)) },
		},
	})
	if err != nil {
		return fmt.Errorf("build source %q: %w", r.block.Name, err)
	}
	return source.Run(ctx)
}
