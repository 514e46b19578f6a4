package redisstreams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/protocol"
	"github.com/redis/go-redis/v9"
)

// Protocol sends to and receives from one stream, for cloudevents.NewClient. It is safe for concurrent use.
type Protocol struct {
	sender   *Sender
	consumer *Consumer // nil unless a group was set
	log      *slog.Logger

	maxInFlight int
	drain       time.Duration

	incoming  chan *Delivery
	credits   chan struct{} // one token for every message that is not finished
	closed    chan struct{}
	closeOnce sync.Once
	openMu    sync.Mutex
	opened    bool
}

var (
	_ protocol.Sender   = (*Protocol)(nil)
	_ protocol.Receiver = (*Protocol)(nil)
	_ protocol.Opener   = (*Protocol)(nil)
	_ protocol.Closer   = (*Protocol)(nil)
)

// New returns a Protocol for the stream. It does no I/O. The client stays the caller's, who closes it after the
// Protocol; make it with [ClientOptions]. To receive, give a group with [WithGroup].
func New(client redis.UniversalClient, stream string, opts ...Option) (*Protocol, error) {
	o := options{maxInFlight: defaultMaxInFlight, drain: defaultDrain, log: slog.New(slog.DiscardHandler)}
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	sender, err := NewSender(client, stream, o.sender...)
	if err != nil {
		return nil, err
	}
	p := &Protocol{
		sender: sender, log: o.log, maxInFlight: o.maxInFlight, drain: o.drain,
		incoming: make(chan *Delivery), credits: make(chan struct{}, o.maxInFlight), closed: make(chan struct{}),
	}
	if o.group == "" {
		return p, nil
	}
	p.consumer, err = NewConsumer(client, stream, o.group, append(o.consumer, WithConsumerLogger(o.log))...)
	return p, err
}

// Send implements protocol.Sender: it returns nil, which counts as ACK, when Redis has acknowledged the entry. Messages
// sent at the same time share a round trip. Extensions and attributes set by transformers are written like any other.
func (p *Protocol) Send(ctx context.Context, m binding.Message, transformers ...binding.Transformer) (err error) {
	defer func() {
		if finishErr := m.Finish(err); err == nil && finishErr != nil {
			err = fmt.Errorf("finish the message: %w", finishErr)
		}
	}()
	select {
	case <-p.closed:
		return errors.New("redisstreams: the protocol is closed")
	default:
	}
	_, err = p.sender.sendMessage(ctx, m, transformers...)
	return err
}

// OpenInbound implements protocol.Opener: it reads from the stream and feeds Receive until ctx ends or Close is called.
// Then it waits for received messages to be finished, at most as long as [WithDrainTimeout] says, acknowledges them,
// and gives the rest back to the group. The client of the SDK calls it.
func (p *Protocol) OpenInbound(ctx context.Context) error {
	if p.consumer == nil {
		return errors.New("redisstreams: receiving requires a consumer group; set WithGroup")
	}
	p.openMu.Lock()
	if p.opened {
		p.openMu.Unlock()
		return errors.New("redisstreams: the protocol can be opened only once; make a new one")
	}
	p.opened = true
	p.openMu.Unlock()
	defer p.closeOnce.Do(func() { close(p.closed) })

	readCtx, stopReading := context.WithCancel(ctx)
	defer stopReading()
	workCtx, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()

	var group sync.WaitGroup
	group.Go(func() {
		select {
		case <-p.closed:
			stopReading()
		case <-readCtx.Done():
		}
	})
	group.Go(func() { _ = p.consumer.Run(workCtx) }) // it returns nil
	p.feed(readCtx)
	stopReading()
	p.awaitFinished()
	stopWork()
	group.Wait()
	return nil
}

// feed hands entries to Receive, and reads only as many as there are free places for messages.
func (p *Protocol) feed(ctx context.Context) {
	for {
		free := p.acquire(ctx)
		if free == 0 {
			return
		}
		batch, err := p.consumer.ReceiveBatch(ctx, free)
		for range free - len(batch) {
			<-p.credits
		}
		if err != nil {
			return // io.EOF: ctx has ended
		}
		for i, d := range batch {
			select {
			case p.incoming <- d:
			case <-ctx.Done():
				for range batch[i:] { // they stay leased; when Run ends, it hands them over to other members
					<-p.credits
				}
				return
			}
		}
	}
}

// acquire waits for one free place and takes all that are free.
func (p *Protocol) acquire(ctx context.Context) int {
	select {
	case p.credits <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	for n := 1; ; n++ {
		select {
		case p.credits <- struct{}{}:
		default:
			return n
		}
	}
}

// awaitFinished waits until every received message is finished, by taking all places.
func (p *Protocol) awaitFinished() {
	timeout := time.NewTimer(p.drain)
	defer timeout.Stop()
	for i := range p.maxInFlight {
		select {
		case p.credits <- struct{}{}:
		case <-timeout.C:
			p.log.Warn("messages were not finished in time; they will be delivered again", "messages", p.maxInFlight-i)
			return
		}
	}
}

// Receive implements protocol.Receiver. It blocks until there is a message and returns io.EOF when ctx ends or the
// protocol is closed, and no other error: the SDK's client would spin on one. The message must be finished.
func (p *Protocol) Receive(ctx context.Context) (binding.Message, error) {
	select {
	case d := <-p.incoming:
		return newReceived(d, func() { <-p.credits }), nil
	case <-p.closed:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, io.EOF
	}
}

// Close implements protocol.Closer: it ends OpenInbound and Receive and refuses further sends. It does not wait and
// does not close the Redis client.
func (p *Protocol) Close(context.Context) error {
	p.closeOnce.Do(func() { close(p.closed) })
	return nil
}
