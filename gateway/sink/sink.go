package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Sink hands events on. It is safe for concurrent use.
type Sink interface {
	// Deliver makes one attempt and returns when the sink has answered, or its timeout or ctx has ended. It may change
	// the item's event.
	Deliver(ctx context.Context, item *Item) Outcome
	// Finish tells that deliveries are coming to an end: what waits to be sent together with others goes now.
	// Deliveries that still come are sent without waiting. It may be called more than once.
	Finish()
	// Close frees idle connections. Nothing may be delivered afterwards.
	Close()
}

// Item is an event to be delivered, and the entry that it comes from.
type Item struct {
	Event rawevent.Event
	// Stream and Entry are where the event is kept; Consumer is the member of the subscription's group that has the
	// entry. Only sinks that acknowledge by themselves need them.
	Stream, Entry, Consumer string
}

// Formats in which events are sent to an HTTP sink.
const (
	FormatBinary = "binary"
	FormatJSON   = "json"
	FormatBatch  = "batch"
)

// Options are what a subscription says about the delivery to its sink.
type Options struct {
	Format        string        // of HTTP requests: FormatBinary (default), FormatJSON or FormatBatch
	Batch         BatchConfig   // for FormatBatch
	PlainJSON     string        // for FormatJSON and FormatBatch: PlainGeoJSON, PlainAllJSON, or PlainNoJSON (default)
	Timeout       time.Duration // of one attempt
	MaxRetryAfter time.Duration // bounds what the sink may ask for with Retry-After
	Connections   int           // how many requests are made at once at most
	Replies       string        // RepliesLenient or RepliesStrict; "" means that answers are not read as events
	UserAgent     string
	Logger        *slog.Logger

	Redis  redis.UniversalClient // for streams and channels
	Group  string                // the consumer group that reads the events
	Target Target                // for SinkConfig.Stream
}

// Target is the stream that a sink appends to.
type Target struct {
	From   string               // the stream that the events come from
	Sender *redisstreams.Sender // writes as the target is configured
	// InMemory says that an event is stored as soon as Redis has it in memory: only then can it be added and
	// acknowledged in one step.
	InMemory bool
}

// New returns the sink that a valid configuration describes. It does no I/O and starts no goroutine.
func New(c *Config, o Options) (Sink, error) {
	switch {
	case c.Stream != "":
		if o.Target.Sender == nil {
			return nil, fmt.Errorf("%w: there is no sender for stream %q", errIncomplete, c.Stream)
		}
		return newStreamSink(c.Stream, &o), nil
	case c.Channel != "":
		return &channelSink{client: o.Redis, channel: c.Channel, timeout: o.Timeout}, nil
	}
	to, err := newHTTPSink(c, &o)
	if err != nil {
		return nil, err
	}
	if o.Format == FormatBatch {
		return newBatchSink(to, &o), nil
	}
	return to, nil
}

var errIncomplete = errors.New("the sink's options are incomplete")

// NoResponse is the code of a delivery to which no HTTP answer came, as in Knative.
const NoResponse = -1

// Outcome is how one attempt to deliver ended.
type Outcome struct {
	Code       int             // HTTP status, or what it would be; NoResponse
	Detail     []byte          // beginning of the answer's body, or why there is none
	Reason     string          // a failure in words, with a remedy where there is one; "" if Detail says it all
	RetryAfter time.Duration   // what the sink asked for; 0 if nothing
	Reply      *rawevent.Event // the event in the answer, or nil
	Unusable   string          // why the event in the answer cannot be used although it was delivered; "" if it can
	Gone       bool            // the entry is no longer this replica's
	Final      bool            // not to be tried again, whatever the code
	Answered   bool            // the sink is there, whatever the code
}

// Verdict is what an outcome means for the event.
type Verdict int

// The verdicts.
const (
	Delivered Verdict = iota
	Retryable
	Rejected
)

// Verdict follows Knative: no response, 5xx, 404, 408, 409 and 429 are retried; every other status but 2xx is final. In
// addition 425 is retried, which asks for nothing else (RFC 8470).
func (o *Outcome) Verdict() Verdict {
	switch {
	case o.Code >= 200 && o.Code < 300:
		return Delivered
	case o.Final:
		return Rejected
	case o.Code == NoResponse || o.Code >= 500,
		o.Code == http.StatusNotFound, o.Code == http.StatusRequestTimeout,
		o.Code == http.StatusConflict, o.Code == http.StatusTooEarly, o.Code == http.StatusTooManyRequests:
		return Retryable
	default:
		return Rejected
	}
}

// SinkIsDown reports whether a failure is the sink's own, whichever event met it.
func (o *Outcome) SinkIsDown() bool {
	if o.Answered {
		return false
	}
	switch o.Code {
	case NoResponse, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout:
		return true
	}
	return false
}

// blamesContent reports whether a refusal may concern one event of several.
func (o *Outcome) blamesContent() bool {
	return o.Code == http.StatusBadRequest || o.Code == http.StatusRequestEntityTooLarge ||
		o.Code == http.StatusUnprocessableEntity
}

// Describe says in words how an attempt ended.
func (o *Outcome) Describe() string {
	switch {
	case o.Code == NoResponse:
		return "no response: " + string(o.Detail)
	case o.Reason != "":
		return o.Reason
	}
	return fmt.Sprintf("status %d", o.Code)
}
