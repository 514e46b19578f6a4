package sink

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/peer"
	"github.com/streamgate/streamgate/gateway/webhook"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Bounds on what a sink can make the gateway do.
const (
	maxResponseBytes = 64 << 10 // read of an answer; a longer one costs the connection
	MaxDetailBytes   = 1024     // kept of an answer for knativeerrordata, as Knative does
	maxReplyBytes    = 1 << 20  // an event in an answer, after unpacking
)

// httpSink posts events to one address.
type httpSink struct {
	target    *url.URL
	basicAuth string      // of the address's user; goes into the header, and nowhere else
	header    http.Header // of every request
	tokenFile string      // of the bearer token; "" for none
	// headerFiles are headers whose values are in files.
	headerFiles []HeaderConfig
	overrides   []rawevent.Attribute // of every event
	structure   bool
	plainJSON   string // see [Options]
	timeout     time.Duration
	transport   *http.Transport
	fresh       *http.Transport // opens a connection for each request; see roundTrip
	userAgent   string
	replies     string // RepliesLenient or RepliesStrict; "": answers are not read as events
	maxAfter    time.Duration
	webHook     *webhook.Sender // nil: it need not agree
}

func newHTTPSink(c *Config, o *Options) (*httpSink, error) {
	target, err := url.Parse(c.URI)
	if err != nil {
		return nil, errors.New("the sink's address cannot be parsed") // the parser's error repeats it, with its password
	}
	s := &httpSink{
		structure: o.Format == FormatJSON, plainJSON: o.PlainJSON, timeout: o.Timeout, userAgent: o.UserAgent, maxAfter: o.MaxRetryAfter,
		tokenFile: c.TokenFile, transport: newTransport(target, c, o), fresh: newTransport(target, c, o),
	}
	s.fresh.DisableKeepAlives = true
	if o.Format != FormatBatch { // the answer to a batch is not a reply to one of its events
		s.replies = o.Replies
	}
	if hook := c.WebHook; hook != nil {
		s.header = setHeader(s.header, webhook.HeaderRequestOrigin, hook.Origin)
		s.webHook = webhook.NewSender(hook, o.Logger)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Extensions)) {
		s.overrides = append(s.overrides, rawevent.Attribute{Name: name, Value: c.Extensions[name]})
	}
	for name, value := range c.Header {
		s.header = setHeader(s.header, name, value)
	}
	for _, h := range c.Headers {
		if h.ValueFile != "" {
			s.headerFiles = append(s.headerFiles, h)
		} else {
			s.header = setHeader(s.header, h.Name, h.Value)
		}
	}
	if user := target.User; user != nil {
		password, _ := user.Password()
		s.basicAuth = "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
	}
	target.User, target.Fragment = nil, ""
	s.target = target
	return s, nil
}

func setHeader(h http.Header, name, value string) http.Header {
	if h == nil {
		h = http.Header{}
	}
	h.Set(name, value)
	return h
}

// Close implements [Sink].
func (s *httpSink) Close() {
	s.transport.CloseIdleConnections()
	s.fresh.CloseIdleConnections()
}

// Finish implements [Sink]: nothing waits here.
func (s *httpSink) Finish() {}

// Deliver implements [Sink].
func (s *httpSink) Deliver(ctx context.Context, item *Item) Outcome {
	return s.post(ctx, func(ctx context.Context) *http.Request { return s.request(ctx, &item.Event) })
}

