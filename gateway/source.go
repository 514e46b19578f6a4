package gateway

import (
	"context"
	"log/slog"

	"github.com/redis/go-redis/v9"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Source brings events in. Run blocks until ctx ends, and returns with all its goroutines gone; what it returns then does
// not matter. It publishes through its [Outbox] only, and advances its checkpoint in the same step. An earlier error ends
// this run: the gateway logs it and runs the source anew after a while. What a retry can cure, Run retries itself, with
// backoff.
//
// One replica at a time runs a source: the one that holds its lease.
type Source interface {
	Run(ctx context.Context) error
}

// SourceType is a kind of source. The kinds that a gateway has are an explicit list, given to [New].
type SourceType struct {
	// Name is the word after "type:" in the configuration.
	Name string
	// NewConfig returns a pointer to a configuration struct that holds the defaults; the file is decoded over it.
	NewConfig func() SourceConfig
}

// SourceConfig is the configuration of a source, and its constructor: type, defaults, rules and construction of a source
// stand in one place.
type SourceConfig interface {
	// Validate returns everything that is wrong. A configuration that depends on the stream that the source publishes to
	// has a method ValidateStream(stream string) Problems, too.
	Validate() Problems
	// NewSource returns the source. It does no I/O and starts no goroutine.
	NewSource(env SourceEnv) (Source, error)
}

// EventDescriber is a [SourceConfig] that knows what its events look like.
type EventDescriber interface {
	// EventKinds returns the kinds of events that a source of this configuration, which must be valid, publishes.
	EventKinds() ([]EventKind, error)
}

// EventKind is a kind of event of a source, for documents about a gateway.
type EventKind struct {
	Name    string         // letters, digits and dashes
	Summary string         // one sentence
	Data    map[string]any // JSON Schema of the data, in JSON; nil for any
	Example rawevent.Event // with the kind's type
	// AnyType tells that the events of the kind are of more types than that of the example.
	AnyType bool
}

// SourceEnv is what the gateway gives a source.
type SourceEnv struct {
	Name   string // of the block in the configuration
	Stream string // that it publishes to
	Outbox *Outbox
	Redis  redis.UniversalClient // for sources that read Redis; owned by the gateway
	Logger *slog.Logger
	// UserAgent is what a source calls itself towards servers.
	UserAgent string
}

// EventKinds returns the kinds of events that the source publishes, as its transformation leaves them; none if it does not
// know them beforehand.
func (b *SourceBlock) EventKinds() ([]EventKind, error) {
	describer, ok := b.Config.(EventDescriber)
	if !ok {
		return nil, nil
	}
	kinds, err := describer.EventKinds()
	if err != nil || b.Transform == nil {
		return kinds, err
	}
	change, err := newTransform(b.Transform)
	if err != nil {
		return nil, err
	}
	for i := range kinds {
		if event, err := change.apply(&kinds[i].Example, ""); err == nil { // else it is published as it is
			kinds[i].Example = event
		}
		if b.Transform.Wrap+b.Transform.Unwrap != "" {
			kinds[i].Data = nil
		}
		if _, isSet := b.Transform.Set[rawevent.AttrType]; isSet {
			kinds[i].AnyType = true
		}
	}
	return kinds, nil
}

// SourceBlock is one source of a configuration.
type SourceBlock struct {
	Name   string
	Type   string
	Stream string
	// Transform changes its events; nil for not.
	Transform *TransformConfig
	Config    SourceConfig
}
