package stacapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Link is a link of a landing page, a catalog or a page of items.
type Link struct {
	Rel    string         `json:"rel"`
	Href   string         `json:"href"`
	Type   string         `json:"type"`
	Method string         `json:"method"`
	Header map[string]any `json:"headers"`
	Merge  bool           `json:"merge"`
	// Body goes back as it came: a number may be a token that is longer than a float64.
	Body map[string]json.RawMessage `json:"body"`
}

// ResolveLink returns the address that a document at base means by href. Every link of a server is resolved here.
func ResolveLink(base *url.URL, href string) (*url.URL, error) {
	return base.Parse(escapeControls(href))
}

func (l *Link) resolve(base *url.URL) (*url.URL, error) { return ResolveLink(base, l.Href) }

// isJSON reports whether the link leads to JSON, as far as it says.
func (l *Link) isJSON() bool {
	return l.Type == "" || strings.HasPrefix(l.Type, "application/geo+json") ||
		strings.HasPrefix(l.Type, "application/json")
}

// findNext returns the first next link, or nil.
func findNext(links []Link) *Link {
	at := slices.IndexFunc(links, func(l Link) bool { return l.Rel == "next" && l.Href != "" })
	if at < 0 {
		return nil
	}
	return &links[at]
}

// follow returns the request of a next link, given the request and the address of the page that it stands on (STAC API
// item search, paging): GET unless it says otherwise; with merge, body and headers are added to those of the request
// before, otherwise they replace them.
func (l *Link) follow(previous *request, page *url.URL) (*request, error) {
	target, err := l.resolve(page)
	if err != nil {
		return nil, fmt.Errorf("the next link has no usable address: %w", err)
	}
	next := &request{method: http.MethodGet, url: target, header: http.Header{}, background: previous.background}
	if l.Merge && previous.header != nil {
		next.header = previous.header.Clone()
	}
	l.addHeader(next.header)
	if !strings.EqualFold(l.Method, http.MethodPost) {
		return next, nil
	}
	next.method, next.body = http.MethodPost, map[string]any{}
	if l.Merge {
		maps.Copy(next.body, previous.body)
	}
	for name, value := range l.Body {
		next.body[name] = value
	}
	return next, nil
}

func (l *Link) addHeader(header http.Header) {
	for name, value := range l.Header {
		switch v := value.(type) {
		case string:
			header.Set(name, v)
		case []any:
			header.Del(name)
			for _, one := range v {
				header.Add(name, fmt.Sprint(one))
			}
		}
	}
}

// escapeControls percent-encodes the control characters of an address: the tokens of some servers contain line breaks.
func escapeControls(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			fmt.Fprintf(&b, "%%%02X", s[i])
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
