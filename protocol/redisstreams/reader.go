package redisstreams

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// fencedReadScript reads while the value of a key is the token.
//
//	KEYS[1] stream, KEYS[2] key; ARGV[1] token, ARGV[2...] the arguments of XREADGROUP up to STREAMS
//	returns what XREADGROUP does, or nothing
//
// It is a script because the previous holder of the token may still have a read on its way. The entries that such a
// read brought would be missing from the order of the present holder.
var fencedReadScript = newScript(`
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return false end
local args = {unpack(ARGV, 2)}
args[#args + 1] = 'STREAMS'
args[#args + 1] = KEYS[1]
args[#args + 1] = '>'
return redis.call('XREADGROUP', unpack(args))`)

// fence is a key whose value must be the token for a read to take effect; none if the key is empty.
type fence struct{ key, token string }

// reader receives entries: what a lost reply should have brought, what dead members left behind, then new entries. One
// attempt runs at a time, in a goroutine of its own, because go-redis cannot interrupt a command: a caller who stops
// waiting leaves the attempt running, and the next call, or the end of Run, collects what it brings.
//
// mu guards current only. Everything below it belongs to the current attempt while there is one, else to the caller of
// poll; the channel attempt.done passes it on. The locks of other collaborators are taken one at a time and never
// together with mu, so that there is no lock order to keep.
//
// A kill -9 during a read leaves entries pending for a member that is gone; others take them over when the lease ends.
// A connection that breaks during a read does the same to a living member, which then finds them in its own pending
// list.
type reader struct {
	*member
	hub        *Hub       // nil: it reads by itself
	seat       *hubReader // of this member at the hub
	fence      fence
	intake     *intake
	creator    *groupCreator
	redelivery *redelivery
	reclaimer  *reclaimer

	mu      sync.Mutex
	current *attempt // nil unless an attempt is under way

	groupKnown bool        // the group existed at the last attempt
	replyLost  bool        // a reply may have been lost: search the own pending list
	leftover   []*Delivery // received for a caller who wanted more than the present one
	sizer      readSizer
	lastRead   time.Time // when a read last brought something
	outage     outage
}

// attempt is one attempt to receive. Its entries are leased already.
type attempt struct {
	batch []*Delivery
	err   error
	slow  bool // it took so long that other members may not have been able to renew their leases

	done chan struct{} // closed when the rest is set
}

// longestWait is how long a read waits: a blocking one cannot be interrupted, waiting at a hub can.
func (r *reader) longestWait() time.Duration {
	if r.hub != nil {
		return hubWait
	}
	return blockTime
}

// poll returns up to n deliveries; it may return none before wait is over. Its error is io.EOF, when ctx ends.
func (r *reader) poll(ctx context.Context, n int, wait time.Duration) ([]*Delivery, error) {
	if ctx.Err() != nil {
		return nil, io.EOF
	}
	n = max(n, 1)
	if len(r.leftover) > 0 {
		batch := r.leftover[:min(n, len(r.leftover))]
		r.leftover = r.leftover[len(batch):]
		return batch, nil
	}
	wait = min(wait, r.longestWait(), r.lease/2)
	if r.hub == nil {
		return r.await(ctx, n, wait)
	}
	arrival := r.hub.nextArrival() // before reading, so that an entry that comes in between is noticed
	batch, err := r.await(ctx, n, 0)
	if err == nil && len(batch) == 0 && !r.outage.noted() && !r.reclaimer.midway() {
		r.hub.await(ctx, r.seat, arrival, wait)
	}
	return batch, err
}

// await starts an attempt, unless one is under way, and waits for its end or that of ctx.
func (r *reader) await(ctx context.Context, n int, wait time.Duration) ([]*Delivery, error) {
	r.mu.Lock()
	if r.current == nil {
		r.current = &attempt{done: make(chan struct{})}
		go r.try(context.WithoutCancel(ctx), r.current, n, wait)
	}
	a := r.current
	r.mu.Unlock()
	select {
	case <-a.done:
	case <-ctx.Done():
		return nil, io.EOF
	}
	r.mu.Lock()
	r.current = nil
	r.mu.Unlock()
	return r.conclude(ctx, n, a)
}

