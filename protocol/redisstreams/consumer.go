package redisstreams

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// Consumer reads one stream as a member of a consumer group. Run must be running while entries are in work: it keeps
// them leased to this member, sends acknowledgements, and tidies up. ReceiveBatch and Poll are for one goroutine at a
// time; everything else is safe for concurrent use.
//
// The work is divided among collaborators, each in a file of its name, which says what it owns and what a kill -9 does:
//
//	reader        reads: one attempt at a time
//	intake        turns replies into deliveries and leases them
//	leases        lists the entries in work
//	heartbeat     renews their leases
//	acknowledger  sends XACKs in batches
//	redelivery    hands out entries again that are pending for this member
//	reclaimer     takes over the entries of dead members
//	groupCreator  creates the group, also after it was lost
//	janitor       removes members that are gone
//
// An entry goes from reader through intake into leases, and from Delivery.Ack through acknowledger out of them. Each
// lock belongs to one collaborator, and none is held while another one is taken or Redis is called.
type Consumer struct {
	*member
	leases     *leases
	acks       *acknowledger
	creator    *groupCreator
	redelivery *redelivery
	reader     *reader
	heartbeat  heartbeat
	janitor    janitor
}

// NewConsumer returns a member of the group. It does no I/O; the group is created, with the stream if necessary, when
// ReceiveBatch first reaches Redis. The client stays the caller's.
func NewConsumer(client redis.UniversalClient, stream, group string, opts ...ConsumerOption) (*Consumer, error) {
	if err := checkClient(client); err != nil {
		return nil, err
	}
	if stream == "" || group == "" {
		return nil, errors.New("redisstreams: a consumer needs the names of a stream and a group")
	}
	o := consumerOptions{
		name: uuid.NewString(), start: "$", lease: defaultLease, maxEntry: maxEntryBytes, log: slog.New(slog.DiscardHandler),
	}
	for _, opt := range opts {
		opt(&o)
	}
	if o.fence.key != "" && o.hub == nil {
		return nil, errors.New("redisstreams: WithFence requires WithHub")
	}
	if o.hub != nil && o.hub.stream != stream {
		return nil, fmt.Errorf("redisstreams: the hub reads stream %q, not %q", o.hub.stream, stream)
	}
	return newConsumer(&member{
		client: client, stream: stream, group: group, name: o.name, lease: o.lease,
		log: o.log.With("stream", stream, "group", group), hooks: o.hooks,
	}, &o), nil
}

// newConsumer connects the collaborators.
func newConsumer(m *member, o *consumerOptions) *Consumer {
	c := &Consumer{member: m, leases: newLeases(m.lease), janitor: janitor{m}}
	c.acks = newAcknowledger(m, o.hub, c.leases)
	c.creator = &groupCreator{member: m, start: o.start, onLost: o.onLost, hub: o.hub, leases: c.leases, acks: c.acks}
	in := &intake{
		member: m, layout: o.layout, maxEntry: o.maxEntry, leases: c.leases, acks: c.acks,
	}
	c.redelivery = &redelivery{member: m, intake: in, creator: c.creator, ownAttempts: o.own}
	c.reader = &reader{
		member: m, hub: o.hub, seat: newHubReader(m.group, c.leases), fence: o.fence,
		intake: in, creator: c.creator, redelivery: c.redelivery,
		reclaimer: &reclaimer{member: m, intake: in, cursor: firstID, ownAttempts: o.own},
		sizer:     newReadSizer(), outage: outage{pauses: outageBackoff()},
	}
	c.heartbeat = heartbeat{member: m, leases: c.leases, acks: c.acks, creator: c.creator}
	return c
}

// Name returns the consumer's name within the group.
func (c *Consumer) Name() string { return c.name }

