package delivery

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/sink"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/gateway/transform"
)

// Config hands the events of a stream that pass its filters to a sink.
type Config struct {
	// Name identifies the subscription; its consumer group is streamgate:NAME.
	Name string `mapstructure:"name"`
	// Stream is where the events come from.
	Stream string `mapstructure:"stream"`
	// Filters must all match; none means every event.
	Filters []filter.Config `mapstructure:"filters"`
	// Transform changes the events that pass the filters; nil for not.
	Transform *transform.Config `mapstructure:"transform"`
	// Sink is where the events go.
	Sink sink.Config `mapstructure:"sink"`
	// Concurrency is how many deliveries a replica makes at once; default 16. With delivery.format batch it is how many
	// batches, of at most 10000 events together.
	Concurrency int `mapstructure:"concurrency"`
	// LeaseDuration is how long a silent replica keeps its entries before the others take them over; default 30s.
	LeaseDuration setting.Duration `mapstructure:"leaseDuration"`
	// StartFrom is where a new subscription begins: latest (default), earliest, an entry id, a time in RFC 3339, a
	// date, or a duration before now.
	StartFrom string `mapstructure:"startFrom"`
	// OnGroupLost is where the consumer group goes on when it has disappeared: resume (default), behind what was
	// acknowledged; earliest; latest; or fail: not before it has been created again by hand.
	OnGroupLost string `mapstructure:"onGroupLost"`
	// Forget lets retention remove what this subscription has not acknowledged; default false.
	Forget bool `mapstructure:"forget"`
	// Order is none (default), or byKey: events of one key (the extension partitionkey, else the subject) are delivered
	// one after the other, in the order of the stream, by one replica at a time; events without a key are not ordered.
	Order string `mapstructure:"order"`
	// RateLimit is how many deliveries a second a replica begins at most; default 0, unlimited.
	RateLimit float64 `mapstructure:"rateLimit"`
	// MaxParked is how many events of a replica may wait for their next attempt, or for others of their key, before it
	// stops reading; default 10000. They hold no worker, and of their bytes only the id.
	MaxParked int `mapstructure:"maxParked"`
	// ReplyStream is where events go that the sink answers with; default the subscription's own stream. none: answers
	// are not read as events.
	ReplyStream string `mapstructure:"replyStream"`
	// Delivery says what happens when the sink does not take an event.
	Delivery Spec `mapstructure:"delivery"`
}

// Spec is Knative's delivery specification, with its words.
type Spec struct {
	// Retry is how often a failed delivery is tried again; default 10.
	Retry int `mapstructure:"retry"`
	// BackoffPolicy is exponential (default: the delay doubles) or linear (it grows by backoffDelay).
	BackoffPolicy string `mapstructure:"backoffPolicy"`
	// BackoffDelay is the delay before the first retry; default PT1S. Each delay is drawn at random between 0 and what
	// the policy says (full jitter), so that events that failed together do not come back together.
	BackoffDelay setting.Duration `mapstructure:"backoffDelay"`
	// MaxDelay bounds what the policy says; default PT5M.
	MaxDelay setting.Duration `mapstructure:"maxDelay"`
	// RetryAfterMax bounds what the sink may ask for with Retry-After, which is honoured where it is longer than the
	// delay; default PT15M. 0 ignores it.
	RetryAfterMax setting.Duration `mapstructure:"retryAfterMax"`
	// Deadline is how long after it was stored an event is tried again at all, whatever retry says; default 0, which is
	// for ever. An event whose next attempt would come later is dead-lettered at once; every event gets one attempt.
	Deadline setting.Duration `mapstructure:"deadline"`
	// Timeout is how long one request may take; default PT30S.
	Timeout setting.Duration `mapstructure:"timeout"`
	// Format is how events are sent: binary (default: HTTP binary mode), json (structured mode), or batch (batched
	// mode, to sinks that want it): several events in one request.
	Format string `mapstructure:"format"`
	// Replies says what the body of a 2xx may be, unless replyStream is none: lenient (default) takes a CloudEvent for
	// a reply and ignores any other body; strict is the rule of Knative's Triggers, for which any other body is a
	// failure.
	Replies string `mapstructure:"replies"`
	// Outages says what happens while the sink is down: pause (default) opens the circuit, which pauses reading and
	// keeps the attempts of every event; count is Knative's rule, by which each failure counts, so that an outage that
	// is longer than the retries ends in dead letters.
	Outages string `mapstructure:"outages"`
	// PlainJSON says which JSON data are declared as application/json in formats json and batch, because several SDKs
	// read no other type there: geo (default) is application/geo+json, all is every type that ends with +json, none is
	// none.
	PlainJSON string `mapstructure:"plainJson"`
	// Batch is for format batch.
	Batch sink.BatchConfig `mapstructure:"batch"`
	// DeadLetterSink is where events go that cannot be delivered; default is a stream beside the subscription's.
	DeadLetterSink DeadLetterSink `mapstructure:"deadLetterSink"`
}

