package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// An inbox is a stream beside the one that a subscription reads, whose events go to this subscription alone: dead letters
// that are tried again, and replays. It exists while there is something in it, and one replica at a time serves it.
const (
	inboxPeriod = 2 * time.Second // between looks for inboxes
	inboxPause  = time.Second     // between reads of one that has nothing new, and between trims
	inboxShare  = 4               // an inbox gets this part of the subscription's concurrency, so that it displaces nothing
	inboxLook   = 500             // keys asked for in one pipeline
)

// trimInboxScript removes what is done with from an inbox, and the inbox itself when nothing is left.
//
//	KEYS[1] inbox; ARGV[1] group
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
redis.call('DEL', KEYS[1])
return 1`)

// ErrNoSubscription is returned where nobody would deliver what is put into an inbox.
var ErrNoSubscription = errors.New("no such subscription")

// checkSubscription returns [ErrNoSubscription] where the stream has no consumer group of the subscription, because nobody
// would ever read its inbox.
func checkSubscription(ctx context.Context, client redis.UniversalClient, stream, subscription string) error {
	groups, err := client.XInfoGroups(ctx, stream).Result()
	if err != nil && !redis.HasErrorPrefix(err, "no such key") {
		return fmt.Errorf("look for subscription %q on stream %q: %w", subscription, stream, err)
	}
	if slices.ContainsFunc(groups, func(g redis.XInfoGroup) bool { return g.Name == groupName(subscription) }) {
		return nil
	}
	return fmt.Errorf("%w: %q on stream %q; check both names, and that a gateway with it has run on this Redis", ErrNoSubscription, subscription, stream)
}

// inboxes serves the inboxes of the subscriptions on this replica.
type inboxes struct {
	client redis.UniversalClient
	roster *roster
}

// run looks for inboxes until readCtx ends. What is in work then is finished until workCtx ends.
func (b *inboxes) run(readCtx, workCtx context.Context) {
	var serving sync.WaitGroup
	defer serving.Wait()
	var mu sync.Mutex
	served := map[*subscription]bool{}
	for Sleep(readCtx, inboxPeriod/2+rand.N(inboxPeriod/2)) {
		mu.Lock()
		var idle []*subscription
		for _, s := range b.roster.list() {
			if !served[s] {
				idle = append(idle, s)
			}
		}
		mu.Unlock()
		for _, s := range b.filled(readCtx, idle) {
			mu.Lock()
			served[s] = true
			mu.Unlock()
			serving.Go(func() {
				ownCtx, cancel := s.whileHere(readCtx)
				s.serveInbox(ownCtx, workCtx)
				cancel()
				mu.Lock()
				delete(served, s)
				mu.Unlock()
			})
		}
	}
}

// filled returns the subscriptions that have an inbox. Where Redis does not answer there are none; the subscriptions
// themselves report that.
func (b *inboxes) filled(ctx context.Context, of []*subscription) (found []*subscription) {
	for start := 0; start < len(of); start += inboxLook {
		part := of[start:min(start+inboxLook, len(of))]
		stepCtx, cancel := context.WithTimeout(ctx, redisStepTimeout)
		pipe := b.client.Pipeline()
		exists := make([]*redis.IntCmd, len(part))
		for i, s := range part {
			exists[i] = pipe.Exists(stepCtx, s.inbox())
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

func (s *subscription) inbox() string { return InboxStream(s.config.Stream, s.config.Name) }

// whileHere returns a context that ends with ctx, or when the subscription stops. The caller must call cancel.
func (s *subscription) whileHere(ctx context.Context) (context.Context, context.CancelFunc) {
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

// serveInbox delivers what is in the inbox until it is empty or readCtx ends, unless another replica does.
func (s *subscription) serveInbox(readCtx, workCtx context.Context) {
	l := lease{client: s.env.client, key: inboxLeaseKey(s.config.Stream, s.config.Name), length: s.config.LeaseDuration.Std(), log: s.log}
	token, err := l.acquire(readCtx)
	if err != nil || token == "" {
		return // the next round tries again
	}
	l.hold(readCtx, token, func(leadCtx context.Context, _ string) {
		consumer, err := s.newConsumer(s.inbox(), redisstreams.WithStart("0"))
		if err != nil {
			s.log.Error("cannot read the inbox", "err", err) // the same options have worked before
			return
		}
		var order *lanes
		if s.config.Order == orderByKey {
			order = newLanes()
		}
		emptyCtx, empty := context.WithCancel(leadCtx)
		defer empty()
		in := s.session(consumer, order)
		in.slots = make(chan struct{}, max(1, s.config.workers()/inboxShare))
		in.inbox = &inboxReader{empty: empty}
		in.run(emptyCtx, endsWith(leadCtx, readCtx, workCtx))
	})
}

// inboxReader is what the session of an inbox has in addition.
type inboxReader struct {
	empty   func() // ends the session
	trimmed time.Time
}

// pollInbox reads new entries of an inbox. It does not block, because a connection for each inbox would be too many, and
// ends the session when nothing is left.
func (s *session) pollInbox(ctx context.Context, n int, wait time.Duration) ([]*redisstreams.Delivery, error) {
	batch, err := s.consumer.Poll(ctx, n, time.Millisecond)
	if err != nil {
		return nil, err
	}
	if time.Since(s.inbox.trimmed) > inboxPause {
		s.inbox.trimmed = time.Now()
		stepCtx, cancel := context.WithTimeout(ctx, redisStepTimeout)
		gone, err := trimInboxScript.Run(stepCtx, s.env.client, []string{s.subscription.inbox()}, groupName(s.config.Name)).Int()
		cancel()
		if err == nil && gone == 1 { // after an error, the next time will do
			s.inbox.empty()
		}
	}
	if len(batch) == 0 {
		Sleep(ctx, min(wait, inboxPause))
		return nil, nothingUnless(ctx)
	}
	return batch, nil
}
