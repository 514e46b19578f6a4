package redisstreams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Errors of a [Sender] that are no answers of Redis.
var (
	// ErrBusy: too many callers wait already; nothing was written.
	ErrBusy = errors.New("redisstreams: too many events wait to be written")
	// ErrNotDurable: the event is in the stream, but was not confirmed in time by as many as the sender was told to wait
	// for. It may still be lost; with deduplication, sending it again is safe and waits again.
	ErrNotDurable = errors.New("redisstreams: added to the stream, but not confirmed in time as durable")
	// ErrUnsupported: the server cannot do what the sender was told to; nothing was written.
	ErrUnsupported = errors.New("redisstreams: the server does not support this")
)

// Sender appends events to one stream. It is safe for concurrent use, needs no Close, and has no goroutine of its own.
//
// Events that arrive together share a round trip (group commit): a caller who finds a pipeline free sends at once; those
// who find all of them busy wait, and the first of them takes along all that has gathered. Nobody ever waits for more
// events to come. A method returns when Redis has acknowledged its entries, or with an error after 900 ms at most for
// every pipeline that it waits for (up to 5 s more for each kind of durability that it waits for); when Redis stops answering, those who wait
// fail together with those who sent.
//
// No command is ever sent twice, so a lost reply makes no second entry; it makes an error although the entry may exist.
// Only [WithDedup] makes it safe to send an event again.
type Sender struct {
	client redis.UniversalClient
	stream string
	mirror []string
	json   bool
	trim   trimming
	dedup  time.Duration // 0: none

	fsync    bool
	replicas int
	patience time.Duration // how long durability may take

	duplicates   atomic.Uint64
	transactions atomic.Bool  // the user may use MULTI, as far as is known
	lastMillis   atomic.Int64 // the time in the latest entry id: Redis' clock

	mu       sync.Mutex
	inFlight int
	queue    []*write // invariant: empty unless inFlight == maxPipelines
	fsyncBy  fsyncMode
}

// SenderOption configures a [Sender].
type SenderOption func(*Sender)

// WithMirror repeats the named attributes, or top-level members of JSON data, as plain fields of the entry, for readers
// that know nothing of CloudEvents. A name that an event does not have is left out.
func WithMirror(names ...string) SenderOption {
	return func(s *Sender) { s.mirror = names }
}

// WithStructuredMode writes raw events in structured mode, in the JSON format, instead of binary mode.
func WithStructuredMode() SenderOption {
	return func(s *Sender) { s.json = true }
}

// WithDedup makes sending an event again harmless: an event whose source and id were added less than window ago is not
// added again, and its first entry's id is returned; [Sender.Duplicates] counts them. The check and the addition are one
// step. It costs a key for each event of the window (measured: 197 bytes on Redis 7.0, 154 on 8.6, 123 on Valkey 9.1).
// Events in structured mode of a format that this package cannot read are always added.
func WithDedup(window time.Duration) SenderOption {
	return func(s *Sender) { s.dedup = window }
}

// WithReplicas makes a send succeed only when n replicas have the entry, too (WAIT), so that it survives a failover to
// one of them. Otherwise the error is [ErrNotDurable].
func WithReplicas(n int) SenderOption {
	return func(s *Sender) { s.replicas = n }
}

// WithFsync makes a send succeed only when the entry is on the server's disk (WAITAOF). On a server older than Redis 7.2
// that is possible only with "appendfsync always"; elsewhere, and where there is no append-only file, sending fails with
// [ErrUnsupported] before anything is written. With "appendfsync everysec" a send takes up to a second.
func WithFsync() SenderOption {
	return func(s *Sender) { s.fsync = true }
}

// WithMaxLen trims the stream with every addition to about n entries, the oldest first, whether or not they were
// delivered. See [WithTrimAcknowledged].
func WithMaxLen(n int64) SenderOption {
	return func(s *Sender) { s.trim.maxLen = n }
}

// WithMaxAge trims with every addition what is older than d, roughly, whether or not it was delivered. Age is measured
// between entry ids, that is by Redis' clock. It cannot be combined with [WithMaxLen].
func WithMaxAge(d time.Duration) SenderOption {
	return func(s *Sender) { s.trim.maxAge = d }
}

// WithTrimAcknowledged lets trimming remove only what every consumer group has acknowledged. It needs Redis 8.2; on
// other servers sending fails with Redis' syntax error, and nothing is written. See [Probe].
func WithTrimAcknowledged() SenderOption {
	return func(s *Sender) { s.trim.acknowledged = true }
}

