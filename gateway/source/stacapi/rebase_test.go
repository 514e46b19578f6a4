package stacapi

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

func TestRebase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ api, link, want string }{
		{"https://a/", "http://internal:8080/search?t=1", "https://a/search?t=1"},
		{"https://a/stac/v1", "http://internal/search", "https://a/stac/v1/search"},
		{"https://a/stac/v1/", "https://a/search", "https://a/stac/v1/search"},
		{"https://a/api/stac/v1", "https://a/stac/v1/search", "https://a/api/stac/v1/search"},
		{"https://a/stac", "http://internal/private/stac/search", "https://a/stac/search"},
		{"https://a/stac", "http://internal/other/search", "https://a/stac/search"},
		{"https://a/stac/search?key=k", "http://internal/search?t=1", "https://a/stac/search?t=1"},
		{"https://a/stac", "http://i/x/collections/c%2Fd/items/e", "https://a/stac/collections/c%2Fd/items/e"},
		{"https://a:8443/stac", "https://a/stac/search", "https://a:8443/stac/search"},
		{"https://a/stac", "https://a/stac/search?q=%2B", "https://a/stac/search?q=%2B"},
		{"https://a/stac", "http://user:secret@i/stac/", "https://a/stac/"},
		{"https://a/stac/catalog.json", "http://i/stac/x/item.json", "https://a/stac/x/item.json"},
	} {
		if got := Rebase(getFrom(c.api).url, c.link); got != c.want {
			t.Errorf("%s at %s: %s, want %s", c.link, c.api, got, c.want)
		}
	}
}

// proxied is an API behind a proxy with TLS, and what its links call it.
type proxied struct {
	*httptest.Server
	plain   *httptest.Server // what must never be asked
	clear   atomic.Int64     // requests that were sent unencrypted
	refused atomic.Int64     // requests without the credentials
}

