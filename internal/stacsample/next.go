package stacsample

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
)

const (
	tokenHeader = "X-Page-Session" // of Headers
	tokenLine   = 76               // of NewlineToken
)

// token is a position in a listing: behind the row with a key, or at the start. It is not an offset, so items that are
// added meanwhile do not shift pages.
type token struct {
	Key   []*string       `json:"k,omitempty"`
	Start bool            `json:"s,omitempty"`
	Query json.RawMessage `json:"q,omitempty"` // of PostBodyOnlyToken
	Pad   string          `json:"p,omitempty"` // of NewlineToken, to make the token long enough for a newline

	item *Item // the item of the key, if the token is the id of an item
}

var errBadToken = errors.New("the page token is not valid")

// resume decodes the token of the query, and returns nil if there is none. With PostBodyOnlyToken the query in the
// token replaces that of the request.
func (x *exchange) resume(q *query) (*query, *token, error) {
	text := q.token()
	if text == "" {
		return q, nil, nil
	}
	if x.quirks.NextStyle == Headers && x.r.Header.Get(tokenHeader) != session(text) {
		return nil, nil, fmt.Errorf("header %s is missing or wrong", tokenHeader)
	}
	t, err := x.decode(text)
	if err != nil {
		return nil, nil, err
	}
	if t.Query == nil {
		return q, t, nil
	}
	limit := q.Limit
	if q, err = parsePost(t.Query); err != nil {
		return nil, nil, err
	}
	if limit != nil { // a client may retry with smaller pages
		q.Limit = limit
		q.post["limit"] = mustJSON(*limit)
	}
	return q, t, nil
}

func (x *exchange) encode(t token) string {
	switch x.quirks.NextStyle {
	case PostTokenNoMerge, GetLiteralColon:
		if t.Start {
			return "next::"
		}
		return "next:" + t.item.Collection + ":" + t.item.ID
	case NewlineToken:
		t.Pad = strings.Repeat("-", tokenLine)
		text := base64.StdEncoding.EncodeToString(mustJSON(t))
		var lines []string
		for len(text) > tokenLine {
			lines, text = append(lines, text[:tokenLine]), text[tokenLine:]
		}
		return strings.Join(append(lines, text), "\n")
	default:
		return base64.RawURLEncoding.EncodeToString(mustJSON(t))
	}
}

func (x *exchange) decode(text string) (*token, error) {
	t := &token{}
	encoding := base64.RawURLEncoding
	switch x.quirks.NextStyle {
	case PostTokenNoMerge, GetLiteralColon:
		parts := strings.SplitN(text, ":", 3)
		if len(parts) != 3 || parts[0] != "next" {
			return nil, errBadToken
		}
		t.Start = parts[1] == "" && parts[2] == ""
		t.item = x.catalog.item(parts[1], parts[2])
		if t.item == nil && !t.Start {
			return nil, errBadToken
		}
		return t, nil
	case NewlineToken:
		if len(text) <= tokenLine || text[tokenLine] != '\n' {
			return nil, errBadToken
		}
		encoding = base64.StdEncoding
	default:
	}
	data, err := encoding.DecodeString(text)
	if err != nil || json.Unmarshal(data, t) != nil {
		return nil, errBadToken
	}
	return t, nil
}

// nextLink returns the link to the page of the token, in the style of the quirks.
func (x *exchange) nextLink(q *query, t *token) link {
	style := x.quirks.NextStyle
	if x.r.Method == http.MethodPost && style == PostBodyOnlyToken {
		t.Query = mustJSON(q.withoutToken())
	}
	text := x.encode(*t)
	next := link{Rel: "next", Type: typeGeoJSON, Title: "Next page of items"}
	if style == Headers {
		next.Headers = map[string]string{tokenHeader: session(text)}
	}
	if x.r.Method != http.MethodPost || style == GetHref {
		next.Href = x.nextHref(q, text)
		if style != GetHref {
			next.Method = http.MethodGet
		}
		return next
	}
	next.Method, next.Href = http.MethodPost, x.nextBase()
	next.Body, next.Merge = nextBody(style, q, text)
	return next
}

func nextBody(style NextStyle, q *query, text string) (body any, merge *bool) {
	yes, no := true, false
	switch style {
	case PostMergeTrue:
		return map[string]string{"token": text}, &yes
	case PostBodyOnlyToken:
		return map[string]string{"next": text}, &no
	case PostTokenNoMerge, GetLiteralColon, NewlineToken:
		full := q.withoutToken()
		full["token"] = mustJSON(text)
		return full, nil
	default:
		full := q.withoutToken()
		full["next"] = mustJSON(text)
		return full, &no
	}
}

// nextHref returns the GET request for the next page.
func (x *exchange) nextHref(q *query, text string) string {
	name := map[NextStyle]string{
		GetHref: "cursor", PostMergeFalse: "next", RelativeHref: "next", Headers: "next", PostBodyOnlyToken: "next",
	}[x.quirks.NextStyle]
	if name == "" {
		name = "token"
	}
	escaped := url.QueryEscape(text)
	if x.quirks.NextStyle == GetLiteralColon {
		escaped = strings.ReplaceAll(escaped, "%3A", ":")
	}
	params := name + "=" + escaped
	if rest := q.encode().Encode(); rest != "" {
		params = rest + "&" + params
	}
	return x.nextBase() + "?" + params
}

// nextBase returns the href of the next link without its query.
func (x *exchange) nextBase() string {
	here := x.r.URL.EscapedPath()
	switch {
	case x.quirks.CrossHostNext != "":
		return strings.TrimRight(x.quirks.CrossHostNext, "/") + here
	case x.quirks.NextStyle == RelativeHref:
		return path.Base(here)
	}
	return x.base + here
}

// withoutToken returns the body of the request without its page token.
func (q *query) withoutToken() map[string]json.RawMessage {
	body := map[string]json.RawMessage{}
	for name, member := range q.post {
		if name != "token" && name != "next" && name != "cursor" {
			body[name] = member
		}
	}
	return body
}

// session returns the value of the header that a token requires.
func session(text string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return strconv.FormatUint(h.Sum64(), 36)
}

// mustJSON encodes a value of this package, which cannot fail.
func mustJSON(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}
