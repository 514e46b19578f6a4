package stacapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Servers behind proxies often do not know by which address they are reached: their links have http instead of https,
// the name of a host that only the proxy can reach, another port, or no path prefix. This file finds the address that
// is meant, which is always one of the API as it was configured.

// Links says what to do with links of the API to addresses other than that of [Config.URL].
type Links string

// The ways to treat links.
const (
	// LinksAuto follows a link as it is given, and resolves it against Config.URL if that proves unusable. It is the
	// default.
	LinksAuto Links = "auto"
	// LinksAsGiven follows links only as they are given.
	LinksAsGiven Links = "asGiven"
	// LinksRebase resolves every link to another host, port or scheme against Config.URL at once.
	LinksRebase Links = "rebase"
)

// maxFailedRebases bounds how often a host gets a second chance that does not help.
const maxFailedRebases = 3

// origins holds what is known of the origins that links lead to. The zero value is empty. It is safe for
// concurrent use.
type origins struct {
	mu    sync.Mutex
	known map[string]*origin
}

type origin struct {
	isUsable, isRebased bool
	failed              int // second chances that did not help
}

func (o *origins) change(name string, f func(*origin)) origin {
	o.mu.Lock()
	defer o.mu.Unlock()
	one := o.known[name]
	if one == nil {
		if o.known == nil || len(o.known) >= maxKnownHosts {
			o.known = map[string]*origin{}
		}
		one = &origin{}
		o.known[name] = one
	}
	f(one)
	return *one
}

func (o *origins) of(name string) origin { return o.change(name, func(*origin) {}) }

// originOf names what the links of a kind have in common: their origin, and whether they are within the path of
// the API.
func (c *Client) originOf(u *url.URL) string {
	name := u.Scheme + "://" + strings.ToLower(u.Host)
	if isWithin(c.base, u) {
		name += "/..."
	}
	return name
}

// errInTheClear is the error of a link from https down to http.
var errInTheClear = errors.New("the link has http although the address of the API has https, " +
	"and is not followed unencrypted")

// place returns the request with the address to ask, and the address to ask if that proves unusable; nil if there is
// none. Nothing is ever sent unencrypted if the API is https.
func (c *Client) place(r *request) (placed *request, other *url.URL, err error) {
	rebased := rebase(c.base, r.url)
	isElsewhere := rebased.Scheme != r.url.Scheme || !sameHost(rebased, r.url)
	isDown := c.base.Scheme == "https" && r.url.Scheme == "http"
	known := c.origins.of(c.originOf(r.url))
	target := r.url
	switch {
	case isDown && c.links == LinksAsGiven:
		return nil, nil, errInTheClear
	case isElsewhere && (c.links == LinksRebase || known.isRebased), known.isRebased:
		target = rebased
	case isDown && strings.EqualFold(c.base.Hostname(), r.url.Hostname()):
		target = asSecure(c.base, r.url)
	case isDown:
		secure := *r.url
		secure.Scheme = "https"
		target = &secure
	}
	if c.links != LinksAsGiven && !known.isUsable && known.failed < maxFailedRebases && rebased.String() != target.String() {
		other = c.withBaseQuery(rebased)
	}
	if target == r.url {
		return r, other, nil
	}
	moved := *r
	moved.url = c.withBaseQuery(target)
	return &moved, other, nil
}

// mayBeElsewhere reports whether an error may come from a wrong address.
func mayBeElsewhere(err error) bool {
	status, ok := errors.AsType[*StatusError](err)
	if !ok {
		return !errors.Is(err, errTooLarge)
	}
	switch status.Code {
	case http.StatusOK, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusGone, http.StatusMisdirectedRequest:
		return true
	}
	return status.Code >= 300 && status.Code < 400 && status.Code != http.StatusNotModified
}

// asSecure returns an address with the scheme and the host of the API, if that is https and the address is http of the
// same host, whatever its port.
func asSecure(api, u *url.URL) *url.URL {
	if api.Scheme != "https" || u.Scheme != "http" || !strings.EqualFold(api.Hostname(), u.Hostname()) {
		return u
	}
	secure := *u
	secure.Scheme, secure.Host = api.Scheme, api.Host
	return &secure
}

// Rebase returns the address that a link of an API means if the server does not know its own: the scheme and the host
// of the API, the path of the API, and what the link has beyond that path. The query of the link is kept.
func Rebase(api *url.URL, link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return link
	}
	return rebase(api, u).String()
}

func rebase(api, u *url.URL) *url.URL {
	rebased := *u
	rebased.Scheme, rebased.Host, rebased.User = api.Scheme, api.Host, nil
	if isWithin(api, u) {
		return &rebased
	}
	rebased.RawPath = "/" + strings.Join(joinPath(rootOf(api), segments(u.EscapedPath())), "/")
	if strings.HasSuffix(u.Path, "/") && !strings.HasSuffix(rebased.RawPath, "/") {
		rebased.RawPath += "/"
	}
	path, err := url.PathUnescape(rebased.RawPath)
	if err != nil {
		return u // never: it is made of escaped paths
	}
	rebased.Path = path
	return &rebased
}

// rootOf returns the segments of the path of the API.
func rootOf(api *url.URL) []string {
	root, err := url.Parse(APIURL(api))
	if err != nil {
		return nil
	}
	return segments(root.EscapedPath())
}

func segments(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

func isWithin(api, u *url.URL) bool {
	root, path := rootOf(api), segments(u.EscapedPath())
	return len(path) >= len(root) && slices.Equal(path[:len(root)], root)
}

// joinPath puts a path behind a root: what both have in common counts once, whether the server has lost a part of the
// root or has another one. What follows is known by its first segment: search or collections.
func joinPath(root, path []string) []string {
	for at := 1; len(root) > 0 && at+len(root) <= len(path); at++ {
		if slices.Equal(path[at:at+len(root)], root) {
			return path[at:]
		}
	}
	for n := min(len(root), len(path)); n > 0; n-- {
		if slices.Equal(root[len(root)-n:], path[:n]) {
			return slices.Concat(root, path[n:])
		}
	}
	at := slices.Index(path, "collections")
	if at < 0 && len(path) > 0 && path[len(path)-1] == "search" {
		at = len(path) - 1
	}
	return slices.Concat(root, path[max(at, 0):])
}

// sameHost reports whether two addresses are on the same host and port; the port may be left out where it is that of
// the scheme.
func sameHost(one, other *url.URL) bool {
	return strings.EqualFold(one.Hostname(), other.Hostname()) && portOf(one) == portOf(other)
}

// portOf returns the port, or "" for that of the scheme.
func portOf(u *url.URL) string {
	if port := u.Port(); port != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		return port
	}
	return ""
}

// Validate returns an error if the value is none of the ways to treat links.
func (l Links) Validate() error {
	switch l {
	case "", LinksAuto, LinksAsGiven, LinksRebase:
		return nil
	}
	return fmt.Errorf("%q is not a way to treat links; write auto, asGiven or rebase", string(l))
}