// DeadLetterSink is where dead letters go: one of its keys.
type DeadLetterSink struct {
	// Stream is a stream in the same Redis; default streamgate:{STREAM}:deadletters.
	Stream string `mapstructure:"stream"`
	// URI is an http or https address to which they are posted instead. What it does not take goes into the default
	// stream.
	URI string `mapstructure:"uri"`
}

// NewConfig returns the defaults.
func NewConfig() Config {
	return Config{
		Concurrency: 16, LeaseDuration: setting.Duration(30 * time.Second), StartFrom: "latest", OnGroupLost: onLostResume, Order: orderNone,
		MaxParked: 10_000,
		Delivery: Spec{
			Retry: 10, BackoffPolicy: "exponential", BackoffDelay: setting.Duration(time.Second), MaxDelay: setting.Duration(5 * time.Minute),
			RetryAfterMax: setting.Duration(15 * time.Minute), Timeout: setting.Duration(30 * time.Second), Format: sink.FormatBinary,
			Replies: sink.RepliesLenient, Outages: outagesPause,
			PlainJSON: sink.PlainGeoJSON,
			Batch:     sink.BatchConfig{MaxEvents: 100, MaxDelay: setting.Duration(100 * time.Millisecond)},
		},
	}
}

// Validate returns everything that is wrong with the subscription by itself.
func (c *Config) Validate() setting.Problems {
	var p setting.Problems
	if !setting.ValidName(c.Name) {
		p.Add("name", fmt.Sprintf("%q is not a valid name", c.Name), setting.NameRemedy)
	}
	for i := range c.Filters {
		p.AddAll(fmt.Sprintf("filters[%d]", i), c.Filters[i].Validate())
	}
	if c.Transform != nil {
		p.AddAll("transform", c.Transform.Validate(transform.EntryPlaceholders()))
	}
	p.AddAll("sink", c.Sink.Validate())
	if c.Order != orderNone && c.Order != orderByKey {
		p.Add("order", fmt.Sprintf("%q is not an order of delivery", c.Order), "write none or byKey")
	}
	if !slices.Contains(onLostPolicies(), c.OnGroupLost) {
		p.Add("onGroupLost", fmt.Sprintf("%q is not a policy for a lost group", c.OnGroupLost), "write "+strings.Join(onLostPolicies(), ", "))
	}
	if c.RateLimit != 0 && !(c.RateLimit > 0 && c.RateLimit <= maxRateLimit) { // not a number is neither
		p.Add("rateLimit", fmt.Sprintf("%g is not between 0 and %d", c.RateLimit, maxRateLimit), "set deliveries a second, or 0 for no limit")
	}
	if c.MaxParked < 1 || c.MaxParked > 1_000_000 {
		p.Add("maxParked", fmt.Sprintf("%d is not between 1 and 1000000", c.MaxParked), "set how many events may wait, like 10000")
	}
	if c.Concurrency < 1 || c.Concurrency > maxConcurrency {
		p.Add("concurrency", fmt.Sprintf("%d is not between 1 and %d", c.Concurrency, maxConcurrency), "set how many deliveries may run at once, like 16")
	}
	if c.LeaseDuration.Std() < time.Second {
		p.Add("leaseDuration", fmt.Sprintf("%s is shorter than 1s", c.LeaseDuration), "set a time like 30s")
	}
	if _, err := state.StartPosition(c.StartFrom); err != nil {
		p.Add("startFrom", err.Error(), state.PositionRemedy)
	}
	p.AddAll("delivery", c.Delivery.validate())
	return p
}