// Run keeps the entries in work leased, sends acknowledgements, and removes members that are gone and hold nothing. It
// blocks until ctx ends; then it sends the remaining acknowledgements and gives up what is still in work, so that other
// members get it at once. It returns nil when all its goroutines have ended, within a few seconds even if Redis is
// away.
func (c *Consumer) Run(ctx context.Context) error {
	if hub := c.reader.hub; hub != nil {
		hub.join(c.reader.seat)
		defer hub.leave(c.reader.seat)
	}
	var group sync.WaitGroup
	group.Go(func() { c.acks.send(ctx) })
	group.Go(func() { c.janitor.tidy(ctx) })
	c.heartbeat.beat(ctx)
	group.Wait()
	c.giveUp()
	return nil
}

// giveUp ends the leases of what is still in work, and removes this member from the group if it holds nothing.
func (c *Consumer) giveUp() {
	c.reader.awaitCurrent()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	if err := c.heartbeat.setIdle(ctx, 2*c.lease); err != nil {
		c.log.Warn("cannot hand over entries in work; other members get them when the lease ends", "err", err)
		return
	}
	c.janitor.drop(ctx, c.name, 0)
}

// Ensure creates the group, and the stream, if they do not exist. ReceiveBatch does so by itself. See [WithLostGroup]
// for a group that has existed.
func (c *Consumer) Ensure(ctx context.Context) error { return c.creator.ensure(ctx) }

// ReceiveBatch returns at most n entries to be worked on, at least one: entries of dead members first, then new ones.
// It blocks until there are some, and returns io.EOF as soon as ctx ends. A command that is under way then goes on, for
// up to a second (go-redis cannot interrupt it); its entries are kept for the next call, or handed over to other
// members when Run ends. Errors are retried with backoff, and logged once for each outage; no other error is returned.
// An entry may be malformed.
func (c *Consumer) ReceiveBatch(ctx context.Context, n int) ([]*Delivery, error) {
	for {
		batch, err := c.reader.poll(ctx, n, c.reader.longestWait())
		if err != nil || len(batch) > 0 {
			return batch, err
		}
	}
}

// Poll is ReceiveBatch with a bound on the time that it waits for entries, at most a second (five with a hub). It may
// return no entries, even before that time.
func (c *Consumer) Poll(ctx context.Context, n int, wait time.Duration) ([]*Delivery, error) {
	return c.reader.poll(ctx, n, wait)
}

// Redeliver hands out again, with their fields, entries that were handed out before and neither acknowledged nor
// released; that counts as a delivery. Entries that another member has taken over, or that were trimmed, are left out
// and no longer in work. Even with an error it may return deliveries: the rest of the ids are still in work then.
func (c *Consumer) Redeliver(ctx context.Context, ids []string) ([]*Delivery, error) {
	return c.redelivery.again(ctx, ids, countOneMore)
}

// Reread is Redeliver for entries that were handed out before, by this or another member, and never tried: this counts
// as their first delivery.
func (c *Consumer) Reread(ctx context.Context, ids []string) ([]*Delivery, error) {
	return c.redelivery.again(ctx, ids, countAsFirst)
}

// Recount sets the number of deliveries of an entry in work, for an attempt that must not count: [Delivery.Attempt] of
// its next delivery is one more. An entry that another member has taken over is left alone.
func (c *Consumer) Recount(ctx context.Context, id string, deliveries int) error {
	return c.redelivery.recount(ctx, id, deliveries)
}

// TakeAll hands out every entry that is pending in the group, for any member, in the order of the stream: for a member
// that knows that it is the only one. It does not count as a delivery; [Consumer.Redeliver] and [Consumer.Reread] do.
// The fields of all entries may be too large to keep, so f gets them batch by batch.
func (c *Consumer) TakeAll(ctx context.Context, f func([]*Delivery)) error {
	if err := c.creator.ensure(ctx); err != nil {
		return err
	}
	return c.reader.reclaimer.takeAll(ctx, f)
}

// Held reports whether the entry is still leased to this member. The lease has ended if the member was silent for
// longer than it lasts; another member may have taken the entry over then.
func (c *Consumer) Held(id string) bool { return c.leases.valid(id) }
