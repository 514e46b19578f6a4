package sink

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// BatchConfig is for delivery.format batch: HTTP batched mode, which a sink must have asked for (CloudEvents HTTP
// protocol binding section 3.3).
type BatchConfig struct {
	// MaxEvents is how many events one request may have; default 100.
	MaxEvents int `mapstructure:"maxEvents"`
	// MaxDelay is how long an event waits for others; default 100ms.
	MaxDelay setting.Duration `mapstructure:"maxDelay"`
}

// Bounds of a batch.
const (
	MaxBatchEvents = 1000
	MaxBatchDelay  = 15 * time.Second // less than server.shutdownTimeout, so that a stop does not cut it off
	maxSentBytes   = 8 << 20          // what this gateway itself takes in one batch
)

// batchSink posts events together. A delivery joins the open batch and waits for its fate. The delivery that opens a
// batch sends it when it is full or old enough.
//
// A batch is answered as a whole, and that answer is each event's: where it may be tried again, each event is, by
// itself and at a time of its own, maybe in other company. Where a batch is refused for what is in it, its halves are
// sent, and theirs, until the events at fault are alone: one of them takes no other with it.
type batchSink struct {
	*httpSink
	config BatchConfig
	slots  chan struct{} // a token for each request that is being made

	mu   sync.Mutex
	open *outgoing // nil: the next event opens one

	last   chan struct{} // closed when no event has to wait for others any more
	finish func()
}

func newBatchSink(to *httpSink, o *Options) *batchSink {
	s := &batchSink{
		httpSink: to, config: o.Batch, slots: make(chan struct{}, o.Connections), last: make(chan struct{}),
	}
	s.finish = sync.OnceFunc(func() { close(s.last) })
	return s
}

// Finish implements [Sink]: open batches are sent as they are.
func (s *batchSink) Finish() { s.finish() }

// outgoing is a batch on its way.
type outgoing struct {
	events   [][]byte // in the JSON format
	bytes    int
	closed   chan struct{} // when no event may join any more
	done     chan struct{} // when there are outcomes
	outcomes []Outcome
}

// Deliver implements [Sink].
func (s *batchSink) Deliver(ctx context.Context, item *Item) Outcome {
	if len(item.Event.Attributes) == 0 { // in a format that is not understood, which has no place in a batch
		return s.httpSink.Deliver(ctx, item)
	}
	b, at := s.join(s.plain(s.overridden(&item.Event)).AppendJSON(nil))
	if at == 0 {
		s.send(ctx, b)
	}
	select {
	case <-b.done:
		return b.outcomes[at]
	case <-ctx.Done():
		return Outcome{Code: NoResponse, Detail: []byte("the gateway stops")}
	}
}

// join returns the batch that has taken an event, and the event's place in it.
func (s *batchSink) join(event []byte) (b *outgoing, at int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open != nil && s.open.bytes+len(event) > maxSentBytes {
		s.closeOpen()
	}
	if s.open == nil {
		s.open = &outgoing{closed: make(chan struct{}), done: make(chan struct{})}
	}
	b = s.open
	at = len(b.events)
	b.events, b.bytes = append(b.events, event), b.bytes+len(event)
	if len(b.events) == s.config.MaxEvents {
		s.closeOpen()
	}
	return b, at
}

func (s *batchSink) closeOpen() {
	close(s.open.closed)
	s.open = nil
}

// send waits until the batch is full, or old enough and there is a connection for it, and posts it.
func (s *batchSink) send(ctx context.Context, b *outgoing) {
	old := time.NewTimer(s.config.MaxDelay.Std())
	defer old.Stop()
	select {
	case <-b.closed:
	case <-old.C:
	case <-s.last:
	case <-ctx.Done():
	}
	select {
	case s.slots <- struct{}{}: // until then others may join
		defer func() { <-s.slots }()
	case <-ctx.Done(): // the request fails at once
	}
	s.mu.Lock()
	if s.open == b {
		s.closeOpen()
	}
	s.mu.Unlock()
	b.outcomes = make([]Outcome, len(b.events))
	s.postAll(ctx, b.events, b.outcomes)
	close(b.done)
}

// postAll posts events in one request, or in parts where they are refused for what they are.
func (s *batchSink) postAll(ctx context.Context, events [][]byte, outcomes []Outcome) {
	o := s.post(ctx, func(ctx context.Context) *http.Request {
		body := slices.Concat([]byte{'['}, bytes.Join(events, []byte{','}), []byte{']'})
		header := s.newHeader(1)
		header["Content-Type"] = []string{rawevent.MediaTypeBatch}
		return s.newRequest(ctx, header, body)
	})
	if half := len(events) / 2; half > 0 && o.blamesContent() {
		s.postAll(ctx, events[:half], outcomes[:half])
		s.postAll(ctx, events[half:], outcomes[half:])
		return
	}
	for i := range outcomes {
		outcomes[i] = o
	}
}
