package redisstreams

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	maxAckBatch = 1000             // ids of one XACK
	ackPause    = time.Millisecond // between XACKs, so that those who acknowledge one by one share them
)

// ack queues the acknowledgement of an entry. The queue is bounded by the number of entries that are handed out.
func (c *Consumer) ack(id string) {
	c.mu.Lock()
	c.acks = append(c.acks, id)
	c.mu.Unlock()
	select {
	case c.wakeAck <- struct{}{}:
	default:
	}
}

// sendAcks sends acknowledgements as they come, all that have gathered in one command. What ctx finds unsent is sent
// before it returns, if Redis answers.
func (c *Consumer) sendAcks(ctx context.Context) {
	backoff := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
			defer cancel()
			if err := c.flushAcks(last); err != nil {
				c.log.Warn("cannot acknowledge delivered entries; they will be delivered again", "entries", c.unacknowledged(), "err", err)
			}
			return
		case <-c.wakeAck:
		}
		for ctx.Err() == nil {
			err := c.flushAcks(ctx)
			if err == nil {
				backoff = 0
				wait(ctx, ackPause)
				break
			}
			if backoff == 0 && ctx.Err() == nil {
				c.log.Warn("cannot acknowledge entries, trying again", "err", err)
			}
			backoff = min(max(2*backoff, minBackoff), maxBackoff)
			wait(ctx, backoff/2+rand.N(backoff/2))
		}
	}
}

func (c *Consumer) unacknowledged() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acks)
}

// flushAcks sends everything that is queued. An entry leaves the queue, and its lease, only when Redis has answered.
func (c *Consumer) flushAcks(ctx context.Context) error {
	for {
		c.mu.Lock()
		ids := slices.Clone(c.acks[:min(len(c.acks), maxAckBatch)])
		c.mu.Unlock()
		if len(ids) == 0 {
			return nil
		}
		err := c.acknowledge(ctx, ids)
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.acks = c.acks[len(ids):]
		if len(c.acks) == 0 {
			c.acks = nil
		}
		for _, id := range ids {
			delete(c.held, id)
		}
		c.mu.Unlock()
	}
}

func (c *Consumer) acknowledge(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if c.hub == nil {
		return c.client.XAck(ctx, c.stream, c.group, ids...).Err()
	}
	args := append(make([]any, 0, 3+len(ids)), "xack", c.stream, c.group)
	for i := range ids {
		args = append(args, &ids[i])
	}
	cmd := redis.NewIntCmd(ctx, args...)
	c.hub.process(once{cmd}, 0)
	return cmd.Err()
}
