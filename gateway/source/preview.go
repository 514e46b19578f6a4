package source

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/transform"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Preview is an [Outbox] that shows what it would publish, and publishes and saves nothing. It is for one goroutine at
// a time.
type Preview struct {
	source    string
	before    published
	show      func(event *rawevent.Event) error
	states    map[string]string // what would be kept, by key; "" of what would be forgotten
	transform transformer
	limit     int64
}

var _ Outbox = (*Preview)(nil)

// published is what a source has published before its preview.
type published interface {
	checkpoints(ctx context.Context) (map[string][]byte, error)
	seen() Seen
}

// NewPreview returns an outbox that shows each event that the source of env would publish. It knows what the source has
// published before from Redis; with a nil client, nothing. It needs no lease.
func NewPreview(client redis.UniversalClient, env Env, show func(event *rawevent.Event) error) *Preview {
	p := &Preview{
		source: env.Name, before: publishedNothing{}, show: show, states: map[string]string{}, limit: DefaultSeenLimit,
		transform: transformer{log: env.Logger, failed: func() {}},
	}
	if client != nil {
		p.before = &publishedBefore{link{client: client, stream: env.Stream, source: env.Name, log: env.Logger}}
	}
	return p
}

// Preview returns [NewPreview] of this source, with its transformation.
func (b *Block) Preview(
	client redis.UniversalClient, env Env, show func(event *rawevent.Event) error,
) (*Preview, error) {
	change, err := transform.New(b.Transform)
	if err != nil {
		return nil, fmt.Errorf("build source %q: %w", b.Name, err)
	}
	p := NewPreview(client, env, show)
	p.transform.change = change
	return p, nil
}

// Publish implements [Outbox]: it shows the events.
func (p *Preview) Publish(ctx context.Context, emissions []Emission, _ ...Save) ([]string, error) {
	emissions = p.transform.apply(emissions)
	pointers := make([]*Emission, len(emissions))
	for i := range emissions {
		pointers[i] = &emissions[i]
	}
	known, err := p.Recall(ctx, pointers)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(emissions))
	for i, e := range pointers {
		if !p.carryOut(e, known[i]) {
			continue
		}
		ids[i] = "preview"
		if err := p.show(&e.Event); err != nil {
			return ids, fmt.Errorf("show an event of source %q: %w", p.source, err)
		}
	}
	return ids, nil
}

// carryOut keeps what an emission changes, as publishScript does, and reports whether its event would be published.
func (p *Preview) carryOut(e *Emission, known Known) bool {
	if e.Key == "" {
		return true
	}
	known = p.overlay(e, known) // an emission before it may be of the same item
	mark, isNews := e.mark(), e.Action.hasEvent()
	switch e.Action {
	case Withdraw:
		p.states[e.Key] = ""
		return known.Exists
	case Once:
		isNews = known.Mark != MarkPublished
	case Emit:
		isNews = !known.Exists || !known.SameVersion || !known.SameContent
	case Note:
		if known.Exists {
			mark = known.Mark
		}
	}
	if isNews || !e.Action.hasEvent() {
		p.states[e.Key] = e.state(stamp(mark, time.Now()))
	}
	return isNews
}

// overlay replaces what is known of an item by what would have been kept since.
func (p *Preview) overlay(e *Emission, known Known) Known {
	if state, found := p.states[e.Key]; found {
		return e.compare(state)
	}
	return known
}

// Checkpoint implements [Outbox].
func (p *Preview) Checkpoint(ctx context.Context) ([]byte, error) {
	parts, err := p.before.checkpoints(ctx)
	return parts[""], err
}

// Checkpoints implements [Outbox].
func (p *Preview) Checkpoints(ctx context.Context) (map[string][]byte, error) {
	return p.before.checkpoints(ctx)
}

// Commands implements [Outbox]: a preview carries none out.
func (p *Preview) Commands(context.Context) (map[string]string, error) { return nil, nil }

// Done implements [Outbox].
func (p *Preview) Done(context.Context, string) error { return nil }

// Seen implements [Outbox].
func (p *Preview) Seen() Seen { return p }

// Recall implements [Seen]: what is known from Redis, and what would have been kept since.
func (p *Preview) Recall(ctx context.Context, emissions []*Emission) ([]Known, error) {
	known, err := p.before.seen().Recall(ctx, emissions)
	if err != nil {
		return nil, err
	}
	for i, e := range emissions {
		known[i] = p.overlay(e, known[i])
	}
	return known, nil
}

// Stale implements [Seen].
func (p *Preview) Stale(ctx context.Context, before time.Time) iter.Seq2[SeenItem, error] {
	return p.before.seen().Stale(ctx, before)
}

// Forget implements [Seen]: a preview forgets nothing.
func (p *Preview) Forget(context.Context, time.Time) (int, error) { return 0, nil }

// Count implements [Seen].
func (p *Preview) Count(ctx context.Context) (int64, error) { return p.before.seen().Count(ctx) }

// Limit implements [Seen].
func (p *Preview) Limit() int64 { return p.limit }

// SetLimit implements [Seen].
func (p *Preview) SetLimit(limit int64) { p.limit = limit }

// publishedBefore is what Redis knows of a source.
type publishedBefore struct{ link }

func (b *publishedBefore) seen() Seen { return newSeenItems(&b.link, func(int64) {}) }

// publishedNothing is what is known of a source that has never run.
type publishedNothing struct{}

func (publishedNothing) checkpoints(context.Context) (map[string][]byte, error) { return nil, nil }

func (publishedNothing) seen() Seen { return nothingSeen{} }

type nothingSeen struct{}

func (nothingSeen) Recall(_ context.Context, emissions []*Emission) ([]Known, error) {
	return make([]Known, len(emissions)), nil
}

func (nothingSeen) Stale(context.Context, time.Time) iter.Seq2[SeenItem, error] {
	return func(func(SeenItem, error) bool) {}
}

func (nothingSeen) Forget(context.Context, time.Time) (int, error) { return 0, nil }

func (nothingSeen) Count(context.Context) (int64, error) { return 0, nil }

func (nothingSeen) Limit() int64 { return DefaultSeenLimit }

func (nothingSeen) SetLimit(int64) {}
