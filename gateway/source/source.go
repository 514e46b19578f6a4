package source

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/transform"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Source brings events in. It publishes through its [Outbox] only, and advances its checkpoint in the same step. One
// replica at a time runs a source: the one that holds its lease.
type Source interface {
	// Run blocks until ctx ends, and returns with all its goroutines gone; what it returns then does not matter. What a
	// retry can cure, Run retries itself, with backoff. An error before ctx ends ends this run: it is logged, and the
	// source is run anew after a while. After [ErrFenced] Run must return.
	Run(ctx context.Context) error
	// RunOnce searches once for what is new, and returns when it has published all that is due or ctx ends. A source
	// that cannot do so returns [ErrNotOnce].
	RunOnce(ctx context.Context) error
}

// ErrNotOnce is returned by the RunOnce of a source that only waits for what others send.
var ErrNotOnce = errors.New("a source of this type cannot be run once")

// Type is a kind of source. The kinds that a gateway has are an explicit list.
type Type struct {
	// Name is the word after "type:" in the configuration.
	Name string
	// NewConfig returns a pointer to a configuration struct that holds the defaults; the file is decoded over it.
	NewConfig func(Defaults) Config
}

// Defaults are defaults that come from outside of the file.
type Defaults struct {
	Producer string // what a source calls the producer of its events; "" for none
}

// Config is the configuration of a source, and its constructor: type, defaults, rules and construction of a source
// stand in one place.
type Config interface {
	// Validate returns everything that is wrong with a source that publishes to the stream.
	Validate(stream string) setting.Problems
	// NewSource returns the source of a valid configuration. It does no I/O and starts no goroutine.
	NewSource(env Env) (Source, error)
	// EventKinds returns the kinds of events that the source publishes; none if it does not know them beforehand.
	EventKinds() ([]EventKind, error)
	// Report tells from the checkpoint how the source is doing; the zero report if its checkpoint says nothing.
	Report(parts map[string][]byte) (Report, error)
}

// Outbox publishes the events of a source and saves its checkpoint. It is for one goroutine at a time.
type Outbox interface {
	// Publish carries the emissions out, in their order, and saves the parts of the checkpoint. It returns the entry id
	// of each event, "" where none was published. Large batches go in several atomic steps, the checkpoint with the
	// last one, so a crash leaves a beginning of the batch published, and the checkpoint as it was or as the last event
	// of a step carries it. It retries until Redis answers and the stream takes events, or ctx ends; after [ErrFenced]
	// the source must stop. An error that is [ErrSeenFull] means that the rest, from the step that was refused, was not
	// carried out.
	Publish(ctx context.Context, emissions []Emission, saves ...Save) ([]string, error)
	// Checkpoint returns the part "" of the checkpoint, or nil. It retries until Redis answers or ctx ends.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Checkpoints returns all parts of what was saved last. It retries until Redis answers or ctx ends.
	Checkpoints(ctx context.Context) (map[string][]byte, error)
	// Commands returns what operators ask of the source, by name. It retries until Redis answers or ctx ends.
	Commands(ctx context.Context) (map[string]string, error)
	// Done takes a command away that was carried out. It retries until Redis answers or ctx ends.
	Done(ctx context.Context, command string) error
	// Seen returns the seen items.
	Seen() Seen
}

// Seen is what is kept of the items that a source has published or noted. It is for one goroutine at a time, the one of
// its [Outbox].
type Seen interface {
	// Recall tells what is kept of each item: of the emissions only key, version and content count. It retries until
	// Redis answers or ctx ends.
	Recall(ctx context.Context, emissions []*Emission) ([]Known, error)
	// Stale yields what was not published or noted since a time, to the second. It retries until Redis answers or ctx
	// ends.
	Stale(ctx context.Context, before time.Time) iter.Seq2[SeenItem, error]
	// Forget removes what was not published or noted since a time, to the second, and returns how much that was. It
	// retries until Redis answers or ctx ends.
	Forget(ctx context.Context, before time.Time) (forgotten int, err error)
	// Count returns how many items there are. It retries until Redis answers or ctx ends.
	Count(ctx context.Context) (int64, error)
	// Limit returns how many items may be kept.
	Limit() int64
	// SetLimit sets how many items may be kept; 0 is [DefaultSeenLimit].
	SetLimit(limit int64)
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

// Env is what the gateway gives a source.
type Env struct {
	Name   string // of the block in the configuration
	Stream string // that it publishes to
	Outbox Outbox
	Redis  redis.UniversalClient // for sources that read Redis; owned by the gateway
	Logger *slog.Logger
	// Monitor is told what succeeds and what fails; nil for none.
	Monitor *Monitor
	// UserAgent is what a source calls itself towards servers.
	UserAgent string
}

// EventKinds returns the kinds of events that the source publishes, as its transformation leaves them; none if it does
// not know them beforehand.
func (b *Block) EventKinds() ([]EventKind, error) {
	kinds, err := b.Config.EventKinds()
	if err != nil || b.Transform == nil {
		return kinds, err
	}
	change, err := transform.New(b.Transform)
	if err != nil {
		return nil, err
	}
	for i := range kinds {
		if event, err := change.Apply(&kinds[i].Example, ""); err == nil { // else it is published as it is
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

// Block is one source of a configuration.
type Block struct {
	Name   string
	Type   string
	Stream string
	// Transform changes its events; nil for not.
	Transform *transform.Config
	Config    Config
}