func (r *reader) try(ctx context.Context, a *attempt, n int, wait time.Duration) {
	started := time.Now()
	a.batch, a.err = r.receive(ctx, n, wait)
	a.slow = time.Since(started) > wait+r.lease/3
	close(a.done)
}

// conclude evaluates an attempt, of whose entries the caller wants at most n.
func (r *reader) conclude(ctx context.Context, n int, a *attempt) ([]*Delivery, error) {
	if a.slow {
		r.reclaimer.postpone()
	}
	if a.err != nil {
		if r.failed(ctx, a.err); ctx.Err() != nil {
			return nil, io.EOF
		}
		return nil, nil
	}
	if len(a.batch) > n {
		r.leftover = a.batch[n:]
		return a.batch[:n], nil
	}
	r.outage.end(r.log)
	return a.batch, nil
}

// awaitCurrent waits for the attempt that is under way, if any. Its entries are leased then.
func (r *reader) awaitCurrent() {
	r.mu.Lock()
	a := r.current
	r.mu.Unlock()
	if a != nil {
		<-a.done
	}
}

// receive makes one attempt; it may return nothing at all.
func (r *reader) receive(ctx context.Context, n int, wait time.Duration) ([]*Delivery, error) {
	if !r.groupKnown {
		if err := r.creator.recreate(ctx); err != nil {
			return nil, err
		}
		r.groupKnown = true
	}
	if r.replyLost {
		batch, err := r.redelivery.unseen(ctx, n)
		if err != nil && len(batch) == 0 {
			return nil, err
		}
		r.reclaimer.postpone() // Redis answers again only now
		if len(batch) > 0 {
			return batch, nil
		}
		r.replyLost = false
	}
	if r.reclaimer.due() && r.reclaimUseful() {
		batch, err := r.reclaimer.step(ctx, n)
		if err != nil || len(batch) > 0 {
			return batch, err
		}
		if r.reclaimer.midway() {
			wait = 0 // go on with the pass at once
		}
	}
	if r.hub == nil {
		wait = max(wait, time.Millisecond) // a caller who does not want to wait still wants what is there
	}
	return r.read(ctx, n, wait)
}

// reclaimUseful reports whether there may be entries of dead members. Idle groups must cost nothing: an idle member
// with a hub searches only after the hub has seen more pending entries than the member has in work.
func (r *reader) reclaimUseful() bool {
	return r.hub == nil || r.seat.searchRequested.Swap(false) || r.reclaimer.midway() || time.Since(r.lastRead) < r.lease
}

// read reads up to n entries: new ones and, where the server supports that, those of members whose lease has ended.
// With a wait of 0 it does not block.
func (r *reader) read(ctx context.Context, n int, wait time.Duration) ([]*Delivery, error) {
	count := r.sizer.count(n)
	args := []any{"xreadgroup", "group", r.group, r.name, "count", count}
	if wait > 0 { // to Redis, 0 means for ever
		args = append(args, "block", max(wait.Milliseconds(), 1))
	}
	args = append(r.reclaimer.appendClaim(args), "streams", r.stream, ">")
	readCtx, cancel := context.WithTimeout(ctx, wait+commandTimeout)
	reply, err := r.send(readCtx, args, r.sizer.expectedBytes(count)).Result()
	cancel()
	switch {
	case err == nil, errors.Is(err, redis.Nil): // nil reply: there are none
	case IsReply(err, replySyntax) && r.reclaimer.refuseClaim():
		return r.read(ctx, n, wait)
	default:
		return nil, fmt.Errorf("read: %w", err)
	}
	batch, err := r.intake.read(reply)
	r.sizer.note(batch)
	if len(batch) > 0 {
		r.lastRead = time.Now()
	}
	return batch, err
}

