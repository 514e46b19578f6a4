package stacapi

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
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
		p, err := decodePage([]byte(c.text), &answer{from: &url.URL{}})
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

// TestPagesOfRealServers reads answers that are modelled on those of two public services, files {"request",
// "response"}, and, where STAC_PAGES names a folder, recorded ones, which are not part of the project.
func TestPagesOfRealServers(t *testing.T) {
	t.Parallel()
	var files []string
	for _, folder := range []string{filepath.Join("testdata", "pages"), os.Getenv("STAC_PAGES")} {
		found, err := filepath.Glob(filepath.Join(folder, "*-page*.json"))
		if err != nil || folder != "" && len(found) == 0 {
			t.Fatalf("no pages in %s, %v", folder, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			t.Fatal(err)
		}
		var recorded struct {
			Request  struct{ URL string }
			Response json.RawMessage
		}
		if err := json.Unmarshal(raw, &recorded); err != nil {
			t.Fatal(err)
		}
		from, err := url.Parse(recorded.Request.URL)
		if err != nil {
			t.Fatal(err)
		}
		p, err := decodePage(recorded.Response, &answer{from: from})
		if err != nil || len(p.Items) == 0 || p.next == nil {
			t.Fatalf("%s: %+v, %v", file, p, err)
		}
		if _, err := p.next.follow(&request{method: "POST", url: from, body: map[string]any{}}, from); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// FuzzPage: no answer of a server ends the program.
func FuzzPage(f *testing.F) {
	f.Add(`{"numberMatched":1,"features":[{"id":"a"}],"links":[{"rel":"next","href":"?x=1","method":"POST","body":{"a":1},"headers":{"x":["1"]}}]}`)
	f.Add(`{"features":[{"id":"a","links":[{"rel":"self","href":"::"}],"properties":{"updated":"2020-01-01T00:00:00Z"}}]}`)
	for _, links := range []string{
		`{"next":{"href":null,"method":"post","body":"{\"t\":1}","merge":"true"}}`, `[{"rel":["NEXT"],"headers":{"X":[1,null]}}]`,
		`[null,7,{"rel":"next","body":[]},{"rel":"next","href":{},"method":"PUT"}]`, `"x"`, `{"rel":"next"}`, `[{"rel":"next","x":tru}]`,
	} {
		f.Add(`{"numberMatched":"5.0","context":{"matched":NaN},"features":[{"id":7,"x":NaN},{"id":"b","y":tru},null],"links":` + links + `}`)
	}
	f.Fuzz(func(t *testing.T, text string) {
		from := &url.URL{Scheme: "https", Host: "example.com", Path: "/search"}
		page, err := decodePage([]byte(text), &answer{from: from})
		if err != nil {
			return
		}
		if page.next != nil {
			for _, method := range []string{"GET", "POST"} {
				if r, err := page.next.follow(&request{method: method, url: from, body: map[string]any{"limit": 1}}, from); err == nil {
					_ = r.key()
				}
			}
		}
		for _, raw := range page.Items {
			if i, err := ParseItem(raw); err == nil {
				_, _ = i.Href(from, "c", from), i.Begins()
				if !json.Valid(i.Raw) || !utf8.Valid(i.Raw) {
					t.Errorf("%q was read as an item", i.Raw)
				}
			}
		}
	})
}
