package stacapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Link is a link of a landing page, a catalog or a page of items. Decoding one from JSON fails only if it is not an
// object: a member that cannot be read is treated as missing, unless the link cannot be followed without it.
type Link struct {
	// Rel holds the relations of the link in lower case, separated by blanks; see Is.
	Rel    string
	Href   string
	Type   string
	Method string // in upper case
	Header map[string]any
	Merge  bool
	// Body goes back as it came: a number may be a token that is longer than a float64.
	Body map[string]json.RawMessage

	unusable string // why the link cannot be followed as a next link; "" if it can
}

// Is reports whether the link has a relation.
func (l *Link) Is(relation string) bool {
	return slices.ContainsFunc(strings.Fields(l.Rel), func(one string) bool {
		return one == relation || strings.HasSuffix(one, "/relation/"+relation)
	})
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *Link) UnmarshalJSON(text []byte) error {
	var m Members
	if err := json.Unmarshal(text, &m); err != nil || m == nil {
		return fmt.Errorf("the link is not an object, but %s", kindOf(text))
	}
	*l = Link{Rel: relations(m["rel"])}
	l.Href, _ = textOf(m["href"])
	l.Href = strings.TrimSpace(l.Href)
	l.Type, _ = textOf(m["type"])
	l.readMethod(m["method"])
	l.readMerge(m["merge"])
	l.readBody(m["body"])
	l.readHeader(m["headers"])
	return nil
}

// relations reads the relations of a link, which may be a list.
func relations(raw json.RawMessage) string {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	}
	names := make([]string, 0, len(list))
	for _, one := range list {
		if name, ok := textOf(one); ok {
			names = append(names, strings.ToLower(strings.TrimSpace(name)))
		}
	}
	return strings.Join(names, " ")
}

func (l *Link) reject(format string, args ...any) {
	if l.unusable == "" {
		l.unusable = fmt.Sprintf(format, args...)
	}
}

func (l *Link) readMethod(raw json.RawMessage) {
	method, ok := textOf(raw)
	l.Method = strings.ToUpper(strings.TrimSpace(method))
	switch {
	case !ok:
		l.reject("its method is %s", kindOf(raw))
	case l.Method != "" && l.Method != http.MethodGet && l.Method != http.MethodPost:
		l.reject("its method is %.20q; supported are GET and POST", l.Method)
	}
}

func (l *Link) readMerge(raw json.RawMessage) {
	var ok bool
	if l.Merge, ok = boolOf(raw); !ok {
		l.reject("its merge is neither true nor false")
	}
}

// readBody reads a body, which some servers write as text.
func (l *Link) readBody(raw json.RawMessage) {
	if isMissing(raw) {
		return
	}
	if text, ok := textOf(raw); ok && raw[0] == '"' {
		if strings.TrimSpace(text) == "" {
			return
		}
		raw = json.RawMessage(text)
	}
	if json.Unmarshal(raw, &l.Body) != nil {
		l.reject("its body is %s, not an object", kindOf(bytes.TrimSpace(raw)))
	}
}

func (l *Link) readHeader(raw json.RawMessage) {
	if isMissing(raw) {
		return
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		l.reject("its headers are %s, not an object", kindOf(raw))
		return
	}
	l.Header = map[string]any{}
	for name, value := range members {
		if isMissing(value) {
			continue
		}
		var list []json.RawMessage
		if json.Unmarshal(value, &list) != nil {
			list = []json.RawMessage{value}
		}
		values := make([]any, 0, len(list))
		for _, one := range list {
			text, ok := textOf(one)
			if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(text) {
				l.reject("its header %.40q is not valid", name)
				continue
			}
			values = append(values, text)
		}
		l.Header[name] = values
	}
}

// decodeLinks reads the links of a document: a list, or an object with a member for each relation, as HAL has them. An
// element without a relation that can be read leads nowhere and is left out.
func decodeLinks(raw []byte) ([]Link, error) {
	if isMissing(raw) {
		return nil, nil
	}
	if raw[0] == '{' {
		return linksByRelation(raw)
	}
	elements, err := splitArray(raw)
	if err != nil {
		return nil, fmt.Errorf("links is neither a list nor an object, but %s", kindOf(raw))
	}
	links := make([]Link, 0, len(elements))
	for _, element := range elements {
		links = appendLink(links, element, "")
	}
	return links, nil
}

// linksByRelation reads an object of links, or one that is a link itself.
func linksByRelation(raw []byte) (links []Link, err error) {
	isLink := false
	err = splitObject(raw, func(name string, value []byte) {
		isLink = isLink || (name == "rel" || name == "href") && value[0] == '"'
	})
	if err == nil && isLink {
		return appendLink(nil, raw, ""), nil
	}
	err = splitObject(raw, func(name string, value []byte) {
		list, err := splitArray(value)
		if err != nil {
			list = [][]byte{value}
		}
		for _, one := range list {
			links = appendLink(links, one, strings.ToLower(name))
		}
	})
	return links, err
}