// post makes one attempt, once the sink has agreed to it.
func (s *httpSink) post(ctx context.Context, build func(context.Context) *http.Request) Outcome {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if s.webHook != nil {
		if err := s.webHook.Ready(ctx, s.options); err != nil {
			return noResponse(peer.Cause(err))
		}
	}
	response, err := s.roundTrip(ctx, build)
	if err != nil {
		return s.unanswered(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	o := Outcome{Code: response.StatusCode}
	if s.webHook != nil {
		s.webHook.Note(o.Code)
		if o.Code == http.StatusGone { // it is the sink that is gone, not the event
			return noResponse("the sink has said that it is gone for good (410)")
		}
	}
	if o.Verdict() == Delivered {
		s.readAccepted(&o, response, cancel)
		return o
	}
	if after := response.Header.Get("Retry-After"); after != "" {
		o.RetryAfter = parseRetryAfter(after, time.Now(), s.maxAfter)
	}
	answer := peer.Read(response)
	o.Detail, o.Reason = detailOf(answer), answer.Describe()
	if remedy := s.remedy(answer, response.Request); remedy != "" {
		o.Reason += "; " + remedy
	}
	drain(response, cancel)
	return o
}

// unanswered is the outcome of a request without an answer.
func (s *httpSink) unanswered(ctx context.Context, err error) Outcome {
	reason := peer.Cause(err)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		reason = fmt.Sprintf("no answer came within %s (delivery.timeout)", s.timeout)
	}
	return noResponse(reason)
}

// drainTime is how long the rest of an answer is worth waiting for.
const drainTime = time.Second

// drain reads the rest of an answer that does not matter any more, so that its connection can be used again: within a
// bound of bytes and of time, after which the connection is given up. cancel ends the request.
func drain(response *http.Response, cancel context.CancelFunc) {
	if response.ContentLength == 0 {
		return
	}
	timer := time.AfterFunc(drainTime, cancel)
	defer timer.Stop()
	_, _ = io.CopyN(io.Discard, response.Body, maxResponseBytes)
}

// options sends an OPTIONS request to exactly the sink's address.
func (s *httpSink) options(ctx context.Context, header http.Header) (*http.Response, error) {
	request := (&http.Request{
		Method: http.MethodOptions, URL: s.target, Host: s.target.Host, Header: header, Body: http.NoBody, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	header["User-Agent"] = []string{s.userAgent}
	if s.basicAuth != "" {
		header["Authorization"] = []string{s.basicAuth}
	}
	if err := s.authorize(request); err != nil {
		return nil, err
	}
	return s.transport.RoundTrip(request)
}

// overridden returns the event with the sink's extensions. It shares its data with the event, which is not changed.
func (s *httpSink) overridden(event *rawevent.Event) *rawevent.Event {
	if len(s.overrides) == 0 || len(event.Attributes) == 0 { // one without attributes is an encoded one
		return event
	}
	changed := *event
	changed.Attributes = slices.Clone(event.Attributes)
	for i := range s.overrides {
		changed.Set(s.overrides[i].Name, s.overrides[i].Value)
	}
	return &changed
}

func (s *httpSink) request(ctx context.Context, event *rawevent.Event) *http.Request {
	event = s.overridden(event)
	header, body := s.newHeader(len(event.Attributes)), event.Data
	// An event whose data is itself an encoded event must go in structured mode: in binary mode it would be taken for
	// the inner one. So must one without data to a web hook, which is owed a payload (section 2.1). One without
	// attributes is such an encoded event, in a format that is not understood, and goes as it is.
	if len(event.Attributes) > 0 && (s.structure || s.webHook != nil && len(event.Data) == 0 || rawevent.ModeOf(event.DataContentType) != rawevent.Binary) {
		header["Content-Type"] = []string{rawevent.MediaTypeJSON}
		body = s.plain(event).AppendJSON(nil)
	} else {
		event.WriteHTTP(header)
	}
	passTrace(header, event)
	return s.newRequest(ctx, header, body)
}

// passTrace makes the trace context that an event carries as extensions (CloudEvents distributed tracing) the headers
// of W3C Trace Context as well, by which proxies and sinks continue the trace.
func passTrace(header http.Header, event *rawevent.Event) {
	for _, one := range [...][2]string{{"traceparent", "Traceparent"}, {"tracestate", "Tracestate"}} {
		value, found := event.Attribute(one[0])
		if found && value != "" && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			header[one[1]] = []string{value}
		}
	}
}

// newHeader returns what goes with every request, with room for n more.
func (s *httpSink) newHeader(n int) http.Header {
	header := make(http.Header, n+4)
	header["User-Agent"] = []string{s.userAgent}
	maps.Copy(header, s.header)
	return header
}

func (s *httpSink) newRequest(ctx context.Context, header http.Header, body []byte) *http.Request {
	if s.replies != "" {
		header["Prefer"] = []string{"reply"}
	}
	if s.basicAuth != "" {
		header["Authorization"] = []string{s.basicAuth}
	}
	request := &http.Request{
		Method: http.MethodPost, URL: s.target, Host: s.target.Host, Header: header, ContentLength: int64(len(body)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody,
	}
	if len(body) > 0 {
		request.Body = io.NopCloser(bytes.NewReader(body))
		// With it, the transport can send again what it could not even begin to send over a connection that was closed.
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	return request.WithContext(ctx)
}

// parseRetryAfter reads both forms of the header (RFC 9110 section 10.2.3), up to a bound; 0 if it says nothing, or
// nonsense.
func parseRetryAfter(value string, now time.Time, bound time.Duration) time.Duration {
	if value == "" {
		return 0
	}
	var wait time.Duration
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		// On a value out of range ParseUint returns the largest number: it means "long", and is bounded like any other.
		wait = time.Duration(min(seconds, uint64(bound/time.Second)+1)) * time.Second //nolint:gosec // it is small
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), bound)
}
