package stac

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/streamgate/streamgate/gateway/guard"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// newClient returns the client of the configured API.
func newClient(c *Config, userAgent string) (*stacapi.Client, error) {
	return newWatchedClient(c, userAgent, nil)
}

// newWatchedClient returns a client that tells a monitor of requests that fail.
func newWatchedClient(c *Config, userAgent string, monitor *source.Monitor) (*stacapi.Client, error) {
	dial, err := guardedDial(c)
	if err != nil {
		return nil, err
	}
	perSecond := c.RequestsPerSecond
	if c.pace.perSecond > 0 {
		perSecond = float64(c.pace.perSecond)
	}
	return stacapi.New(stacapi.Config{
		URL: c.URL, UserAgent: userAgent, Header: c.header(), Auth: c.Auth.client(), Timeout: c.Timeout.Std(),
		Links: stacapi.Links(c.Links),
		Hosts: c.hosts, RequestsPerSecond: perSecond, MinPause: c.pace.pause,
		Transport: &watchedTransport{
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, DialContext: dial, MaxIdleConnsPerHost: 2, IdleConnTimeout: 90 * time.Second,
				ForceAttemptHTTP2: true,
			},
			monitor: monitor,
		},
	})
}

// watchedTransport tells the monitor of a source of requests that fail, which the client repeats by itself.
type watchedTransport struct {
	*http.Transport
	monitor *source.Monitor
}

// RoundTrip implements http.RoundTripper. It leaves out refusals that a search may meet without failing, as where it
// finds out what a server supports.
func (t *watchedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.Transport.RoundTrip(r)
	ctx := context.WithoutCancel(r.Context())
	switch {
	case errors.Is(r.Context().Err(), context.Canceled): // the source ends
	case err != nil:
		t.monitor.Failed(ctx, fmt.Errorf("no answer from %s: %w", r.URL.Host, err), time.Time{})
	case response.StatusCode == http.StatusTooManyRequests || response.StatusCode >= http.StatusInternalServerError:
		t.monitor.Failed(ctx, fmt.Errorf("%s answered %s", r.URL.Host, response.Status), time.Time{})
	}
	return response, err
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// guardedDial keeps links of the server from leading to addresses that are not public, unless the server itself is not
// public. It returns nil if nothing is to be guarded.
func guardedDial(c *Config) (dialer, error) {
	base, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("parse url: %w", err)
	}
	allowed, err := guard.New(append([]string{base.Hostname()}, c.AllowHosts...))
	if err != nil {
		return nil, fmt.Errorf("allowHosts: %w", err)
	}
	allowed.Key = "allowHosts"
	public, err := guard.New(nil)
	if err != nil {
		return nil, err
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: base})
	if err != nil || proxy != nil || public.CheckHost(base.Hostname()) != nil {
		return nil, nil //nolint:nilerr,nilnil // a proxy, even a wrong one, has rules of its own
	}
	return allowed.DialContext(&net.Dialer{Timeout: 30 * time.Second}), nil
}
