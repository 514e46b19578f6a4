package redisstreams

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Bounds of the group commit.
const (
	maxBatchEntries = 256     // entries of one pipeline
	maxBatchBytes   = 1 << 20 // bytes of one pipeline; a single larger event still goes, alone
	maxQueued       = 16_384  // callers that wait for a pipeline to become free
	maxPipelines    = 2       // pipelines in flight at once
	addTimeout      = 900 * time.Millisecond
)

// ErrBusy is returned by a Sender when too many callers wait already.
var ErrBusy = errors.New("redisstreams: too many events wait to be written")

// Sender appends events to one stream. It is safe for concurrent use, needs no Close, and has no goroutine of its own.
//
// Events that arrive together share a round trip (group commit): a caller who finds a pipeline free sends at once; those
// who find all of them busy wait, and the first of them takes along all that has gathered. Nobody ever waits for more
// events to come. A method returns when Redis has acknowledged its entries, or with an error after 900 ms at most for
// every pipeline that it waits for; when Redis stops answering, those who wait fail together with those who sent.
type Sender struct {
	client redis.UniversalClient
	stream string
	mirror []string
	json   bool

	mu       sync.Mutex
	inFlight int
	queue    []*write // invariant: empty unless inFlight == maxPipelines
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

// NewSender returns a Sender for the stream. It does no I/O. The client stays the caller's.
func NewSender(client redis.UniversalClient, stream string, opts ...SenderOption) (*Sender, error) {
	if err := checkClient(client); err != nil {
		return nil, err
	}
	if stream == "" {
		return nil, errors.New("redisstreams: the stream's name is empty")
	}
	s := &Sender{client: client, stream: stream}
	for _, opt := range opts {
		opt(s)
	}
	return s, nil
}

// Append writes one event and returns the id of its entry. The event must be valid and must not change until Append
// returns. After an error that is not an answer of Redis the entry may exist nevertheless.
func (s *Sender) Append(ctx context.Context, event *rawevent.Event) (string, error) {
	return s.add(ctx, s.Command(event))
}

// AppendAll writes all of the events or none, in their order, and returns the ids of their entries.
func (s *Sender) AppendAll(ctx context.Context, events []rawevent.Event) ([]string, error) {
	if len(events) == 0 {
		return nil, nil
	}
	commands := make([][]any, len(events))
	for i := range events {
		commands[i] = s.Command(&events[i])
	}
	w := &write{commands: commands, wake: make(chan bool, 1)}
	if err := s.write(ctx, w); err != nil {
		return nil, fmt.Errorf("append %d events to stream %q: %w", len(events), s.stream, err)
	}
	return w.ids, nil
}

// Command returns the XADD of an event with its arguments, for callers that send it as a part of something larger.
func (s *Sender) Command(event *rawevent.Event) []any {
	return s.AppendEntryFields(append(make([]any, 0, 2*len(event.Attributes)+9), "xadd", s.stream, "*"), event)
}

// AppendEntryFields appends the fields that an event's entry has in this stream. An event whose data is itself an encoded
// event is written in structured mode in any case: as a binary entry, it would be read as the inner one.
func (s *Sender) AppendEntryFields(dst []any, event *rawevent.Event) []any {
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

func (s *Sender) add(ctx context.Context, command []any) (string, error) {
	w := &write{single: command, wake: make(chan bool, 1)}
	if err := s.write(ctx, w); err != nil {
		return "", fmt.Errorf("append to stream %q: %w", s.stream, err)
	}
	return w.id, nil
}

// write is what one caller wants written: one command, or several that go all or none.
type write struct {
	single   []any
	commands [][]any

	id   string
	ids  []string
	err  error
	wake chan bool // true: lead the batch; false: the result is there
	lead []*write  // the batch to lead
}

// write gets w written, by this goroutine or another one.
func (s *Sender) write(ctx context.Context, w *write) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.inFlight < maxPipelines {
		s.inFlight++
		s.mu.Unlock()
		s.flush(ctx, []*write{w})
		return w.err
	}
	if len(s.queue) >= maxQueued {
		s.mu.Unlock()
		return ErrBusy
	}
	s.queue = append(s.queue, w)
	s.mu.Unlock()

	select {
	case lead := <-w.wake:
		if lead {
			s.flush(ctx, w.lead)
		}
	case <-ctx.Done():
		if s.withdraw(w) {
			return ctx.Err()
		}
		if <-w.wake { // it is in a batch already, and perhaps the one that others wait for
			s.flush(ctx, w.lead)
		}
	}
	return w.err
}

// withdraw takes w out of the queue; false means that somebody has taken it already.
func (s *Sender) withdraw(w *write) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, queued := range s.queue {
		if queued == w {
			s.queue = append(s.queue[:i], s.queue[i+1:]...)
			return true
		}
	}
	return false
}

