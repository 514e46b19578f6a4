package builtin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/streamgate/streamgate/gateway/foreign"
)

// Bounds of what is quoted of an answer.
const (
	maxFeedQuote = 200 // characters of a failure
	maxFeedNames = 10  // members of a document
)

// readFeed returns the list in an answer. Anything else is an error that says what the answer is: that a list is empty
// is said by an empty list only.
func readFeed(response *http.Response, items string) ([]json.RawMessage, error) {
	options := foreign.ForResponse(response.Header, maxFeedBytes)
	if response.StatusCode != http.StatusOK {
		return nil, refusal(response, options)
	}
	text, err := foreign.ReadJSON(response.Body, options)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", describeAnswer(response), err)
	}
	raw, err := member(text.Bytes, items)
	if err != nil {
		return nil, fmt.Errorf("%s, but items (%q) leads to nothing: %w", describeAnswer(response), items, err)
	}
	var list []json.RawMessage
	if raw = bytes.TrimSpace(raw); json.Unmarshal(raw, &list) == nil && list != nil {
		return list, nil
	}
	remedy := ""
	if len(raw) > 0 && raw[0] == '{' {
		remedy = "; write into items where the list is"
	}
	if items == "" {
		return nil, fmt.Errorf("%s, but the document is %s, not a list%s", describeAnswer(response), kindOf(raw), remedy)
	}
	return nil, fmt.Errorf("%s, but what is at items (%q) is %s, not a list", describeAnswer(response), items, kindOf(raw))
}

// describeAnswer says what was asked, without what may be secret, and how it was answered.
func describeAnswer(response *http.Response) string {
	asked := response.Request.URL
	kind, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	return fmt.Sprintf("%s://%s%s answered %d (%.80s)",
		asked.Scheme, asked.Host, asked.EscapedPath(), response.StatusCode, cmp.Or(kind, "no content type"))
}

// refusal describes an answer other than 200.
func refusal(response *http.Response, options foreign.Options) error {
	if to, err := response.Location(); err == nil {
		return fmt.Errorf("%s: it redirects to %s://%s%s, which is not followed; write that address into url",
			describeAnswer(response), to.Scheme, to.Host, to.EscapedPath())
	}
	options.Limit = 64 << 10
	said := ""
	if reader, err := foreign.NewReader(response.Body, options); err == nil {
		text, _ := io.ReadAll(io.LimitReader(reader, 4<<10)) // what came before an error will do
		said = strings.ToValidUTF8(strings.Join(strings.Fields(string(text)), " "), "?")
		if strings.HasPrefix(said, "<") {
			said = foreign.Describe(text)
		}
	}
	remedy := ""
	switch response.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		remedy = "; check the credentials in headers"
	case http.StatusNotFound, http.StatusGone:
		remedy = "; check url"
	}
	if said != "" {
		said = fmt.Sprintf(": %.*s", maxFeedQuote, said)
	}
	return fmt.Errorf("%s%s%s", describeAnswer(response), said, remedy)
}

// kindOf describes a JSON value, of an object with the names of its members.
func kindOf(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	var object map[string]json.RawMessage
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return "null"
	case json.Unmarshal(raw, &object) == nil:
		names := slices.Sorted(maps.Keys(object))
		if len(names) == 0 {
			return "an empty object"
		}
		more := ""
		if len(names) > maxFeedNames {
			names, more = names[:maxFeedNames], ", ..."
		}
		return fmt.Sprintf("an object with the members %.200s%s", strings.Join(names, ", "), more)
	case raw[0] == '[':
		return "a list"
	case raw[0] == '"':
		return "text"
	case raw[0] == 't' || raw[0] == 'f':
		return "a Boolean"
	}
	return "a number"
}
