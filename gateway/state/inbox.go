package state

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Bounds of an inbox.
const (
	maxInbox   = 10_000 // events; a sender that would put in more waits
	inboxRetry = 200 * time.Millisecond
)

// ErrNoSubscription is returned where nothing would deliver what is put into an inbox.
var ErrNoSubscription = errors.New("no such subscription")

// CheckSubscription returns [ErrNoSubscription] where the stream has no consumer group of the subscription, because its
// inbox would never be read.
func CheckSubscription(ctx context.Context, client redis.UniversalClient, stream, subscription string) error {
	groups, err := client.XInfoGroups(ctx, stream).Result()
	if err != nil && !redisstreams.IsReply(err, redisstreams.ReplyNoKey) {
		return fmt.Errorf("look for subscription %q on stream %q: %w", subscription, stream, err)
	}
	if slices.ContainsFunc(groups, func(g redis.XInfoGroup) bool { return g.Name == GroupName(subscription) }) {
		return nil
	}
	return fmt.Errorf("%w: %q on stream %q; check both names, and that a gateway with it has run on this Redis", ErrNoSubscription, subscription, stream)
}

// AwaitInbox waits until an inbox takes more, or ctx ends.
func AwaitInbox(ctx context.Context, client redis.UniversalClient, inbox string) error {
	for {
		n, err := client.XLen(ctx, inbox).Result()
		if err != nil {
			return fmt.Errorf("read the length of the inbox: %w", err)
		}
		if n < maxInbox {
			return nil
		}
		if !backoff.Sleep(ctx, inboxRetry) {
			return ctx.Err()
		}
	}
}