// NewSender returns a Sender for the stream. It does no I/O. The client stays the caller's; make it with [ClientOptions].
func NewSender(client redis.UniversalClient, stream string, opts ...SenderOption) (*Sender, error) {
	if err := checkClient(client); err != nil {
		return nil, err
	}
	if stream == "" {
		return nil, errors.New("redisstreams: the stream's name is empty")
	}
	s := &Sender{client: client, stream: stream, patience: durableTimeout}
	for _, opt := range opts {
		opt(s)
	}
	if _, _, read := settingsOf(client); read > 0 { // a reply that comes later would be taken for a lost one
		s.patience = min(durableTimeout, (read-read/4)/time.Duration(max(s.kindsOfDurability(), 1)))
	}
	if err := s.checkOptions(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Sender) checkOptions() error {
	switch {
	case s.dedup < 0 || s.dedup > 0 && s.dedup < time.Millisecond:
		return fmt.Errorf("redisstreams: the deduplication window of %s is too short; set a millisecond or more", s.dedup)
	case s.replicas < 0:
		return fmt.Errorf("redisstreams: cannot wait for %d replicas", s.replicas)
	case slices.ContainsFunc(s.mirror, isBindingField):
		return fmt.Errorf("redisstreams: %q cannot be mirrored: some of these names belong to the binding", s.mirror)
	case s.dedup > 0:
		if err := CheckStreamName(s.stream); err != nil {
			return err
		}
	}
	return s.trim.check()
}

// isBindingField reports whether a field means something to readers of the binding.
func isBindingField(name string) bool {
	return name == FieldContentType || name == FieldData || strings.HasPrefix(name, FieldPrefix)
}

// Append writes one event and returns the id of its entry. The event must be valid and must not change until Append
// returns. ctx ends it only while the event waits for its turn, and nothing is written then; what has been sent is
// waited for, within the bounds of the package's README. After an error that is neither an answer of Redis nor that of
// ctx the entry may exist nevertheless.
func (s *Sender) Append(ctx context.Context, event *rawevent.Event) (string, error) {
	w := &write{}
	w.one[0] = s.item(event)
	w.items = w.one[:]
	return s.append(ctx, w)
}

// AppendAll writes all of the events or none, in their order, and returns the ids of their entries.
func (s *Sender) AppendAll(ctx context.Context, events []rawevent.Event) ([]string, error) {
	if len(events) == 0 {
		return nil, nil
	}
	w := &write{items: make([]item, len(events)), atomic: true}
	for i := range events {
		w.items[i] = s.item(&events[i])
	}
	if err := s.write(ctx, w); err != nil {
		return nil, fmt.Errorf("append %d events to stream %q: %w", len(events), s.stream, err)
	}
	return w.ids, nil
}

// Duplicates returns how many events were not added because [WithDedup] found them in the stream already.
func (s *Sender) Duplicates() uint64 { return s.duplicates.Load() }

func (s *Sender) append(ctx context.Context, w *write) (string, error) {
	if err := s.write(ctx, w); err != nil {
		return "", fmt.Errorf("append to stream %q: %w", s.stream, err)
	}
	return w.ids[0], nil
}

// item is an event on its way: its XADD, and the key that remembers it where there is deduplication.
type item struct {
	args []any
	key  string
}

func (s *Sender) item(event *rawevent.Event) item {
	i := item{args: s.AppendEntryFields(s.head(make([]any, 0, 2*len(event.Attributes)+11)), event)}
	if s.dedup > 0 {
		i.key = dedupKey(s.stream, event)
	}
	return i
}

// head appends what stands before the fields of an XADD.
func (s *Sender) head(args []any) []any {
	return append(s.trim.append(append(args, "xadd", s.stream), s.lastMillis.Load()), "*")
}

// AppendEntryFields appends the fields that an event's entry has in this stream. An event whose data is itself an encoded
// event is written in structured mode in any case: as a binary entry, it would be read as the inner one. An event without
// attributes, as [Entry.Event] returns it with [ErrUnknownFormat], is such an encoded event, and is written as it is.
func (s *Sender) AppendEntryFields(dst []any, event *rawevent.Event) []any {
	if len(event.Attributes) == 0 && rawevent.ModeOf(event.DataContentType) == rawevent.Structured {
		return AppendStructured(dst, event.DataContentType, event.Data, nil)
	}
	var plain []string
	if len(s.mirror) > 0 {
		plain = mirrored(event, s.mirror)
	}
	if s.json || rawevent.ModeOf(event.DataContentType) != rawevent.Binary {
		return AppendStructured(dst, rawevent.MediaTypeJSON, event.AppendJSON(nil), plain)
	}
	return AppendFields(dst, event, plain)
}

func mirrored(event *rawevent.Event, names []string) []string {
	plain := make([]string, 0, 2*len(names))
	for _, name := range names {
		value, found := event.Attribute(name)
		if !found {
			value, found = event.DataMember(name)
		}
		if found {
			plain = append(plain, name, value)
		}
	}
	return plain
}
