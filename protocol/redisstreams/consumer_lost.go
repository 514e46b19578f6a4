package redisstreams

import (
	"context"
	"errors"
	"fmt"
)

// ErrGroupLost is for the function of [WithLostGroup]: the group has existed, and is not to be made again.
var ErrGroupLost = errors.New("the consumer group has disappeared")

// WithLostGroup sets who decides where a group is made that does not exist, though it may have existed: f gets the
// position up to which this member has read, "" if it never has, and returns the entry id behind which the group goes on,
// "$" for what comes, or "" if the group is a new one, which begins at [WithStart]. An error leaves it unmade, and f is
// asked again, with backoff; one that is [ErrGroupLost] is not logged for each thing that waits for it. f must be safe for
// concurrent use and respect its context. Default is the position of this member, in whose memory alone it is. Where the
// stream has begun again with lower ids, the group begins at its beginning.
func WithLostGroup(f func(ctx context.Context, position string) (string, error)) ConsumerOption {
	return func(c *Consumer) { c.onLost = f }
}

// origin is where a group begins.
type origin struct {
	exists bool   // it need not be made
	lost   bool   // it has existed before
	start  string // the position to make it at
	begin  string // the same as an entry id
}

// findOrigin returns where the group is to be made, if it has to be. position is what this member remembers.
func (c *Consumer) findOrigin(ctx context.Context, position string) (o origin, err error) {
	if c.onLost != nil {
		if o.exists, err = c.exists(ctx); err != nil {
			return o, err
		}
		if o.exists && position == "" {
			o.begin, err = c.lastDelivered(ctx)
			return o, err
		}
		if !o.exists {
			if position, err = c.onLost(ctx, position); err != nil {
				return o, err
			}
		}
	}
	o.start, o.begin, o.lost = c.start, c.start, position != ""
	switch {
	case position != "" && position != "$": // it existed, and was read up to there: the group was lost
		o.start, err = c.resumeAt(ctx, position)
		o.begin = o.start
	case position == "$" || c.start == "$": // known before the group is made, so that the position is never behind what it has not seen
		o.start = "$"
		o.begin, err = lastIDScript.run(ctx, c.client, []string{c.stream}, nil).Text()
	}
	return o, err
}

// exists asks for the group alone: a look at all groups of the stream, made for each of them, would take too long.
func (c *Consumer) exists(ctx context.Context) (bool, error) {
	err := c.client.XPending(ctx, c.stream, c.group).Err()
	if hasPrefix(err, "NOGROUP") {
		return false, nil
	}
	return err == nil, err
}

// resumeAt returns where a lost group begins again: at the position, or at the beginning where the stream has gone, too, and
// began again with lower ids (FLUSHALL, a failover to a server whose clock is behind): what is in it may all be new.
func (c *Consumer) resumeAt(ctx context.Context, position string) (string, error) {
	info, err := c.client.XInfoStream(ctx, c.stream).Result()
	switch {
	case hasPrefix(err, "ERR no such key"):
		return "0-0", nil
	case err != nil:
		return "", fmt.Errorf("look up stream %q: %w", c.stream, err)
	case CompareIDs(info.LastGeneratedID, position) < 0:
		return "0-0", nil
	default:
		return position, nil
	}
}
