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

// Errors of a [Sender] that are not answers of Redis.
var (
	// ErrBusy: too many callers are waiting; nothing was written.
	ErrBusy = errors.New("redisstreams: too many events are waiting to be written")
	// ErrNotDurable: the event is in the stream, but the durability that the sender waits for was not confirmed in
	// time. The event may still be lost; with deduplication, sending it again is safe and waits again.
	ErrNotDurable = errors.New("redisstreams: added to the stream, but not confirmed as durable in time")
	// ErrUnsupported: the server cannot do what the sender was told to; nothing was written.
	ErrUnsupported = errors.New("redisstreams: the server does not support this")
)

// Sender appends events to one stream. It is safe for concurrent use, needs no Close, and has no goroutine of its own.
//
// Events that arrive together share a round trip (group commit): a caller who finds an idle pipeline sends immediately.
// If all pipelines are busy, callers queue up, and the first one sends for all of them. A caller never waits for more
// events to come. A method returns when Redis has acknowledged its entries, or with an error, after at most 900 ms for
// every pipeline that it waits for (and up to 5 s more for each kind of durability). When Redis stops answering, the
// queued callers fail together with those whose events were sent.
//
// A command is never sent twice, so a lost reply does not add a second entry; it causes an error although the entry may
// exist. Only [WithDedup] makes it safe to send an event again.
//
// mu guards the pipelines and their queue, and is not held during a command. A kill -9 loses what is queued, none of
// which was acknowledged to its caller; what is on its way to Redis is written or not, but never in part if it is one
// write.
type Sender struct {
	client redis.UniversalClient
	stream string
	mirror []string
	json   bool
	trim   trimming
	dedup  time.Duration // 0: none

	fsync    bool
	replicas int
	patience time.Duration // how long confirming durability may take

	duplicates   atomic.Uint64
	transactions atomic.Bool  // whether the user may use MULTI, as far as is known
	lastMillis   atomic.Int64 // the time in the latest entry id: Redis' clock

	mu       sync.Mutex
	inFlight int
	queue    []*write // invariant: empty unless inFlight == maxPipelines
	fsyncBy  fsyncMode
}

// SenderOption configures a [Sender].
type SenderOption func(*Sender)

// WithMirror repeats the named attributes, or top-level members of JSON data, as plain fields of the entry, for readers
// that do not use CloudEvents. Names that an event does not have are left out.
func WithMirror(names ...string) SenderOption {
	return func(s *Sender) { s.mirror = names }
}

// WithStructuredMode writes raw events in structured mode, in the JSON format, instead of binary mode.
func WithStructuredMode() SenderOption {
	return func(s *Sender) { s.json = true }
}

// WithDedup makes it harmless to send an event again: an event whose source and id were added less than window ago is
// not added a second time, and the id of the first entry is returned; [Sender.Duplicates] counts them. Check and
// addition are one atomic step. It costs a key for each event of the window (measured: 197 bytes on Redis 7.0, 154 on
// 8.6, 123 on Valkey 9.1). Events in structured mode of a format that this package cannot read are always added.
func WithDedup(window time.Duration) SenderOption {
	return func(s *Sender) { s.dedup = window }
}

// WithReplicas makes a send succeed only when n replicas have the entry as well (WAIT), so that it survives a failover
// to one of them. Otherwise the error is [ErrNotDurable].
func WithReplicas(n int) SenderOption {
	return func(s *Sender) { s.replicas = n }
}

// WithFsync makes a send succeed only when the entry is on the server's disk (WAITAOF). On a server older than Redis
// 7.2 that requires "appendfsync always"; without it, and without an append-only file, sending fails with
// [ErrUnsupported] before anything is written. With "appendfsync everysec" a send takes up to a second.
func WithFsync() SenderOption {
	return func(s *Sender) { s.fsync = true }
}

// WithMaxLen trims the stream with every addition to about n entries, the oldest first, whether or not they were
// delivered. See [WithTrimAcknowledged].
func WithMaxLen(n int64) SenderOption {
	return func(s *Sender) { s.trim.maxLen = n }
}

// WithMaxAge trims, with every addition, entries older than about d, whether or not they were delivered. Age is
// measured between entry ids, that is by the clock of Redis. It cannot be combined with [WithMaxLen].
func WithMaxAge(d time.Duration) SenderOption {
	return func(s *Sender) { s.trim.maxAge = d }
}

// WithTrimAcknowledged lets trimming remove only what every consumer group has acknowledged. It needs Redis 8.2; on
// other servers sending fails with Redis' syntax error, and nothing is written. See [Probe].
func WithTrimAcknowledged() SenderOption {
	return func(s *Sender) { s.trim.acknowledged = true }
}

// NewSender returns a Sender for the stream. It does no I/O. The client stays the caller's; make it with
// [ClientOptions].
func NewSender(client redis.UniversalClient, stream string, opts ...SenderOption) (*Sender, error) {
	if err := checkClient(client); err != nil {
		return nil, err
	}
	if stream == "" {
		return nil, errors.New("redisstreams: the stream name is empty")
	}
	s := &Sender{client: client, stream: stream, patience: durableTimeout}
	for _, opt := range opts {
		opt(s)
	}
	if _, _, read := settingsOf(client); read > 0 { // a later reply would count as lost
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
		return fmt.Errorf("redisstreams: %d replicas is not a valid number to wait for; set 0 or more", s.replicas)
	case slices.ContainsFunc(s.mirror, isBindingField):
		return fmt.Errorf("redisstreams: %q cannot be mirrored: the binding itself uses some of these names", s.mirror)
	case s.dedup > 0:
		if err := CheckStreamName(s.stream); err != nil {
			return err
		}
	}
	return s.trim.check()
}

// isBindingField reports whether a field has a meaning in the binding.
func isBindingField(name string) bool {
	return name == FieldContentType || name == FieldData || strings.HasPrefix(name, FieldPrefix)
}

// Append writes one event and returns the id of its entry. The event must be valid and must not change until Append
// returns. The end of ctx ends it only while the event is queued, and nothing is written then; once the event was sent,
// Append waits for the answer, within the bounds in the package's README. After an error that is neither an answer of
// Redis nor that of ctx, the entry may exist.
func (s *Sender) Append(ctx context.Context, event *rawevent.Event) (string, error) {
	w := &write{}
	w.one[0] = s.item(event)
	w.items = w.one[:]
	return s.append(ctx, w)
}

// AppendAll writes all events or none, in their order, and returns the ids of their entries.
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

// Duplicates returns how many events were not added because [WithDedup] found them already in the stream.
func (s *Sender) Duplicates() uint64 { return s.duplicates.Load() }

func (s *Sender) append(ctx context.Context, w *write) (string, error) {
	if err := s.write(ctx, w); err != nil {
		return "", fmt.Errorf("append to stream %q: %w", s.stream, err)
	}
	return w.ids[0], nil
}

// item is an event to be written: its XADD and, with deduplication, the key that records it.
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

// head appends the arguments that precede the fields of an XADD.
func (s *Sender) head(args []any) []any {
	return append(s.trim.append(append(args, "xadd", s.stream), s.lastMillis.Load()), "*")
}

// AppendEntryFields appends the fields that the entry of an event has in this stream. An event whose data is itself an
// encoded event is always written in structured mode, because a binary entry would be read as the inner event. An event
// without attributes, as [Entry.Event] returns it with [ErrUnknownFormat], is such an encoded event and is written as
// is.
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