// appendLink appends a link, which may be only an address where its relation is known. A link with a broken member is
// kept, because it may be the next link: it fails when it is followed.
func appendLink(links []Link, raw []byte, relation string) []Link {
	var l Link
	clean, _, err := cleanJSON(raw)
	switch {
	case err != nil:
		l = brokenLink(raw)
	case json.Unmarshal(clean, &l) != nil:
		href, ok := textOf(clean)
		if !ok || relation == "" || isMissing(clean) {
			return links
		}
		l = Link{Href: href}
	}
	if l.Rel == "" {
		l.Rel = relation
	}
	if l.Rel == "" {
		return links
	}
	return append(links, l)
}

// brokenLink returns what can be told of a link that is not valid JSON: its relation.
func brokenLink(raw []byte) (l Link) {
	_ = splitObject(raw, func(name string, value []byte) { // as far as it goes
		if name == "rel" && json.Valid(value) {
			l.Rel = relations(value)
		}
	})
	l.reject("it is not valid JSON")
	return l
}

// ResolveLink returns the address that a document at base means by href. Every link of a server is resolved here.
func ResolveLink(base *url.URL, href string) (*url.URL, error) {
	return base.Parse(escapeControls(strings.TrimSpace(href)))
}

func (l *Link) resolve(base *url.URL) (*url.URL, error) {
	if l.Href == "" {
		return nil, errors.New("it has no address")
	}
	return ResolveLink(base, l.Href)
}

// isJSON reports whether the link leads to JSON, as far as it says.
func (l *Link) isJSON() bool {
	mediaType := strings.ToLower(strings.TrimSpace(l.Type))
	return mediaType == "" || strings.HasPrefix(mediaType, "application/geo+json") ||
		strings.HasPrefix(mediaType, "application/json")
}

// findNext returns the best of the next links, or nil if there is none: one that can be followed before one that
// cannot, one of JSON before one of another type, and one with the method of the request before another. A document
// whose only next link cannot be used has one nevertheless: it is not the last page.
func findNext(links []Link, method string) *Link {
	var best *Link
	points := -1
	for i := range links {
		l := &links[i]
		if !l.Is("next") {
			continue
		}
		score := 0
		if l.unusable == "" && (l.Href != "" || l.hasMore()) {
			score += 4
		}
		if l.isJSON() {
			score += 2
		}
		if method != "" && l.method() == method {
			score++
		}
		if score > points {
			best, points = l, score
		}
	}
	return best
}

// hasMore reports whether the link says something besides its address that makes another request.
func (l *Link) hasMore() bool {
	return len(l.Header) > 0 || len(l.Body) > 0 && l.method() == http.MethodPost
}

// method returns the method of the request: GET by default (STAC API item search, paging), but a body can only be sent
// with POST.
func (l *Link) method() string {
	if l.Method == "" && len(l.Body) > 0 {
		return http.MethodPost
	}
	if l.Method == "" {
		return http.MethodGet
	}
	return l.Method
}

// errNextLink is wrapped by the error of a next link that is there, but cannot be followed.
var errNextLink = errors.New("there is a next link, but it cannot be followed")

// follow returns the request of a next link, given the request and the address of the page that it stands on (STAC API
// item search, paging): with merge, body and headers are added to those of the request before, otherwise they replace
// them. A link that has a token in its body or headers and no address means the address of the search.
func (l *Link) follow(previous *request, page *url.URL) (*request, error) {
	if l.unusable != "" {
		return nil, fmt.Errorf("%w: %s", errNextLink, l.unusable)
	}
	target := previous.url
	if l.Href != "" || !l.hasMore() {
		var err error
		if target, err = l.resolve(page); err != nil {
			return nil, fmt.Errorf("%w: %s", errNextLink, whyUnresolved(err))
		}
	}
	next := &request{method: l.method(), url: target, header: http.Header{}, background: previous.background}
	if l.Merge && previous.header != nil {
		next.header = previous.header.Clone()
	}
	l.addHeader(next.header)
	if next.method != http.MethodPost {
		return next, nil
	}
	next.body = map[string]any{}
	if l.Merge {
		maps.Copy(next.body, previous.body)
	}
	for name, value := range l.Body {
		next.body[name] = value
	}
	return next, nil
}

// whyUnresolved leaves out the address, which may hold a key.
func whyUnresolved(err error) string {
	if _, ok := errors.AsType[*url.Error](err); ok {
		return "its href is not a valid address"
	}
	return err.Error()
}

func (l *Link) addHeader(header http.Header) {
	for name, value := range l.Header {
		values, _ := value.([]any) // readHeader makes nothing else
		header.Del(name)
		for _, one := range values {
			header.Add(name, fmt.Sprint(one))
		}
	}
}

// escapeControls percent-encodes the control characters and blanks of an address: the tokens of some servers contain
// line breaks.
func escapeControls(s string) string {
	isBad := func(r rune) bool { return r <= ' ' || r == 0x7f }
	if !strings.ContainsFunc(s, isBad) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] == 0x7f {
			fmt.Fprintf(&b, "%%%02X", s[i])
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
