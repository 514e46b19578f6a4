package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/schema"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// ErrUnknown is returned for a stream that the configuration does not name.
var ErrUnknown = errors.New("unknown stream")

// Publisher puts events into the configured streams. It is safe for concurrent use.
type Publisher struct {
	streams map[string]*outlet
	paths   map[string]string // the streams that have a path besides their name, by it, without the slash at its beginning
	first   string            // the stream of POST /
	log     *slog.Logger
}

// outlet is the way into one stream.
type outlet struct {
	*redisstreams.Sender
	capacity *Capacity
	schemas  *schema.Set
	lenient  bool        // towards events that are not valid
	down     atomic.Bool // an outage of this stream has been logged

	blocked atomic.Pointer[error] // why nothing is taken in; nil: it is
}

// NewPublisher returns a publisher into the streams of a valid configuration, of which there is at least one. It does
// no I/O. The metrics are those of the streams.
func NewPublisher(
	client redis.UniversalClient, streams []Config, log *slog.Logger, m *Metrics,
) (*Publisher, error) {
	p := &Publisher{streams: make(map[string]*outlet, len(streams)), paths: map[string]string{}, first: streams[0].Name, log: log}
	for i := range streams {
		options := append(streams[i].SenderOptions(), redisstreams.WithDedup(streams[i].DedupWindow.Std()))
		sender, err := redisstreams.NewSender(client, streams[i].Name, options...)
		if err != nil {
			return nil, err
		}
		if path := streams[i].Path; path != "" {
			p.paths[path[1:]] = streams[i].Name
		}
		schemas, problems := schema.CompileConfigs(streams[i].Schemas)
		if len(problems) > 0 {
			return nil, fmt.Errorf("stream %q: %w", streams[i].Name, problems)
		}
		p.streams[streams[i].Name] = &outlet{
			Sender: sender, capacity: newCapacity(&streams[i], log, m), schemas: schemas,
			lenient: streams[i].Validation == validationLenient,
		}
	}
	return p, nil
}

// Publish appends a valid event and returns its entry id when Redis has acknowledged it. An error that is neither
// ErrUnknownStream nor ErrStreamFull means that Redis did not; the entry may exist nevertheless, when the reply was
// lost.
func (p *Publisher) Publish(ctx context.Context, stream string, event *rawevent.Event) (string, error) {
	out, err := p.outlet(stream)
	if err != nil {
		return "", err
	}
	if err := out.capacity.Take(1); err != nil {
		return "", err
	}
	id, err := out.Append(ctx, event)
	p.note(ctx, stream, out, err)
	return id, err
}

// PublishBatch appends all of the events or none.
func (p *Publisher) PublishBatch(ctx context.Context, stream string, events []rawevent.Event) ([]string, error) {
	out, err := p.outlet(stream)
	if err != nil {
		return nil, err
	}
	if err := out.capacity.Take(len(events)); err != nil {
		return nil, err
	}
	ids, err := out.AppendAll(ctx, events)
	p.note(ctx, stream, out, err)
	return ids, err
}

// Resolve returns the stream of a path that producers post to, percent-decoded and without the slash at its beginning:
// the first stream for "", a stream's name, or one of its paths.
func (p *Publisher) Resolve(path string) (stream string, known bool) {
	if path == "" {
		return p.first, true
	}
	if _, known := p.streams[path]; known {
		return path, true
	}
	stream, known = p.paths[path]
	return stream, known
}

// Streams returns the names of the configured streams, sorted.
func (p *Publisher) Streams() []string { return slices.Sorted(maps.Keys(p.streams)) }

// IsLenient reports whether a stream takes events that are not valid and can be corrected.
func (p *Publisher) IsLenient(stream string) bool {
	out := p.streams[stream]
	return out != nil && out.lenient
}

// Check returns where the event's data violates the schemas of a stream.
func (p *Publisher) Check(stream string, event *rawevent.Event) []schema.Violation {
	if out := p.streams[stream]; out != nil {
		return out.schemas.Check(event)
	}
	return nil
}

// Block makes Publish and PublishBatch return an error for a stream that cannot be used, until it is called with nil.
// It does not concern those that hold the stream's sender.
func (p *Publisher) Block(stream string, reason error) {
	if out := p.streams[stream]; out != nil && reason != nil {
		out.blocked.Store(&reason)
	} else if out != nil {
		out.blocked.Store(nil)
	}
}

// outlet returns the way into a stream that is known and not blocked.
func (p *Publisher) outlet(stream string) (*outlet, error) {
	out := p.streams[stream]
	if out == nil {
		return nil, fmt.Errorf("%w %q", ErrUnknown, stream)
	}
	if reason := out.blocked.Load(); reason != nil {
		return nil, *reason
	}
	return out, nil
}

// Sender returns the sender of a configured stream, or nil.
func (p *Publisher) Sender(stream string) *redisstreams.Sender {
	if out := p.streams[stream]; out != nil {
		return out.Sender
	}
	return nil
}

// Capacity returns what a configured stream may still take, or nil.
func (p *Publisher) Capacity(stream string) *Capacity {
	if out := p.streams[stream]; out != nil {
		return out.capacity
	}
	return nil
}

// note logs once when an outage of a stream begins and once when it ends.
func (p *Publisher) note(ctx context.Context, stream string, out *outlet, err error) {
	switch {
	case err == nil:
		if out.down.Load() && out.down.CompareAndSwap(true, false) {
			p.log.Info("events are stored again", "stream", stream)
		}
	case ctx.Err() == nil && out.down.CompareAndSwap(false, true):
		p.log.Warn("cannot store events; producers get 503 until it works again", "stream", stream, "err", err)
	}
}
