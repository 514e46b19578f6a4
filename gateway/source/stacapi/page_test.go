package stacapi

import (
	"net/url"
	"strings"
	"testing"
)

func TestPages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text           string
		items, matched int
		next           string
		fails          bool
	}{
		"empty":            {`{"type":"FeatureCollection","features":[]}`, 0, -1, "", false},
		"numberMatched":    {`{"numberMatched":7,"features":[{"id":"a"}],"links":[{"rel":"self","href":"s"},{"rel":"next","href":"n"}]}`, 1, 7, "n", false},
		"context":          {`{"context":{"matched":8,"limit":1},"links":[],"features":[{"id":"a"},{"id":"b"}]}`, 2, 8, "", false},
		"null matched":     {`{"numberMatched":null,"features":[]}`, 0, -1, "", false},
		"HTML":             {`<html><body>Bad gateway</body></html>`, 0, 0, "", true},
		"nothing":          {``, 0, 0, "", true},
		"an array":         {`[]`, 0, 0, "", true},
		"an error as JSON": {`{"message":"Internal server error"}`, 0, 0, "", true},
		"cut off":          {`{"features":[{"id":"a"},`, 0, 0, "", true},
		"features no list": {`{"features":{}}`, 0, 0, "", true},
	} {
		p, err := decodePage(strings.NewReader(c.text), &answer{from: &url.URL{}})
		switch {
		case (err != nil) != c.fails:
			t.Errorf("%s: error %v", name, err)
		case err != nil:
			if status, ok := err.(*StatusError); !ok || !status.Temporary() { //nolint:errorlint // it is documented as bare
				t.Errorf("%s: %v is not tried again", name, err)
			}
		case len(p.Items) != c.items || p.Matched != c.matched || (p.next != nil) != (c.next != "") || p.next != nil && p.next.Href != c.next:
			t.Errorf("%s: %+v", name, p)
		}
	}
}
