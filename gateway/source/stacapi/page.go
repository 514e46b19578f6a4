package stacapi

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/foreign"
)

// Page is one page of a search, or a file of items.
type Page struct {
	// Items are the items as the server wrote them, for [ParseItem], valid or not. They belong to the receiver.
	Items []json.RawMessage
	// Matched is how many items the server says the search has; -1 if it does not say. It is an estimate.
	Matched int
	// From is where the page came from, which relative links of the items refer to.
	From *url.URL
	// ServerTime is when the page was made, by the server's clock; zero if it did not say.
	ServerTime time.Time
	// Validator identifies the state of a file of items.
	Validator Validator

	next *Link // where it goes on; one that cannot be followed fails when it is
}

// decodePage reads a FeatureCollection. Anything else is an error that a retry may cure: servers in trouble answer 200
// with an HTML page. Members other than the features and the links are not needed, whatever they hold; the items
// are not looked into.
func decodePage(text []byte, a *answer) (*Page, error) {
	p := &Page{Matched: -1, From: a.from, ServerTime: a.serverTime, Validator: a.validator}
	var features, links [][]byte // of which there is one each, unless the server repeats a member
	context := -1
	err := splitObject(text, func(name string, value []byte) {
		switch name {
		case "features":
			features = append(features, value)
		case "links":
			links = append(links, value)
		case "numberMatched":
			p.Matched = countOf(value)
		case "context":
			context = matchedOf(value)
		}
	})
	switch {
	case err != nil:
		return nil, malformed(whyNotObject(text))
	case features == nil:
		return nil, malformed(fmt.Errorf("the JSON object has no features; it begins with %s", beginning(text)))
	}
	if p.Matched < 0 {
		p.Matched = context
	}
	for _, list := range features {
		items, err := splitArray(list)
		if err != nil {
			return nil, malformed(fmt.Errorf("features is not a list, but %s", kindOf(list)))
		}
		for _, item := range items {
			p.Items = append(p.Items, item)
		}
	}
	var all []Link
	for _, raw := range links {
		found, err := decodeLinks(raw)
		if err != nil {
			return nil, malformed(err) // a next link may be among them
		}
		all = append(all, found...)
	}
	p.next = findNext(all, a.method)
	return p, nil
}

// matchedOf reads the context extension.
func matchedOf(context []byte) int {
	matched := -1
	_ = splitObject(context, func(name string, value []byte) { // one that is not an object says nothing
		if name == "matched" {
			matched = countOf(value)
		}
	})
	return matched
}

// whyNotObject says what a text is that is not a JSON object.
func whyNotObject(text []byte) error {
	if _, _, err := cleanJSON(text); err != nil {
		return err
	}
	return fmt.Errorf("the document is %s, not a JSON object", kindOf(text[skipSpace(text, 0):]))
}

// beginning returns the first characters of a JSON text, in one line.
func beginning(text []byte) string {
	if kind := foreign.Describe(text); kind != "" {
		return kind
	}
	return fmt.Sprintf("%.80q", strings.Join(strings.Fields(string(text[:min(len(text), 80)])), " "))
}
