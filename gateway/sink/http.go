package sink

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
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

	"github.com/streamgate/streamgate/gateway/webhook"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Bounds on what a sink can make the gateway do.
const (
	maxResponseBytes = 64 << 10 // read of an answer; a longer one costs the connection
	MaxDetailBytes   = 1024     // kept of an answer for knativeerrordata, as Knative does
	maxReplyBytes    = 1 << 20  // an event in an answer
)

// httpSink posts events to one address.
type httpSink struct {
	target    *url.URL
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
	webHook   *webhook.Sender // nil: it need not agree
}

func newHTTPSink(c *Config, o *Options) (*httpSink, error) {
	target, err := url.Parse(c.URI)
	if err != nil {
		return nil, errors.New("the sink's address cannot be parsed") // the parser's error repeats it, with its password
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	s := &httpSink{
		structure: o.Format == FormatJSON, timeout: o.Timeout, userAgent: o.UserAgent,
		replies: o.Replies && o.Format != FormatBatch, maxAfter: o.MaxRetryAfter, tokenFile: c.TokenFile,
		// It is used without an http.Client: a sink MUST NOT redirect, and a sender must not follow (CloudEvents HTTP webhook
		// section 2.2); cookies are nothing for events either.
		transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
			// With net/http's default of 2, most deliveries of a busy subscription would open a connection of their own.
			MaxIdleConnsPerHost: o.Connections, MaxConnsPerHost: o.Connections,
			IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
			DisableCompression: true, MaxResponseHeaderBytes: maxResponseBytes,
			TLSClientConfig: trusting(c.CACerts),
		},
	}
	if c.Guard != nil { // a proxy would be asked for what the guard cannot see
		s.transport.Proxy, s.transport.DialContext = nil, c.Guard.DialContext(dialer)
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
	if user := target.User; user != nil {
		password, _ := user.Password()
		s.basicAuth = "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
	}
	target.User, target.Fragment = nil, ""
	s.target = target
	return s, nil
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

// Close implements [Sink].
func (s *httpSink) Close() { s.transport.CloseIdleConnections() }

// Finish implements [Sink]: nothing waits here.
func (s *httpSink) Finish() {}

// Deliver implements [Sink].
func (s *httpSink) Deliver(ctx context.Context, item *Item) Outcome {
	return s.post(ctx, func(ctx context.Context) *http.Request { return s.request(ctx, &item.Event) })
}

// post makes one request, once the sink has agreed to it.
func (s *httpSink) post(ctx context.Context, build func(context.Context) *http.Request) Outcome {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if s.webHook != nil {
		if err := s.webHook.Ready(ctx, s.options); err != nil {
			return Outcome{Code: NoResponse, Detail: []byte(err.Error())}
		}
	}
	request := build(ctx)
	if err := s.authorize(request); err != nil {
		return Outcome{Code: NoResponse, Detail: []byte(err.Error())}
	}
	response, err := s.transport.RoundTrip(request)
	if err != nil {
		return Outcome{Code: NoResponse, Detail: []byte(err.Error())}
	}
	defer func() { _ = response.Body.Close() }()
	o := Outcome{Code: response.StatusCode}
	if s.webHook != nil {
		s.webHook.Note(o.Code)
		if o.Code == http.StatusGone { // it is the sink that is gone, not the event
			o.Code, o.Detail = NoResponse, []byte("the sink has said that it is gone for good (410)")
			return o
		}
	}
	if after := response.Header.Get("Retry-After"); after != "" {
		o.RetryAfter = parseRetryAfter(after, time.Now(), s.maxAfter)
	}
	switch {
	case s.replies && o.Verdict() == Delivered:
		s.readReply(&o, response)
	case response.ContentLength != 0:
		o.Detail, _ = io.ReadAll(io.LimitReader(response.Body, MaxDetailBytes))     // what came before an error will do
		_, _ = io.CopyN(io.Discard, response.Body, maxResponseBytes-MaxDetailBytes) // to use the connection again
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

// RedactedURI returns an address without user and query, which may hold secrets, for events and logs.
func RedactedURI(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return "unusable-address"
	}
	redacted := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return redacted.String()
}
