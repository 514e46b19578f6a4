package redisstreams

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// attempt is what one attempt to receive brought. Its entries are held already.
type attempt struct {
	batch []*Delivery
	err   error
	slow  bool // Redis took so long that nobody could renew a lease

	done chan struct{} // closed when the rest is set
}

// startAttempt starts an attempt to receive, unless one is under way. No context cuts it short: go-redis cannot interrupt a
// command, and an entry that Redis has handed out and nobody has seen would wait for its lease to end.
func (c *Consumer) startAttempt(ctx context.Context, n int, wait time.Duration) *attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trying == nil {
		c.trying = &attempt{done: make(chan struct{})}
		go c.try(context.WithoutCancel(ctx), c.trying, n, wait)
	}
	return c.trying
}

func (c *Consumer) try(ctx context.Context, a *attempt, n int, wait time.Duration) {
	started := time.Now()
	a.batch, a.err = c.receive(ctx, n, wait)
	a.slow = time.Since(started) > wait+c.lease/3
	close(a.done)
}

// awaitAttempt waits for the attempt that is under way, if any. What it brings is held.
func (c *Consumer) awaitAttempt() {
	c.mu.Lock()
	trying := c.trying
	c.mu.Unlock()
	if trying != nil {
		<-trying.done
	}
}

// readNew waits for what a read brings.
func (c *Consumer) readNew(ctx context.Context, n int, block time.Duration) ([]*Delivery, error) {
	count := c.reads.count(n)
	batch, err := c.read(ctx, c.readCommand(count, block), block, count*max(c.reads.largest, 1<<10))
	if hasPrefix(err, "ERR syntax error") && c.setClaiming(false) {
		c.nextReclaim = time.Now()
		return c.readNew(ctx, n, block)
	}
	c.reads.note(batch)
	if len(batch) > 0 {
		c.lastRead = time.Now()
	}
	return batch, err
}

// readCommand makes a read of new entries; where the server can, also of those whose member has been silent for longer
// than the lease: XREADGROUP CLAIM (Redis 8.4) returns the moment that a lease ends. With a block of 0 it does not wait.
func (c *Consumer) readCommand(count int, block time.Duration) []any {
	args := []any{"xreadgroup", "group", c.group, c.name, "count", count}
	if block > 0 { // to Redis, 0 means for ever
		args = append(args, "block", max(block.Milliseconds(), 1))
	}
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

// read makes a read whose reply is guessed to hold so many bytes.
func (c *Consumer) read(ctx context.Context, args []any, block time.Duration, bytes int) ([]*Delivery, error) {
	ctx, cancel := context.WithTimeout(ctx, block+commandTimeout)
	defer cancel()
	reply, err := c.runRead(ctx, args, bytes).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return c.deliver(reply)
}

// runRead runs a read: through the hub where there is one, and only if the fence holds where there is one.
func (c *Consumer) runRead(ctx context.Context, args []any, bytes int) *redis.Cmd {
	if c.fenceKey != "" {
		keys, fenced := []string{c.stream, c.fenceKey}, append([]any{c.fenceToken}, args[1:len(args)-3]...)
		cmd := fencedReadScript.byHash(ctx, keys, fenced)
		if c.hub.process(once{cmd}, bytes); unknownScript(cmd) {
			cmd = fencedReadScript.inFull(ctx, keys, fenced)
			c.hub.process(once{cmd}, bytes)
		}
		return cmd
	}
	cmd := redis.NewCmd(ctx, args...)
	cmd.SetFirstKeyPos(int8(len(args) - 2)) //nolint:gosec // at most 11
	if c.hub != nil {
		c.hub.process(once{cmd}, bytes)
	} else {
		_ = c.client.Process(ctx, once{cmd}) // the command carries the error
	}
	return cmd
}

// fencedReadScript reads while somebody's token is the value of a key.
//
//	KEYS[1] stream, KEYS[2] key; ARGV[1] token, ARGV[2...] the arguments of XREADGROUP up to STREAMS
//	returns what XREADGROUP does, or nothing
//
// It is a script because whoever had the lease before may still have a read on its way, and what that brings would be
// missing in the order of the one who has it now.
var fencedReadScript = newScript(`
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return false end
local args = {unpack(ARGV, 2)}
args[#args + 1] = 'STREAMS'
args[#args + 1] = KEYS[1]
args[#args + 1] = '>'
return redis.call('XREADGROUP', unpack(args))`)

// deliver holds what a read brought.
func (c *Consumer) deliver(reply any) ([]*Delivery, error) {
	entries, err := parseStreams(c.stream, reply)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	batch, reclaimed := make([]*Delivery, 0, len(entries)), 0
	list, now := make([]Delivery, len(entries)), time.Now()
	c.mu.Lock()
	for i := range entries {
		d := &list[i]
		*d = Delivery{Entry: entries[i], Attempt: entries[i].deliveries + 1, consumer: c}
		if d.Attempt == 1 && CompareIDs(d.ID, c.position) > 0 {
			c.position = d.ID
		}
		_, inWork := c.held[d.ID]
		c.held[d.ID] = lease{since: now}
		if inWork {
			continue // the heartbeat is late, or the group was made again before it; it must not be worked on twice
		}
		if d.Attempt > 1 {
			reclaimed++
		}
		d.bound(c.maxEntry)
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

// silent notes that Redis was away or did not answer: the living renew their leases first, before anybody takes over.
func (c *Consumer) silent() {
	c.nextReclaim = time.Now().Add(c.lease)
	c.claimAfter = c.nextReclaim
}

// works notes that Redis answers, and ends an outage.
func (c *Consumer) works() {
	c.backoff = 0
	if c.trouble != "" {
		c.trouble = ""
		c.log.Info("reading from the stream again")
	}
}

// failed notes an error, says so once an outage, and again when it becomes another one, and waits.
func (c *Consumer) failed(ctx context.Context, err error) {
	gone := hasPrefix(err, "UNBLOCKED") || hasPrefix(err, "NOGROUP")
	switch {
	case gone:
		c.groupKnown = false // the stream or the group has gone, or moved
	default:
		c.recoverOwn = true
		c.reads.restart()
		c.silent()
		c.setClaiming(true) // it may be another server that answers next
	}
	if kind := kindOf(err); kind != c.trouble && (!gone || c.backoff > 0) { // who makes the group again says so, or why not
		c.trouble = kind
		c.log.Warn("cannot read from the stream, trying again", "err", err)
	}
	c.backoff = min(max(2*c.backoff, minBackoff), maxBackoff)
	wait(ctx, c.backoff/2+rand.N(c.backoff/2))
}

// kindOf tells errors apart for the log: by their code where Redis answered, and not at all where it did not, because an
// outage shows itself in many ways.
func kindOf(err error) string {
	var reply redis.Error
	if errors.As(err, &reply) {
		code, _, _ := strings.Cut(reply.Error(), " ")
		return code
	}
	return "no answer"
}

// wait blocks for d or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
