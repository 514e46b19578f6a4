package delivery

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// An inbox is a stream beside the one that a subscription reads, whose events go to this subscription alone: dead
// letters that are tried again, and replays. It exists while there is something in it, and one replica at a time serves
// it.
const (
	inboxPeriod   = 2 * time.Second // between searches for inboxes
	inboxPause    = time.Second     // between reads of one that has nothing new, and between trims
	inboxShare    = 4               // an inbox gets this part of the subscription's concurrency, so that it displaces nothing
	inboxesAtOnce = 500             // keys asked for in one pipeline
)

// trimInboxScript removes what is done with from an inbox, and the inbox itself when nothing is left.
//
//	KEYS[1] inbox, KEYS[2] its retries; ARGV[1] group
//	returns 1 if the inbox is no more
//
// It is a script because something may be added between the look and the deletion.
var trimInboxScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return 1 end
local pending = redis.call('XPENDING', KEYS[1], ARGV[1])
if pending[1] > 0 then
  redis.call('XTRIM', KEYS[1], 'MINID', pending[2])
  return 0
end
local delivered
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  if group[2] == ARGV[1] then delivered = group[8] end
end
if #redis.call('XRANGE', KEYS[1], '(' .. delivered, '+', 'COUNT', 1) > 0 then
  redis.call('XTRIM', KEYS[1], 'MINID', delivered)
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2])
return 1`)

// Inboxes serves the inboxes of the subscriptions on this replica.
type Inboxes struct {
	Redis redis.UniversalClient
	// List returns the subscriptions that there are at the moment.
	List func() []*Subscription
}

// Run searches for inboxes that hold something until readCtx ends. What is in work then is finished until workCtx ends.
func (b *Inboxes) Run(readCtx, workCtx context.Context) {
	var serving sync.WaitGroup
	defer serving.Wait()
	var mu sync.Mutex
	served := map[*Subscription]bool{}
	for backoff.Sleep(readCtx, inboxPeriod/2+rand.N(inboxPeriod/2)) {
		mu.Lock()
		var idle []*Subscription
		for _, s := range b.List() {
			if !served[s] {
				idle = append(idle, s)
			}
		}
		mu.Unlock()
		sharePauses(readCtx, b.List())
		for _, s := range b.filled(readCtx, idle) {
			mu.Lock()
			served[s] = true
			mu.Unlock()
			serving.Go(func() {
				s.serveInbox(readCtx, workCtx)
				mu.Lock()
				delete(served, s)
				mu.Unlock()
			})
		}
	}
}

// filled returns the subscriptions that have an inbox. Where Redis does not answer there are none; the subscriptions
// themselves report that.
func (b *Inboxes) filled(ctx context.Context, of []*Subscription) (found []*Subscription) {
	for start := 0; start < len(of); start += inboxesAtOnce {
		part := of[start:min(start+inboxesAtOnce, len(of))]
		stepCtx, cancel := context.WithTimeout(ctx, state.StepTimeout)
		pipe := b.Redis.Pipeline()
		exists := make([]*redis.IntCmd, len(part))
		for i, s := range part {
			exists[i] = pipe.Exists(stepCtx, s.inboxKey())
		}
		_, _ = pipe.Exec(stepCtx) // each command carries its own error
		cancel()
		for i, s := range part {
			if exists[i].Val() == 1 {
				found = append(found, s)
			}
		}
	}
	return found
}

func (s *Subscription) inboxKey() string { return state.InboxStream(s.config.Stream, s.config.Name) }

// whileHere returns a context that ends with ctx, or when the subscription stops. The caller must call cancel.
func (s *Subscription) whileHere(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if s.left != nil {
		go func() {
			select {
			case <-s.left:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	return ctx, cancel
}

// serveInbox delivers what is in the inbox until it is empty, readCtx ends or the subscription stops, unless another
// replica does.
func (s *Subscription) serveInbox(readCtx, workCtx context.Context) {
	if !s.enter() {
		return
	}
	defer s.sessions.Done()
	readCtx, cancel := s.whileHere(readCtx)
	defer cancel()
	l := state.Lease{Redis: s.env.Redis, Key: state.InboxLeaseKey(s.config.Stream, s.config.Name), Length: s.config.LeaseDuration.Std(), Logger: s.log}
	token, err := l.Acquire(readCtx)
	if err != nil || token == "" {
		return // the next round tries again
	}
	l.Hold(readCtx, token, func(leadCtx context.Context, _ string) {
		member, err := s.newMember(s.inboxKey(), state.InboxRetriesKey(s.config.Stream, s.config.Name), redisstreams.WithStart("0"))
		if err != nil {
			s.log.Error("cannot read the inbox", "err", err) // the same options have worked before
			return
		}
		var keys *keyQueues
		if s.config.Order == orderByKey {
			keys = newKeyQueues()
		}
		emptyCtx, empty := context.WithCancel(leadCtx)
		defer empty()
		in := s.newSession(member, keys)
		in.workers = max(1, s.config.workers()/inboxShare)
		in.inbox = &inbox{key: s.inboxKey(), session: in, empty: empty}
		in.run(emptyCtx, endsWith(leadCtx, readCtx, workCtx))
	})
}

// inbox is what the session of an inbox has in addition. It is for the dispatcher.
type inbox struct {
	key     string
	session *session
	empty   func() // ends the session
	trimmed time.Time
}

// poll reads new entries of an inbox. It does not block, because a connection for each inbox would be too many, and
// ends the session when nothing is left.
func (b *inbox) poll(ctx context.Context, n int, wait time.Duration) ([]*redisstreams.Delivery, error) {
	batch, err := b.session.consumer.Poll(ctx, n, time.Millisecond)
	if err != nil {
		return nil, err
	}
	if time.Since(b.trimmed) > inboxPause {
		b.trimmed = time.Now()
		stepCtx, cancel := context.WithTimeout(ctx, state.StepTimeout)
		gone, err := trimInboxScript.Run(stepCtx, b.session.env.Redis, []string{b.key, b.session.recorder.store.Key}, b.session.Group()).Int()
		cancel()
		if err == nil && gone == 1 { // after an error, the next time will do
			b.empty()
		}
	}
	if len(batch) == 0 {
		backoff.Sleep(ctx, min(wait, inboxPause))
		return nil, nothingUnless(ctx)
	}
	return batch, nil
}
