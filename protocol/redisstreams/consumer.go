package redisstreams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Bounds and periods of a consumer.
const (
	blockTime      = time.Second // a blocked read cannot be interrupted by a context (go-redis), so it is short
	commandTimeout = 2 * time.Second
	// transferTimeout is for replies with entries that may be large; replies with new ones are asked for again so.
	transferTimeout = 25 * time.Second
	minBackoff      = 50 * time.Millisecond
	maxBackoff      = time.Second
	defaultLease    = 30 * time.Second
	scriptIDs       = 100     // ids a script handles in one call, so that it never blocks Redis for long
	replyBytes      = 8 << 20 // what one reply should hold at most, unless a single entry is larger
	maxEntryBytes   = 32 << 20
	firstRead       = 8 // entries asked for while it is not known how large they are
)

// Hooks are told what an operator wants to count. Each may be nil, and must not block.
type Hooks struct {
	// Trimmed is called with the ids of entries that somebody removed from the stream before they were acknowledged.
	Trimmed func(ids []string)
	// GroupRecreated is called when the consumer group had disappeared and was made again at position.
	GroupRecreated func(position string)
	// Reclaimed is called with the number of entries taken over from consumers that had died.
	Reclaimed func(n int)
}

func (h *Hooks) trimmed(ids []string) {
	if h.Trimmed != nil {
		h.Trimmed(ids)
	}
}

func (h *Hooks) groupRecreated(position string) {
	if h.GroupRecreated != nil {
		h.GroupRecreated(position)
	}
}

func (h *Hooks) reclaimed(n int) {
	if h.Reclaimed != nil {
		h.Reclaimed(n)
	}
}

// Consumer reads one stream as a member of a consumer group. Run must be running while entries are in work: it keeps
// them leased to this member, acknowledges, and tidies up. ReceiveBatch is for one goroutine at a time; everything else
// is safe for concurrent use.
type Consumer struct {
	client   redis.UniversalClient
	stream   string
	group    string
	name     string
	start    string
	lease    time.Duration
	maxEntry int
	layout   Layout // nil: our own
	hub      *Hub   // nil: it reads by itself
	log      *slog.Logger
	hooks    Hooks
	onLost   func(ctx context.Context, position string) (string, error) // nil: a lost group goes on at position

	fenceKey   string // "": no fence
	fenceToken string
	poked      chan struct{} // capacity 1: the hub wants this member to look for entries of dead ones
	suspicious atomic.Bool   // why

	mu       sync.Mutex
	held     map[string]lease // entries handed out and not finished; the heartbeat covers exactly these
	acks     []string         // finished entries whose XACK has not been answered yet
	wakeAck  chan struct{}    // capacity 1: acks is not empty
	position string           // the last id read as new: where a lost group is made again
	trying   *attempt         // nil unless an attempt to receive is under way
	renewed  time.Time        // when the last heartbeat began that covered all entries in work
	claiming bool             // the server knows XREADGROUP CLAIM, as far as is known

	// Only ReceiveBatch uses what follows, and the attempt that is under way, for whose end it waits.
	groupKnown  bool
	recoverOwn  bool        // a reply may have got lost: look for entries of ours that nobody here has seen
	surplus     []*Delivery // read for a caller who wanted more than the present one
	nextReclaim time.Time   // when to look again for entries of dead members, and for trimmed ones
	claimAfter  time.Time   // when XREADGROUP may take over entries of dead members
	cursor      string      // where XAUTOCLAIM goes on
	reads       readSizer
	lastRead    time.Time // when something was read
	trouble     string    // the error that was logged last, until something works again
	backoff     time.Duration
}

// ConsumerOption configures a [Consumer].
type ConsumerOption func(*Consumer)

// WithLease sets how long an entry stays with a member that is silent; default 30 s, at least 100 ms. Afterwards others
// of the group take it over.
func WithLease(d time.Duration) ConsumerOption {
	return func(c *Consumer) { c.lease = max(d, 100*time.Millisecond) }
}

// WithStart sets where a group begins that does not exist yet: "$" (only what comes, the default), "0" (everything), or
// an entry id, after which it begins. See [StartAt] for a time.
func WithStart(id string) ConsumerOption {
	return func(c *Consumer) { c.start = id }
}

// WithConsumerName names the member; default is a random name, which is right unless a name is needed elsewhere. Two
// living members must never share one.
func WithConsumerName(name string) ConsumerOption {
	return func(c *Consumer) { c.name = name }
}

// WithConsumerLogger sets the logger; default is none.
func WithConsumerLogger(log *slog.Logger) ConsumerOption {
	return func(c *Consumer) { c.log = log }
}

// WithHooks sets the hooks.
func WithHooks(h Hooks) ConsumerOption {
	return func(c *Consumer) { c.hooks = h }
}

// StartAt returns the position for [WithStart] from which a group reads the entries added at t or later.
func StartAt(t time.Time) string {
	ms := t.UnixMilli()
	if ms <= 0 {
		return "0"
	}
	return strconv.FormatInt(ms-1, 10) + "-18446744073709551615"
}

