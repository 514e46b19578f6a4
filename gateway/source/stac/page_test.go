package stac

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
		p, err := decodePage(strings.NewReader(c.text), &url.URL{})
		switch {
		case (err != nil) != c.fails:
			t.Errorf("%s: error %v", name, err)
		case err != nil:
			if status, ok := err.(*statusError); !ok || !status.temporary() { //nolint:errorlint // it is documented as bare
				t.Errorf("%s: %v is not tried again", name, err)
			}
		case len(p.items) != c.items || p.matched != c.matched || (p.next != nil) != (c.next != "") || p.next != nil && p.next.Href != c.next:
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// FuzzPage: no answer of a server ends the program, and every event that is made of one is valid.
func FuzzPage(f *testing.F) {
	f.Add(`{"numberMatched":1,"features":[` + sampleItem + `],"links":[{"rel":"next","href":"?x=1","method":"POST","body":{"a":1},"headers":{"x":["1"]}}]}`)
	f.Add(`{"features":[{"id":"a","links":[{"rel":"self","href":"::"}],"properties":{"updated":"2020-01-01T00:00:00Z"}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		page, err := decodePage(strings.NewReader(text), &url.URL{Scheme: "https", Host: "example.com", Path: "/search"})
		if err != nil {
			return
		}
		if page.next != nil {
			if r, err := page.next.follow(&request{method: "GET", url: page.from}, page.from); err == nil {
				_ = r.key()
			}
		}
		c := NewConfig()
		m, err := newMapper(page.from, c, "watch")
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range page.items {
			i, err := parseItem(raw)
			if err != nil {
				continue
			}
			version, err := i.version()
			if err != nil {
				continue
			}
			for _, c.Event.Profile = range profiles() {
				event, err := m.event(i, "c", version, opCreate, page.from)
				if err == nil {
					err = event.Validate()
				} else {
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", raw, err)
				}
			}
		}
	})
}