// flush writes a batch, hands the pipeline to the first who waits, and wakes the others of the batch. The caller's
// context does not end the write: others depend on it.
func (s *Sender) flush(ctx context.Context, batch []*write) {
	sendCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), addTimeout)
	s.send(sendCtx, batch)
	cancel()

	s.mu.Lock()
	var failed []*write
	if err := batch[len(batch)-1].err; err != nil && !isReply(err) {
		// Redis does not answer. Who waits has sent nothing yet, and would only find out one timeout later.
		failed, s.queue = s.queue, nil
		for _, w := range failed {
			w.err = err
		}
	}
	if next := s.take(); next != nil {
		next[0].lead = next
		next[0].wake <- true
	} else {
		s.inFlight--
	}
	s.mu.Unlock()

	for _, w := range append(failed, batch[1:]...) {
		w.wake <- false
	}
}

// take removes the next batch from the queue: writes of several commands go alone, because they are a transaction.
func (s *Sender) take() []*write {
	n, bytes := 0, 0
	for _, w := range s.queue {
		if n == maxBatchEntries || n > 0 && (w.commands != nil || bytes+size(w.single) > maxBatchBytes) {
			break
		}
		n++
		if w.commands != nil {
			break
		}
		bytes += size(w.single)
	}
	if n == 0 {
		return nil
	}
	batch := make([]*write, n)
	copy(batch, s.queue)
	clear(s.queue[:n])
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil
	}
	return batch
}

func size(args []any) int {
	n := 0
	for _, arg := range args {
		switch v := arg.(type) {
		case string:
			n += len(v)
		case []byte:
			n += len(v)
		}
	}
	return n
}

func (s *Sender) send(ctx context.Context, batch []*write) {
	first := batch[0]
	switch {
	case first.commands != nil:
		first.ids, first.err = s.sendAtomically(ctx, first.commands)
	case len(batch) == 1:
		cmd := redis.NewStringCmd(ctx, first.single...)
		_ = s.client.Process(ctx, once{cmd}) // the command carries the error
		first.id, first.err = cmd.Result()
	default:
		commands := make([]*redis.StringCmd, len(batch))
		pipe := s.client.Pipeline()
		for i, w := range batch {
			commands[i] = redis.NewStringCmd(ctx, w.single...)
			_ = pipe.Process(ctx, once{commands[i]})
		}
		_, _ = pipe.Exec(ctx) // each command carries its own error
		for i, w := range batch {
			w.id, w.err = commands[i].Result()
		}
	}
}

// sendAtomically writes the commands in MULTI/EXEC: Redis runs and logs them as one, and refuses all where it refuses
// one (OOM, READONLY).
func (s *Sender) sendAtomically(ctx context.Context, list [][]any) ([]string, error) {
	commands := make([]*redis.StringCmd, len(list))
	_, err := s.client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, args := range list {
			commands[i] = redis.NewStringCmd(ctx, args...)
			_ = pipe.Process(ctx, once{commands[i]})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(list))
	for i, cmd := range commands {
		if ids[i], err = cmd.Result(); err != nil {
			return nil, err
		}
	}
	return ids, nil
}