// WithMaxEntryBytes sets how large an entry may be, all of its names and values together; default 32 MiB. A larger one is
// handed out without its fields, and its Event is [ErrTooLarge].
func WithMaxEntryBytes(n int) ConsumerOption {
	return func(c *Consumer) { c.maxEntry = max(n, 1) }
}

// WithLayout reads entries that another program wrote, as the layout says; default is the binding of this package and
// nothing else.
func WithLayout(l Layout) ConsumerOption {
	return func(c *Consumer) { c.layout = l }
}

// WithFence lets the member read only while the value of a key, in the stream's slot, is the token: for a member that knows
// that it is the only one, as long as it has a lease. It needs [WithHub].
func WithFence(key, token string) ConsumerOption {
	return func(c *Consumer) { c.fenceKey, c.fenceToken = key, token }
}

// NewConsumer returns a member of the group. It does no I/O; the group is created, with the stream if need be, when
// ReceiveBatch first reaches Redis. The client stays the caller's.
func NewConsumer(client redis.UniversalClient, stream, group string, opts ...ConsumerOption) (*Consumer, error) {
	if err := checkClient(client); err != nil {
		return nil, err
	}
	if stream == "" || group == "" {
		return nil, errors.New("redisstreams: a consumer needs the names of a stream and a group")
	}
	c := &Consumer{
		client: client, stream: stream, group: group, name: uuid.NewString(), start: "$", lease: defaultLease, maxEntry: maxEntryBytes,
		log: slog.New(slog.DiscardHandler), held: make(map[string]lease), wakeAck: make(chan struct{}, 1), cursor: "0-0",
		claiming: true, reads: readSizer{allowed: firstRead}, poked: make(chan struct{}, 1),
	}
	for _, opt := range opts {
		opt(c)
	}
	if c.fenceKey != "" && c.hub == nil {
		return nil, errors.New("redisstreams: a fenced consumer needs a hub")
	}
	if c.hub != nil && c.hub.stream != stream {
		return nil, fmt.Errorf("redisstreams: the hub reads stream %q, not %q", c.hub.stream, stream)
	}
	c.log = c.log.With("stream", stream, "group", group)
	return c, nil
}

// Name returns the consumer's name within the group.
func (c *Consumer) Name() string { return c.name }

// Delivery is an entry handed out to be worked on. It ends with Ack or Release; until then it is kept leased.
type Delivery struct {
	Entry
	// Attempt says how often the entry has been handed out, this time included: Redis' delivery counter, which survives
	// a restart.
	Attempt int

	consumer *Consumer
}

// Event reads the event that the entry holds, by the layout of the consumer; see [Entry.Event] and [Layout.Event].
func (d *Delivery) Event() (rawevent.Event, error) {
	if d.consumer.layout != nil {
		return d.consumer.layout.Event(&d.Entry)
	}
	return d.Entry.Event()
}

// Ack marks the entry as done. It does not block: XACKs are sent in batches and repeated until Redis answers, while Run
// runs. The entry stays leased until then. Call either Ack or Release, once.
func (d *Delivery) Ack() { d.consumer.ack(d.ID) }

// Release gives the entry up without having done it: it stays pending, and some member gets it when the lease is over.
func (d *Delivery) Release() { d.consumer.release(d.ID) }

// Ensure creates the group, and the stream, if they do not exist. ReceiveBatch does so by itself. See [WithLostGroup] for
// one that has existed.
func (c *Consumer) Ensure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	c.mu.Lock()
	position := c.position
	c.mu.Unlock()
	o, err := c.findOrigin(ctx, position)
	if err != nil {
		return fmt.Errorf("look where group %q on stream %q begins: %w", c.group, c.stream, err)
	}
	if !o.exists {
		err = c.client.XGroupCreateMkStream(ctx, c.stream, c.group, o.start).Err()
	}
	switch {
	case o.exists:
	case err == nil && o.lost:
		c.log.Warn("consumer group had disappeared and was created again", "position", o.start)
		c.hooks.groupRecreated(o.start)
	case hasPrefix(err, "BUSYGROUP"),
		hasPrefix(err, "OOM") && c.hasGroup(ctx): // refused even where there is nothing to create; reading needs no memory
		if position == "" {
			if o.begin, err = c.lastDelivered(ctx); err != nil {
				return err
			}
		}
	case err != nil:
		return fmt.Errorf("create group %q on stream %q: %w", c.group, c.stream, err)
	}
	c.setPosition(o.begin)
	return nil
}

// lastDelivered returns the position of the group.
func (c *Consumer) lastDelivered(ctx context.Context) (string, error) {
	if c.hub != nil { // one look for all
		groups, err := c.hub.look(ctx, hubGroupPeriod)
		if info, found := groups[c.group]; err != nil || found {
			return info.lastDelivered, err
		}
	}
	groups, err := lookUpGroups(ctx, c.client, c.stream)
	return groups[c.group].lastDelivered, err
}

