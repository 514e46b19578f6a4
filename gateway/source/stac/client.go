package stac

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/streamgate/streamgate/gateway/guard"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// newClient returns the client of the configured API.
func newClient(c *Config, userAgent string) (*stacapi.Client, error) {
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
		Hosts: c.hosts, RequestsPerSecond: perSecond, MinPause: c.pace.pause, DialContext: dial,
		Links: stacapi.Links(c.Links),
	})
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
