package stacapi

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/time/rate"
)

// Defaults of [Config].
const (
	DefaultTimeout           = time.Minute
	DefaultRequestsPerSecond = 2
	DefaultMinPause          = 500 * time.Millisecond
)

// Config says which API a [Client] talks to, and how. Only URL is required.
type Config struct {
	// URL is the landing page of the API, its search endpoint (a path that ends with /search), or the root document of
	// a static catalog. Its query string is added to every request to the same host: some services expect a key there.
	URL string
	// UserAgent is sent with every request. If it is empty, net/http sends its own.
	UserAgent string
	// Header is sent with every request to the host of URL, and to no other host: it may hold credentials.
	Header http.Header
	// Auth says how requests to the host of URL authenticate; the zero value sends no token.
	Auth Auth
	// Links says what to do with links to addresses other than that of URL; "" is LinksAuto.
	Links Links
	// Timeout bounds one request, including its body; 0 is DefaultTimeout.
	Timeout time.Duration
	// Hosts holds the limits that several clients share; nil gives the client limits of its own.
	Hosts *Hosts
	// RequestsPerSecond is the highest rate of requests to one host; 0 is DefaultRequestsPerSecond. Among the clients
	// that share Hosts, the lowest rate counts.
	RequestsPerSecond float64
	// MinPause is the shortest pause before a request is repeated; 0 is DefaultMinPause.
	MinPause time.Duration
	// DialContext opens connections; nil is a plain net.Dialer. A caller that must not be led into private networks
	// passes a guarded one here.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Transport replaces the HTTP transport, and DialContext with it; nil is a transport that uses the proxy of the
	// environment. It must not follow redirects or retry.
	Transport http.RoundTripper
}

// New returns a client. It does no I/O. The caller must call [Client.Close] at the end.
func New(c Config) (*Client, error) {
	base, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("parse the URL of the STAC API: %w", err)
	}
	if err := c.Links.Validate(); err != nil {
		return nil, err
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.RequestsPerSecond == 0 {
		c.RequestsPerSecond = DefaultRequestsPerSecond
	}
	if c.MinPause == 0 {
		c.MinPause = DefaultMinPause
	}
	if c.Hosts == nil {
		c.Hosts = NewHosts()
	}
	return &Client{
		base: base, header: c.Header.Clone(), userAgent: c.UserAgent,
		hosts: c.Hosts, perSecond: rate.Limit(c.RequestsPerSecond), pause: c.MinPause, maxBody: maxResponse, links: c.Links,
		http:   &http.Client{Timeout: c.Timeout, Transport: c.transport(), CheckRedirect: checkRedirect},
		tokens: tokens{auth: c.Auth, http: &http.Client{Timeout: c.Timeout, CheckRedirect: noRedirect}},
	}, nil
}

func (c *Config) transport() http.RoundTripper {
	if c.Transport != nil {
		return c.Transport
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: c.DialContext, MaxIdleConnsPerHost: 2,
		IdleConnTimeout: 90 * time.Second, ForceAttemptHTTP2: true,
	}
}
