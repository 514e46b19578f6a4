package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Bounds on what a sink can make the gateway do.
const (
	maxResponseBytes = 64 << 10         // read of an answer; a longer one costs the connection
	maxErrorBytes    = 1024             // kept of an answer for knativeerrordata, as Knative does
	maxRetryAfter    = 15 * time.Minute // longest delay that a sink can ask for
)

// noResponse is the code of a delivery to which no HTTP answer came, as in Knative.
const noResponse = -1

// outcome is how one attempt to deliver ended.
type outcome struct {
	code       int           // HTTP status, or noResponse
	detail     []byte        // beginning of the answer's body, or why there is none
	retryAfter time.Duration // what the sink asked for; 0 if nothing
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
	case o.code == noResponse || o.code >= 500,
		o.code == http.StatusNotFound, o.code == http.StatusRequestTimeout,
		o.code == http.StatusConflict, o.code == http.StatusTooManyRequests:
		return retryable
	default:
		return rejected
	}
}

// httpSink posts events to one address.
type httpSink struct {
	uri       string
	structure bool
	timeout   time.Duration
	client    *http.Client
	userAgent string
}

func newHTTPSink(c *SubscriptionConfig, userAgent string) *httpSink {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &httpSink{
		uri: c.Sink.URI, structure: c.Delivery.Format == "json", timeout: c.Delivery.Timeout.Std(), userAgent: userAgent,
		client: &http.Client{
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
				// With net/http's default of 2, most deliveries of a busy subscription would open a connection of their own.
				MaxIdleConnsPerHost: c.Concurrency, MaxConnsPerHost: c.Concurrency,
				IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
				DisableCompression: true, MaxResponseHeaderBytes: maxResponseBytes,
			},
			// A sink MUST NOT redirect, and a sender must not follow (CloudEvents HTTP webhook section 2.2).
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// close drops the idle connections.
func (s *httpSink) close() { s.client.CloseIdleConnections() }

// deliver makes one attempt. It returns when the sink has answered, or the timeout or ctx has ended.
func (s *httpSink) deliver(ctx context.Context, event *rawevent.Event) outcome {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	header, body := http.Header{"User-Agent": []string{s.userAgent}}, event.Data
	// An event whose data is itself an encoded event must go in structured mode: in binary mode it would be taken for the
	// inner one. One without attributes is such an encoded event, in a format that is not understood, and goes as it is.
	if len(event.Attributes) > 0 && (s.structure || rawevent.ModeOf(event.DataContentType) != rawevent.Binary) {
		header["Content-Type"] = []string{rawevent.MediaTypeJSON}
		body = event.AppendJSON(nil)
	} else {
		event.WriteHTTP(header)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.uri, bytes.NewReader(body))
	if err != nil {
		return outcome{code: noResponse, detail: []byte("the sink's address is not usable")}
	}
	request.Header = header
	response, err := s.client.Do(request)
	if err != nil {
		return outcome{code: noResponse, detail: []byte(withoutAddress(err).Error())}
	}
	defer func() { _ = response.Body.Close() }()
	detail, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBytes))      // what came before an error will do
	_, _ = io.CopyN(io.Discard, response.Body, maxResponseBytes-maxErrorBytes) // to use the connection again
	return outcome{
		code: response.StatusCode, detail: detail,
		retryAfter: parseRetryAfter(response.Header.Get("Retry-After"), time.Now()),
	}
}

// withoutAddress drops the address from an error of http.Client, as it may hold a secret.
func withoutAddress(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// parseRetryAfter reads both forms of the header (RFC 9110 section 10.2.3); 0 if it says nothing, or nonsense.
func parseRetryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	var wait time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
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