func (c *Consumer) hasGroup(ctx context.Context) bool {
	groups, err := lookUpGroups(ctx, c.client, c.stream)
	_, found := groups[c.group]
	return err == nil && found
}

func (c *Consumer) setPosition(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.position = id
}

// ReceiveBatch returns at most n entries to be worked on, at least one: entries of dead members first, then new ones. It
// blocks until there are some and returns io.EOF as soon as ctx ends: a command that is under way then goes on, a read for
// up to a second (go-redis cannot interrupt it), and what it brings is kept for the next call, or handed over to the others
// when Run ends. Errors are retried here, with backoff, and logged once an outage; no other error is returned. An entry may
// be malformed.
func (c *Consumer) ReceiveBatch(ctx context.Context, n int) ([]*Delivery, error) {
	for {
		batch, err := c.Poll(ctx, n, c.longestWait())
		if err != nil || len(batch) > 0 {
			return batch, err
		}
	}
}

// longestWait is how long a read waits: a blocked one cannot be interrupted, a hub can.
func (c *Consumer) longestWait() time.Duration {
	if c.hub != nil {
		return hubWait
	}
	return blockTime
}

// Poll is ReceiveBatch with a bound on the time that it waits for entries, at most a second (five with a hub): it may
// return none, also before that time.
func (c *Consumer) Poll(ctx context.Context, n int, wait time.Duration) ([]*Delivery, error) {
	if ctx.Err() != nil {
		return nil, io.EOF
	}
	n = max(n, 1)
	if len(c.surplus) > 0 {
		batch := c.surplus[:min(n, len(c.surplus))]
		c.surplus = c.surplus[len(batch):]
		return batch, nil
	}
	wait = min(wait, c.longestWait(), c.lease/2)
	if c.hub == nil {
		return c.poll(ctx, n, wait)
	}
	news := c.hub.next()
	batch, err := c.poll(ctx, n, 0)
	if err == nil && len(batch) == 0 && c.trouble == "" && c.cursor == "0-0" {
		c.hub.await(ctx, c, news, wait)
	}
	return batch, err
}

func (c *Consumer) poll(ctx context.Context, n int, wait time.Duration) ([]*Delivery, error) {
	a := c.startAttempt(ctx, n, wait)
	select {
	case <-a.done:
		return c.conclude(ctx, n, a)
	case <-ctx.Done():
		return nil, io.EOF
	}
}

// conclude draws the consequences of an attempt, of which at most n entries are wanted now.
func (c *Consumer) conclude(ctx context.Context, n int, r *attempt) ([]*Delivery, error) {
	c.mu.Lock()
	c.trying = nil
	c.mu.Unlock()
	if r.slow {
		c.silent() // nobody could renew a lease
	}
	switch {
	case r.err == nil && len(r.batch) > n:
		c.surplus = r.batch[n:]
		return r.batch[:n], nil
	case r.err == nil:
		c.works()
		return r.batch, nil
	}
	c.failed(ctx, r.err)
	if ctx.Err() != nil {
		return nil, io.EOF
	}
	return nil, nil
}

// receive makes one attempt: it may return nothing at all.
func (c *Consumer) receive(ctx context.Context, n int, wait time.Duration) ([]*Delivery, error) {
	if !c.groupKnown {
		if err := c.remake(ctx); err != nil {
			return nil, err
		}
		c.groupKnown = true
	}
	if c.recoverOwn {
		batch, err := c.unseen(ctx, n)
		if err != nil && len(batch) == 0 {
			return nil, err
		}
		c.silent() // it is only now that Redis answers again
		if len(batch) > 0 {
			return batch, nil
		}
		c.recoverOwn = false
	}
	if time.Now().After(c.nextReclaim) && c.mayFindDead() {
		batch, err := c.reclaim(ctx, n)
		if err != nil || len(batch) > 0 {
			return batch, err
		}
		if c.cursor != "0-0" {
			wait = 0 // the round through the pending list is not over: go on with it at once
		}
	}
	if c.hub == nil {
		wait = max(wait, time.Millisecond) // a caller who does not want to wait still wants what is there
	}
	return c.readNew(ctx, n, wait)
}

// mayFindDead reports whether it is worth while to look for entries of dead members. A member that has nothing to do asks
// only when its hub has seen more pending entries than it has in work: idle groups shall cost nothing.
func (c *Consumer) mayFindDead() bool {
	return c.hub == nil || c.suspicious.Swap(false) || c.cursor != "0-0" || time.Since(c.lastRead) < c.lease
}

// poke makes the member look for entries of dead ones.
func (c *Consumer) poke() {
	c.suspicious.Store(true)
	select {
	case c.poked <- struct{}{}:
	default:
	}
}

// inWork returns how many entries this member has, with those whose acknowledgement is not answered yet.
func (c *Consumer) inWork() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.held)
}
