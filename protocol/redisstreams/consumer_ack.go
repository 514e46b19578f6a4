package redisstreams

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

const maxAckBatch = 1000 // ids of one XACK

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
		ackCtx, cancel := context.WithTimeout(ctx, commandTimeout)
		err := c.client.XAck(ackCtx, c.stream, c.group, ids...).Err()
		cancel()
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
