package sink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

// newTransport returns the transport of a sink. It is used without an http.Client: a sink must not redirect, and a
// sender must not follow (CloudEvents HTTP webhook section 2.2); cookies have no place between event senders and
// receivers either.
func newTransport(target *url.URL, c *Config, o *Options) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
		// With net/http's default of 2, most deliveries of a busy subscription would open a connection of their own.
		MaxIdleConnsPerHost: o.Connections, MaxConnsPerHost: o.Connections,
		IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		DisableCompression: true, MaxResponseHeaderBytes: maxResponseBytes,
		TLSClientConfig: trusting(c.CACerts),
	}
	if c.Guard != nil { // a proxy would be asked for what the guard cannot see
		t.Proxy, t.DialContext = nil, c.Guard.DialContext(dialer)
	}
	if target.Scheme == "http" {
		t.DialContext = watchSurplus(t.DialContext, o.Logger)
	}
	return t
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

// roundTrip sends the request that build returns. Where it went over a connection that was kept open, and that
// connection broke before any byte of an answer came, the sink was most likely closing it at that moment, and did not
// see the request: it is sent once more, over a new connection. That is part of the same attempt. If the sink did see
// it, it gets the event twice, which at-least-once delivery permits.
func (s *httpSink) roundTrip(ctx context.Context, build func(context.Context) *http.Request) (*http.Response, error) {
	var way connection
	response, err := s.send(httptrace.WithClientTrace(ctx, way.trace()), s.transport, build)
	if err == nil || !way.brokeSilently(err) || ctx.Err() != nil {
		return response, err
	}
	return s.send(ctx, s.fresh, build)
}

func (s *httpSink) send(
	ctx context.Context, over http.RoundTripper, build func(context.Context) *http.Request,
) (*http.Response, error) {
	request := build(ctx)
	if err := s.authorize(request); err != nil {
		return nil, err
	}
	return over.RoundTrip(request)
}

// connection notes what happens on the way of one request. The transport calls from goroutines of its own.
type connection struct {
	kept     atomic.Bool // it has carried another request before
	answered atomic.Bool // a byte of an answer came
}

func (c *connection) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			c.kept.Store(info.Reused)
			c.answered.Store(false)
		},
		GotFirstResponseByte: func() { c.answered.Store(true) },
	}
}

// brokeSilently reports whether an error is that of a kept connection that broke without any answer.
func (c *connection) brokeSilently(err error) bool {
	if !c.kept.Load() || c.answered.Load() {
		return false
	}
	var refused *tokenError
	var reset streamError
	if errors.As(err, &refused) {
		return false // it was not sent
	}
	// A sink that resets a single HTTP/2 stream has answered in its way, unless it says that it did not look at the
	// request.
	return !errors.As(err, &reset) || reset.Code == http2RefusedStream
}

// streamError is the form in which net/http shows its own error of an HTTP/2 stream: errors.As fills any struct whose
// fields have these names (see http2.StreamError of golang.org/x/net, which is not needed otherwise).
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error implements error, which errors.As asks for.
func (streamError) Error() string { return "an HTTP/2 stream was reset" }

const http2RefusedStream = 0x7 // RFC 9113 section 7
