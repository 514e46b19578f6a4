package redisstreams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// readResult is what a read brought. Its entries are held already.
type readResult struct {
	batch []*Delivery
	err   error
}

// readNew waits for what a read brings, at most as long as ctx lasts. The read itself is not cut short: an entry that
// Redis has handed out and nobody has seen would wait for its lease to end.
func (c *Consumer) readNew(ctx context.Context, n int, block time.Duration) ([]*Delivery, error) {
	reading := c.startRead(n, block)
	select {
	case r := <-reading:
		c.mu.Lock()
		c.reading = nil
		c.mu.Unlock()
		if hasPrefix(r.err, "ERR syntax error") && c.setClaiming(false) {
			c.nextReclaim = time.Now()
			return c.readNew(ctx, n, block)
		}
		c.reads.note(r.batch)
		return r.batch, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// startRead starts a read, unless one is under way.
func (c *Consumer) startRead(n int, block time.Duration) <-chan readResult {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reading == nil {
		c.reading = make(chan readResult, 1)
		go c.read(c.reading, c.readCommand(c.reads.count(n), block), block)
	}
	return c.reading
}

// awaitRead waits for the read that is under way, if any. What it brings is held.
func (c *Consumer) awaitRead() {
	c.mu.Lock()
	reading := c.reading
	c.mu.Unlock()
	if reading != nil {
		<-reading
	}
}

// readCommand makes a read of new entries; where the server can, also of those whose member has been silent for longer
// than the lease: XREADGROUP CLAIM (Redis 8.4) returns the moment that a lease ends. BLOCK is at least a millisecond,
// because 0 means for ever.
func (c *Consumer) readCommand(count int, block time.Duration) []any {
	args := []any{"xreadgroup", "group", c.group, c.name, "count", count, "block", max(block.Milliseconds(), 1)}
	if c.claiming && time.Now().After(c.claimAfter) {
		args = append(args, "claim", c.lease.Milliseconds())
	}
	return append(args, "streams", c.stream, ">")
}

// setClaiming notes whether the server knows CLAIM, and reports whether that is news.
func (c *Consumer) setClaiming(known bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.claiming
	c.claiming = known
	return was != known
}

func (c *Consumer) read(result chan<- readResult, args []any, block time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), block+commandTimeout)
	defer cancel()
	cmd := redis.NewCmd(ctx, args...)
	cmd.SetFirstKeyPos(int8(len(args) - 2)) //nolint:gosec // at most 11
	_ = c.client.Process(ctx, once{cmd})    // the command carries the error
	reply, err := cmd.Result()
	if errors.Is(err, redis.Nil) {
		reply, err = nil, nil
	}
	if err != nil {
		result <- readResult{err: fmt.Errorf("read: %w", err)}
		return
	}
	batch, err := c.deliver(reply)
	result <- readResult{batch, err}
}

// deliver holds what a read brought.
func (c *Consumer) deliver(reply any) ([]*Delivery, error) {
	entries, err := parseStreams(c.stream, reply)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	batch, reclaimed := make([]*Delivery, 0, len(entries)), 0
	list := make([]Delivery, len(entries))
	c.mu.Lock()
	for i := range entries {
		d := &list[i]
		*d = Delivery{Entry: entries[i], Attempt: entries[i].deliveries + 1, consumer: c}
		if d.Attempt > 1 {
			if _, inWork := c.held[d.ID]; inWork {
				continue // the heartbeat is late; it must not be worked on twice
			}
			reclaimed++
		} else if CompareIDs(d.ID, c.position) > 0 {
			c.position = d.ID
		}
		d.bound(c.maxEntry)
		c.held[d.ID] = struct{}{}
		batch = append(batch, d)
	}
	c.mu.Unlock()
	c.tookOver(reclaimed)
	return batch, nil
}

func (c *Consumer) tookOver(n int) {
	if n == 0 {
		return
	}
	c.log.Info("took over entries of a consumer that is gone", "entries", n)
	c.hooks.reclaimed(n)
}

// readSizer decides how many entries a read asks for, so that a reply does not become much larger than replyBytes. Redis
// cannot bound a reply by bytes before 8.10, so the size of the next entries is guessed from the last ones, and the number
// grows only as fast as they prove to be small. A reply exceeds the bound only where entries suddenly become larger.
type readSizer struct {
	allowed int // grows twofold with every reply that was full
	largest int // the largest entry of late, in bytes
}

func (r *readSizer) count(n int) int {
	return max(1, min(n, r.allowed, replyBytes/max(r.largest, 1)))
}

func (r *readSizer) note(batch []*Delivery) {
	largest := 0
	for _, d := range batch {
		largest = max(largest, d.size())
	}
	r.largest = max(largest, r.largest-r.largest/8)
	if len(batch) >= r.allowed {
		r.allowed = min(2*r.allowed, 1<<20)
	}
}

// restart begins anew: a reply got lost, perhaps because it was too large to come in time.
func (r *readSizer) restart() { r.allowed = 1 }
