package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// OnceSource is a [Source] that can look once for what is new, and end.
type OnceSource interface {
	Source
	// RunOnce blocks until it has looked at everything that is due, or ctx ends.
	RunOnce(ctx context.Context) error
}

// preview is an Outbox that shows what it would publish.
type preview struct {
	show   func(event *rawevent.Event) error
	states map[string]Emission // what would be remembered, by key
}

// NewPreview returns an [Outbox] that publishes and saves nothing: show is called with each event that would be published.
// It knows what the source has published before from Redis, or nothing where client is nil. It needs no lease.
func NewPreview(client redis.UniversalClient, env SourceEnv, show func(event *rawevent.Event) error) *Outbox {
	return &Outbox{
		client: client, stream: env.Stream, source: env.Name, log: env.Logger, stored: func(int) {},
		preview: &preview{show, map[string]Emission{}},
	}
}

// Preview returns [NewPreview] of this source, with its transformation.
func (b *SourceBlock) Preview(client redis.UniversalClient, env SourceEnv, show func(event *rawevent.Event) error) (*Outbox, error) {
	change, err := newTransform(b.Transform)
	if err != nil {
		return nil, fmt.Errorf("build source %q: %w", b.Name, err)
	}
	o := NewPreview(client, env, show)
	o.transform = change
	return o, nil
}

func (p *preview) publish(ctx context.Context, o *Outbox, emissions []Emission) ([]string, error) {
	pointers := make([]*Emission, len(emissions))
	for i := range emissions {
		pointers[i] = &emissions[i]
	}
	known, err := o.Recall(ctx, pointers)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(emissions))
	for i, e := range pointers {
		isKnown := known[i].Exists && known[i].SameVersion && known[i].SameContent
		isNews := e.Key == "" || e.Action == Emit && !isKnown || e.Action == Withdraw && known[i].Exists
		if e.Key != "" {
			p.states[e.Key] = *e
		}
		if e.Action == Note || !isNews {
			continue
		}
		ids[i] = "preview"
		if err := p.show(&e.Event); err != nil {
			return ids, fmt.Errorf("show an event of source %q: %w", o.source, err)
		}
	}
	return ids, nil
}

// amend replaces what is known from Redis by what would have been remembered since.
func (p *preview) amend(emissions []*Emission, known []Known) {
	for i, e := range emissions {
		would, found := p.states[e.Key]
		if !found {
			continue
		}
		known[i] = Known{}
		if would.Action != Withdraw {
			known[i] = e.compare(would.state(seconds(time.Now())))
		}
	}
}