// send sends a read whose reply is expected to hold so many bytes: through the hub if there is one, and under the fence
// if there is one.
func (r *reader) send(ctx context.Context, args []any, bytes int) *redis.Cmd {
	if r.fence.key != "" {
		keys, fenced := []string{r.stream, r.fence.key}, append([]any{r.fence.token}, args[1:len(args)-3]...)
		cmd := fencedReadScript.byHash(ctx, keys, fenced)
		if r.hub.process(once{cmd}, bytes); unknownScript(cmd) {
			cmd = fencedReadScript.inFull(ctx, keys, fenced)
			r.hub.process(once{cmd}, bytes)
		}
		return cmd
	}
	cmd := redis.NewCmd(ctx, args...)
	cmd.SetFirstKeyPos(int8(len(args) - 2)) //nolint:gosec // at most 11
	if r.hub != nil {
		r.hub.process(once{cmd}, bytes)
	} else {
		_ = r.client.Process(ctx, once{cmd}) // the command carries the error
	}
	return cmd
}

// failed notes why an attempt failed, and waits before the next one.
func (r *reader) failed(ctx context.Context, err error) {
	groupGone := IsReply(err, replyUnblocked, ReplyNoGroup) // or the stream, or it moved to another node
	if groupGone {
		r.groupKnown = false
	} else {
		r.replyLost = true
		r.sizer.restart()
		r.reclaimer.postpone()
		r.reclaimer.noClaim = false // another server may answer next
	}
	r.outage.note(ctx, err, groupGone, r.log)
}

// firstRead is how many entries are requested while their size is unknown.
const firstRead = 8

// readSizer decides how many entries a read requests, so that a reply does not become much larger than replyBytes.
// Redis cannot bound a reply by bytes before 8.10, so the size of the next entries is estimated from the last ones, and
// the number grows only as fast as they prove to be small. A reply exceeds the bound only when entries suddenly become
// larger.
type readSizer struct {
	allowed int // doubles with every full reply
	largest int // the largest recent entry, in bytes
}

func newReadSizer() readSizer { return readSizer{allowed: firstRead} }

// count returns how many entries to request for a caller who wants n.
func (s *readSizer) count(n int) int {
	return max(1, min(n, s.allowed, replyBytes/max(s.largest, 1)))
}

// expectedBytes estimates the size of a reply with so many entries.
func (s *readSizer) expectedBytes(count int) int { return count * max(s.largest, 1<<10) }

// note takes the sizes of received entries into account.
func (s *readSizer) note(batch []*Delivery) {
	largest := 0
	for _, d := range batch {
		largest = max(largest, d.bytes)
	}
	s.largest = max(largest, s.largest-s.largest/8)
	if len(batch) >= s.allowed {
		s.allowed = min(2*s.allowed, 1<<20)
	}
}

// restart begins again with small reads: a reply was lost, perhaps because it was too large to arrive in time.
func (s *readSizer) restart() { s.allowed = 1 }

// outage logs failures of reading once for each outage, and spaces out the attempts during one.
type outage struct {
	code   string // of the error that was logged last; "" if reading works
	pauses backoff
}

// noted reports whether an outage has been logged that has not ended.
func (o *outage) noted() bool { return o.code != "" }

// note logs the error, unless an error with the same code was logged last, and waits. The first failure because of a
// lost group is not logged: creating it again logs the outcome.
func (o *outage) note(ctx context.Context, err error, groupGone bool, log *slog.Logger) {
	// An outage shows itself in many errors of the network: they count as one.
	code := cmp.Or(replyCode(err), "no answer")
	if code != o.code && (!groupGone || o.pauses.failing()) {
		o.code = code
		log.Warn("cannot read from the stream, trying again", "err", err)
	}
	o.pauses.pause(ctx)
}

// end notes that reading works, and logs the end of an outage.
func (o *outage) end(log *slog.Logger) {
	o.pauses.reset()
	if o.noted() {
		o.code = ""
		log.Info("reading from the stream again")
	}
}