func newProxied(t *testing.T, prefix string, link func(p *proxied) string) *proxied {
	t.Helper()
	p := &proxied{}
	p.plain = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.clear.Add(1)
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(p.plain.Close)
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != "secret" {
			p.refused.Add(1)
		}
		base := link(p)
		switch r.URL.Path {
		case prefix + "/":
			_, _ = io.WriteString(w, `{"links":[{"rel":"search","href":"`+base+`/search"}]}`)
		case prefix + "/search":
			next := `{"rel":"next","href":"` + base + `/search?token=2"}`
			items := `{"id":"a"},{"id":"b"}`
			if r.URL.Query().Get("token") == "2" {
				next, items = "", `{"id":"c"}`
			}
			_, _ = io.WriteString(w, `{"features":[`+items+`],"links":[`+next+`]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// TestServersThatDoNotKnowTheirAddress: links with http, of internal hosts, with a lost port or a lost prefix lead to
// the API as it is configured. Nothing is sent unencrypted, and credentials go nowhere else.
func TestServersThatDoNotKnowTheirAddress(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	var asked, leaked atomic.Int64
	other := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("X-Api-Key") != "" {
			leaked.Add(1)
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(other.Close)
	for name, c := range map[string]struct {
		link  func(p *proxied) string
		links Links
		fails bool
	}{
		"http, another port":       {func(p *proxied) string { return p.plain.URL + "/stac" }, LinksAuto, false},
		"http, no prefix":          {func(p *proxied) string { return p.plain.URL }, LinksAuto, false},
		"http, an internal host":   {func(*proxied) string { return "http://stac-api.internal:8080" }, LinksAuto, false},
		"https, an internal host":  {func(*proxied) string { return "https://stac-api.invalid/stac" }, LinksAuto, false},
		"https, nobody listens":    {func(*proxied) string { return "https://" + nobody + "/stac" }, LinksAuto, false},
		"https, another server":    {func(*proxied) string { return other.URL + "/stac" }, LinksAuto, false},
		"no prefix":                {func(p *proxied) string { return p.URL }, LinksAuto, false},
		"no scheme":                {func(*proxied) string { return "//stac-api.invalid" }, LinksAuto, false},
		"rebase":                   {func(*proxied) string { return "https://stac-api.invalid/stac" }, LinksRebase, false},
		"rebase, http":             {func(p *proxied) string { return p.plain.URL }, LinksRebase, false},
		"as given, right":          {func(p *proxied) string { return p.URL + "/stac" }, LinksAsGiven, false},
		"as given, http":           {func(p *proxied) string { return p.plain.URL + "/stac" }, LinksAsGiven, true},
		"as given, another server": {func(*proxied) string { return other.URL + "/stac" }, LinksAsGiven, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxied(t, "/stac", c.link)
			client := testClient(t, p.URL+"/stac/", func(config *Config) {
				config.Header, config.Links = http.Header{"X-Api-Key": {"secret"}}, c.links
				transport, ok := p.Client().Transport.(*http.Transport)
				if !ok {
					t.Fatal("not a transport")
				}
				config.Transport = transport.Clone()
			})
			if err := discover(t, client); err != nil {
				t.Fatal(err)
			}
			var ids []string
			_, err := client.Search(t.Context(), Query{Collection: "c", Limit: 5}, func(_ context.Context, page *Page) error {
				for _, raw := range page.Items {
					ids = append(ids, IDOf(raw))
				}
				return nil
			})
			if c.fails != (err != nil) || !c.fails && strings.Join(ids, "") != "abc" {
				t.Errorf("%v, %v", ids, err)
			}
			if p.clear.Load() > 0 || p.refused.Load() > 0 {
				t.Errorf("%d requests in the clear, %d without credentials", p.clear.Load(), p.refused.Load())
			}
		})
	}
	t.Cleanup(func() {
		if leaked.Load() > 0 {
			t.Error("another host got credentials")
		}
	})
}

// TestAddressesOfItemsBehindAProxy are https where that of the API is.
func TestAddressesOfItemsBehindAProxy(t *testing.T) {
	t.Parallel()
	for self, want := range map[string]string{
		"http://api.example.com:8080/v1/i": "https://api.example.com/v1/i", "http://API.example.com/i": "https://api.example.com/i",
		"https://api.example.com:8443/i": "https://api.example.com:8443/i", "http://other.example.com/i": "http://other.example.com/i",
	} {
		api := getFrom("https://api.example.com/v1").url
		i := &Item{ID: "i", Links: []ItemLink{{"self", self}}}
		if got := i.Href(api, "c", api); got != want {
			t.Errorf("%s is %s, want %s", self, got, want)
		}
	}
}

// TestPortsOfSchemes: an address with the port of its scheme is the same without it.
func TestPortsOfSchemes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		one, other string
		want       bool
	}{
		{"https://a/", "https://A:443/", true}, {"http://a:80/", "http://a/", true}, {"https://a/", "https://a:80/", false},
		{"http://[::1]/", "http://[::1]:80/", true}, {"https://a/", "https://a./", false},
	} {
		one, other := getFrom(c.one).url, getFrom(c.other).url
		if got := trusts(one, other); got != c.want {
			t.Errorf("%s trusts %s: %v", c.one, c.other, got)
		}
	}
}

// FuzzRebase: whatever a link is, it leads to the API, and to its path.
func FuzzRebase(f *testing.F) {
	f.Add("https://a/stac", "http://internal:8080/search?t=1")
	f.Add("https://a/stac/search", "//i/%2F/collections/c%2Fd")
	f.Add("http://a:1/x/catalog.json", "?a=b")
	f.Fuzz(func(t *testing.T, api, link string) {
		base, err := url.Parse(api)
		if err != nil || base.Host == "" || base.Opaque != "" {
			return
		}
		target, err := base.Parse(link)
		if err != nil || target.Opaque != "" {
			return
		}
		got := rebase(base, target)
		if got != target && (got.Scheme != base.Scheme || got.Host != base.Host || got.User != nil || !isWithin(base, got)) {
			t.Errorf("%s at %s: %s", link, api, got)
		}
	})
}