func (c *Spec) validate() setting.Problems {
	var p setting.Problems
	if c.Retry < 0 || c.Retry > 1000 {
		p.Add("retry", fmt.Sprintf("%d is not between 0 and 1000", c.Retry), "set how often to try again, like 10")
	}
	if c.BackoffPolicy != "exponential" && c.BackoffPolicy != "linear" {
		p.Add("backoffPolicy", fmt.Sprintf("%q is not a backoff policy", c.BackoffPolicy), "write exponential or linear")
	}
	if c.BackoffDelay <= 0 {
		p.Add("backoffDelay", fmt.Sprintf("%s is not positive", c.BackoffDelay), "set a time like PT1S")
	}
	if c.MaxDelay <= 0 {
		p.Add("maxDelay", fmt.Sprintf("%s is not positive", c.MaxDelay), "set a time like PT5M")
	}
	if c.RetryAfterMax < 0 {
		p.Add("retryAfterMax", fmt.Sprintf("%s is negative", c.RetryAfterMax), "set a time like PT15M, or 0s to ignore Retry-After")
	}
	if c.Deadline < 0 {
		p.Add("deadline", fmt.Sprintf("%s is negative", c.Deadline), "set a time like 24h, or 0s for none")
	}
	if u, err := url.Parse(c.DeadLetterSink.URI); c.DeadLetterSink.URI != "" && (err != nil || u.Host == "" ||
		u.Scheme != "http" && u.Scheme != "https" || !setting.ValidPort(u.Port())) {
		p.Add("deadLetterSink.uri", "this is not an http or https address", "write an address like http://localhost:9000/, or name a stream")
	}
	if c.DeadLetterSink.URI != "" && c.DeadLetterSink.Stream != "" {
		p.Add("deadLetterSink", "there are two addresses for dead letters", "keep stream or uri")
	}
	if c.Timeout <= 0 {
		p.Add("timeout", fmt.Sprintf("%s is not positive", c.Timeout), "set a time like PT30S")
	}
	if !slices.Contains([]string{sink.FormatBinary, sink.FormatJSON, sink.FormatBatch}, c.Format) {
		p.Add("format", fmt.Sprintf("%q is not a format", c.Format), "write binary, json or batch")
	}
	if c.Replies != sink.RepliesLenient && c.Replies != sink.RepliesStrict {
		p.Add("replies", fmt.Sprintf("%q is not a way to read replies", c.Replies), "write lenient or strict")
	}
	if !slices.Contains([]string{sink.PlainGeoJSON, sink.PlainAllJSON, sink.PlainNoJSON}, c.PlainJSON) {
		p.Add("plainJson", fmt.Sprintf("%q is not a choice of media types", c.PlainJSON), "write geo, all or none")
	}
	if c.Outages != outagesPause && c.Outages != outagesCount {
		p.Add("outages", fmt.Sprintf("%q is not a way to treat outages", c.Outages), "write pause or count")
	}
	if n := c.Batch.MaxEvents; n < 1 || n > sink.MaxBatchEvents {
		p.Add("batch.maxEvents", fmt.Sprintf("%d is not between 1 and %d", n, sink.MaxBatchEvents), "set how many events one request may have, like 100")
	}
	if d := c.Batch.MaxDelay.Std(); d <= 0 || d > sink.MaxBatchDelay {
		p.Add("batch.maxDelay", fmt.Sprintf("%s is not between 0 and %s", d, sink.MaxBatchDelay), "set how long an event waits for others, like 100ms")
	}
	return p
}

const maxRateLimit = 1_000_000

// replies returns how answers are read, for [sink.Options].
func (c *Config) replies() string {
	if c.ReplyStream == sink.NoReplies {
		return ""
	}
	return c.Delivery.Replies
}

// workers is how many events may be in delivery at once.
func (c *Config) workers() int {
	if c.Sink.URI != "" && c.Delivery.Format == sink.FormatBatch {
		return min(c.Concurrency*c.Delivery.Batch.MaxEvents, maxConcurrency)
	}
	return c.Concurrency
}

const maxConcurrency = 10_000

// What happens while the sink is down.
const (
	outagesPause = "pause"
	outagesCount = "count"
)

// Orders of delivery.
const (
	orderNone  = "none"
	orderByKey = "byKey"
)

// What to do about a consumer group that has disappeared.
const (
	onLostResume   = "resume"
	onLostEarliest = "earliest"
	onLostLatest   = "latest"
	OnLostFail     = "fail"
)

func onLostPolicies() []string {
	return []string{onLostResume, onLostEarliest, onLostLatest, OnLostFail}
}
