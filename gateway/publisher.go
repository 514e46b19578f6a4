package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// ErrUnknownStream is returned for a stream that the configuration does not name.
var ErrUnknownStream = errors.New("unknown stream")

// Publisher puts events into the configured streams. It is safe for concurrent use.
type Publisher struct {
	senders map[string]*redisstreams.Sender
	first   string // the stream of POST /
	down    atomic.Bool
	log     *slog.Logger
}

func newPublisher(client redis.UniversalClient, streams []StreamConfig, log *slog.Logger) (*Publisher, error) {
	p := &Publisher{senders: make(map[string]*redisstreams.Sender, len(streams)), first: streams[0].Name, log: log}
	for i := range streams {
		sender, err := redisstreams.NewSender(client, streams[i].Name, streams[i].senderOptions()...)
		if err != nil {
			return nil, err
		}
		p.senders[streams[i].Name] = sender
	}
	return p, nil
}

// Publish appends a valid event and returns its entry id when Redis has acknowledged it. An error that is not
// ErrUnknownStream means that Redis did not; the entry may exist nevertheless, when the reply was lost.
func (p *Publisher) Publish(ctx context.Context, stream string, event *rawevent.Event) (string, error) {
	sender, err := p.sender(stream)
	if err != nil {
		return "", err
	}
	id, err := sender.Append(ctx, event)
	p.note(ctx, err)
	return id, err
}

// PublishBatch appends all of the events or none.
func (p *Publisher) PublishBatch(ctx context.Context, stream string, events []rawevent.Event) ([]string, error) {
	sender, err := p.sender(stream)
	if err != nil {
		return nil, err
	}
	ids, err := sender.AppendAll(ctx, events)
	p.note(ctx, err)
	return ids, err
}

func (p *Publisher) sender(stream string) (*redisstreams.Sender, error) {
	sender := p.senders[stream]
	if sender == nil {
		return nil, fmt.Errorf("%w %q", ErrUnknownStream, stream)
	}
	return sender, nil
}

// note logs once when an outage begins and once when it ends.
func (p *Publisher) note(ctx context.Context, err error) {
	switch {
	case err == nil:
		if p.down.Load() && p.down.CompareAndSwap(true, false) {
			p.log.Info("events are stored again")
		}
	case ctx.Err() == nil && p.down.CompareAndSwap(false, true):
		p.log.Warn("cannot store events; producers get 503 until it works again", "err", err)
	}
}
