package state

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/backoff"
)

// StepTimeout bounds one short command.
const StepTimeout = 2 * time.Second

// renewScript prolongs the lease, or gives it up, for the holder of the token.
//
//	KEYS[1] lease; ARGV[1] token, ARGV[2] length in ms, 0 to give it up
//	returns 1 if the token was the lease's
//
// It is a script because the lease may belong to another replica by now.
var renewScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1`)

// Lease gives one replica at a time the right to do something. A replica that is silent for length loses it.
type Lease struct {
	Redis  redis.UniversalClient
	Key    string
	Length time.Duration
	Logger *slog.Logger
}

// WhileHeld calls lead whenever this replica has the lease, and stands by otherwise, until ctx ends. lead must return
// soon after its context has ended; token fences off its previous holder.
func (l *Lease) WhileHeld(ctx context.Context, lead func(ctx context.Context, token string)) {
	down := false
	for ctx.Err() == nil {
		token, err := l.Acquire(ctx)
		switch {
		case err != nil:
			if !down && ctx.Err() == nil {
				l.Logger.Warn("cannot reach Redis for the lease, trying again", "err", err)
			}
			down = true
			backoff.Sleep(ctx, backoff.Jitter(time.Second))
		case token == "":
			down = false
			pause := min(l.Length/10, time.Second)
			backoff.Sleep(ctx, pause+rand.N(pause))
		default:
			down = false
			l.Hold(ctx, token, lead)
		}
	}
}

// Acquire takes the lease if it is free, and returns the token that fences off its previous holder: it is random, so
// that it is new even where Redis has forgotten everything. It returns "" if the lease is held.
func (l *Lease) Acquire(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, StepTimeout)
	defer cancel()
	token := uuid.NewString()
	taken, err := l.Redis.SetNX(ctx, l.Key, token, l.Length).Result()
	if err != nil || !taken {
		return "", err
	}
	return token, nil
}

// Hold calls lead with a context that ends with ctx or with the lease, and gives the lease up afterwards.
func (l *Lease) Hold(ctx context.Context, token string, lead func(ctx context.Context, token string)) {
	leadCtx, end := context.WithCancel(ctx)
	defer end()
	// It is renewed until lead has returned, and not only until ctx ends: lead may take longer than the lease to
	// finish.
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

	last, cancelLast := context.WithTimeout(context.WithoutCancel(ctx), StepTimeout)
	defer cancelLast()
	if _, err := l.renew(last, token, 0); err != nil {
		l.Logger.Warn("cannot give up the lease; another replica gets it when it ends", "err", err)
	}
}

// keep renews the lease until ctx ends. It returns earlier when the lease is lost, or could not be renewed in time.
func (l *Lease) keep(ctx context.Context, token string) {
	for held := time.Now(); time.Since(held) < l.Length*4/5; { // ends before another replica can begin
		if !backoff.Sleep(ctx, l.Length/5) {
			return
		}
		renewed := time.Now()
		mine, err := l.renew(ctx, token, l.Length)
		switch {
		case err == nil && !mine:
			return
		case err == nil:
			held = renewed
		}
	}
}

func (l *Lease) renew(ctx context.Context, token string, length time.Duration) (mine bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, StepTimeout)
	defer cancel()
	n, err := renewScript.Run(ctx, l.Redis, []string{l.Key}, token, length.Milliseconds()).Int()
	return n == 1, err
}
