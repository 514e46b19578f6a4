package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Bounds on what a sink can make the gateway do.
const (
	maxResponseBytes = 64 << 10 // read of an answer; a longer one costs the connection
	maxErrorBytes    = 1024     // kept of an answer for knativeerrordata, as Knative does
	maxReplyBytes    = 1 << 20  // an event in an answer
)

// noResponse is the code of a delivery to which no HTTP answer came, as in Knative.
const noResponse = -1

// sink hands events on. It is safe for concurrent use.
type sink interface {
	// deliver makes one attempt and returns when the sink has answered, or its timeout or ctx has ended. It may change
	// the job's event.
	deliver(ctx context.Context, j *job) outcome
	// close frees what is idle. Nothing may be delivered afterwards.
	close()
}

// outcome is how one attempt to deliver ended.
type outcome struct {
	code       int             // HTTP status, or what it would be; noResponse
	detail     []byte          // beginning of the answer's body, or why there is none
	retryAfter time.Duration   // what the sink asked for; 0 if nothing
	reply      *rawevent.Event // the event in the answer, or nil
	gone       bool            // the entry is no longer this replica's
	final      bool            // not to be tried again, whatever the code
	answered   bool            // the sink is there, whatever the code
}

// verdict is what an outcome means for the event.
type verdict int

const (
	delivered verdict = iota
	retryable
	rejected
)

// verdict follows Knative: no response, 5xx, 404, 408, 409 and 429 are tried again; every other status but 2xx is final.
func (o *outcome) verdict() verdict {
	switch {
	case o.code >= 200 && o.code < 300:
		return delivered
	case o.final:
		return rejected
	case o.code == noResponse || o.code >= 500,
		o.code == http.StatusNotFound, o.code == http.StatusRequestTimeout,
		o.code == http.StatusConflict, o.code == http.StatusTooManyRequests:
		return retryable
	default:
		return rejected
	}
}

// sinkIsDown reports whether a failure is the sink's own, whichever event met it.
func (o *outcome) sinkIsDown() bool {
	if o.answered {
		return false
	}
	switch o.code {
	case noResponse, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// httpSink posts events to one address.
type httpSink struct {
	target    *url.URL             // nil if the address is not usable
	basicAuth string               // of the address's user; goes into the header, and nowhere else
	header    http.Header          // of every request
	tokenFile string               // of the bearer token; "" for none
	overrides []rawevent.Attribute // of every event
	structure bool
	timeout   time.Duration
	transport *http.Transport
	userAgent string
	replies   bool // answers may hold events
	maxAfter  time.Duration
	webHook   *webHook // nil: it need not agree
}

func newHTTPSink(c *SubscriptionConfig, userAgent string, log *slog.Logger) *httpSink {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	s := &httpSink{
		structure: c.Delivery.Format == formatJSON, timeout: c.Delivery.Timeout.Std(), userAgent: userAgent,
		replies: c.ReplyStream != noReplies && c.Delivery.Format != formatBatch, maxAfter: c.Delivery.RetryAfterMax.Std(),
		// It is used without an http.Client: a sink MUST NOT redirect, and a sender must not follow (CloudEvents HTTP webhook
		// section 2.2); cookies are nothing for events either.
		transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
			// With net/http's default of 2, most deliveries of a busy subscription would open a connection of their own.
			MaxIdleConnsPerHost: c.Concurrency, MaxConnsPerHost: c.Concurrency,
			IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
			DisableCompression: true, MaxResponseHeaderBytes: maxResponseBytes,
		},
	}
	s.tokenFile = c.Sink.TokenFile
	if hook := c.Sink.WebHook; hook != nil {
		s.header = setHeader(s.header, headerRequestOrigin, hook.Origin)
		s.webHook = &webHook{config: *hook, agreed: !hook.Validate, log: log}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Sink.Extensions)) {
		s.overrides = append(s.overrides, rawevent.Attribute{Name: name, Value: c.Sink.Extensions[name]})
	}
	s.transport.TLSClientConfig = trusting(c.Sink.CACerts)
	if c.Sink.Guard != nil { // a proxy would be asked for what the guard cannot see
		s.transport.Proxy, s.transport.DialContext = nil, c.Sink.Guard.DialContext(dialer)
	}
	for name, value := range c.Sink.Header {
		s.header = setHeader(s.header, name, value)
	}
	target, err := url.Parse(c.Sink.URI)
	if err != nil {
		return s
	}
	if user := target.User; user != nil {
		password, _ := user.Password()
		s.basicAuth = "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
	}
	target.User, target.Fragment = nil, ""
	s.target = target
	return s
}

// trusting returns a configuration for certificates besides those of the system, or nil if there are none.
func trusting(caCerts string) *tls.Config {
	if caCerts == "" {
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a container may have none
	}
	pool.AppendCertsFromPEM([]byte(caCerts))
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

func setHeader(h http.Header, name, value string) http.Header {
	if h == nil {
		h = http.Header{}
	}
	h.Set(name, value)
	return h
}

// close drops the idle connections.
func (s *httpSink) close() { s.transport.CloseIdleConnections() }

func (s *httpSink) deliver(ctx context.Context, j *job) outcome {
	return s.post(ctx, func(ctx context.Context) *http.Request { return s.request(ctx, &j.event) })
}

// post makes one request, once the sink has agreed to it.
func (s *httpSink) post(ctx context.Context, build func(context.Context) *http.Request) outcome {
	if s.target == nil {
		return outcome{code: noResponse, detail: []byte("the sink's address is not usable")}
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if s.webHook != nil {
		if err := s.webHook.ready(ctx, s.options); err != nil {
			return outcome{code: noResponse, detail: []byte(err.Error())}
		}
	}
	request := build(ctx)
	if err := s.authorize(request); err != nil {
		return outcome{code: noResponse, detail: []byte(err.Error())}
	}
	response, err := s.transport.RoundTrip(request)
	if err != nil {
		return outcome{code: noResponse, detail: []byte(err.Error())}
	}
	defer func() { _ = response.Body.Close() }()
	o := outcome{code: response.StatusCode}
	if s.webHook != nil {
		s.webHook.note(o.code)
		if o.code == http.StatusGone { // it is the sink that is gone, not the event
			o.code, o.detail = noResponse, []byte("the sink has said that it is gone for good (410)")
			return o
		}
	}
	if after := response.Header.Get("Retry-After"); after != "" {
		o.retryAfter = parseRetryAfter(after, time.Now(), s.maxAfter)
	}
	switch {
	case s.replies && o.verdict() == delivered:
		s.readReply(&o, response)
	case response.ContentLength != 0:
		o.detail, _ = io.ReadAll(io.LimitReader(response.Body, maxErrorBytes))     // what came before an error will do
		_, _ = io.CopyN(io.Discard, response.Body, maxResponseBytes-maxErrorBytes) // to use the connection again
	}
	return o
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

// maxTokenBytes bounds a bearer token.
const maxTokenBytes = 64 << 10

// authorize adds the bearer token. Without one nothing is sent: a sink that wants it would refuse the event for good, and a
// token that is just being replaced comes back.
func (s *httpSink) authorize(r *http.Request) error {
	if s.tokenFile == "" {
		return nil
	}
	f, err := os.Open(filepath.Clean(s.tokenFile))
	if err != nil {
		return fmt.Errorf("read the token (sink.tokenFile): %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxTokenBytes))
	if err != nil {
		return fmt.Errorf("read the token (sink.tokenFile): %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return fmt.Errorf("the file %s (sink.tokenFile) holds no token", s.tokenFile)
	}
	r.Header["Authorization"] = []string{"Bearer " + token}
	return nil
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
	// An event whose data is itself an encoded event must go in structured mode: in binary mode it would be taken for the
	// inner one. So must one without data to a web hook, which is owed a payload (section 2.1). One without attributes is such an encoded event, in a format that is not understood, and goes as it is.
	if len(event.Attributes) > 0 && (s.structure || s.webHook != nil && len(event.Data) == 0 || rawevent.ModeOf(event.DataContentType) != rawevent.Binary) {
		header["Content-Type"] = []string{rawevent.MediaTypeJSON}
		body = event.AppendJSON(nil)
	} else {
		event.WriteHTTP(header)
	}
	return s.newRequest(ctx, header, body)
}

// newHeader returns what goes with every request, with room for n more.
func (s *httpSink) newHeader(n int) http.Header {
	header := make(http.Header, n+4)
	header["User-Agent"] = []string{s.userAgent}
	maps.Copy(header, s.header)
	return header
}

func (s *httpSink) newRequest(ctx context.Context, header http.Header, body []byte) *http.Request {
	if s.replies {
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
		// With it, the transport can send again over a new connection what met one that the sink was just closing.
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
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), bound)
}

// redactedURI returns an address without user and query, which may hold secrets, for events and logs.
func redactedURI(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return "unusable-address"
	}
	redacted := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return redacted.String()
}

// describe says in words how an attempt ended.
func (o *outcome) describe() string {
	if o.code == noResponse {
		return "no response: " + string(o.detail)
	}
	return fmt.Sprintf("status %d", o.code)
}
