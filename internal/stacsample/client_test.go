package stacsample

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
)

var start = time.Date(2021, 12, 30, 18, 55, 0, 0, time.UTC)

// answer is a complete response.
type answer struct {
	status int
	header http.Header
	body   []byte
	url    *url.URL // of the request
}

type testPage struct {
	Features []struct {
		ID         string
		Collection string
		Geometry   json.RawMessage
		Properties map[string]any
		Links      []testLink
		Assets     map[string]Asset
	}
	Links          []testLink
	NumberMatched  *int
	NumberReturned *int
}

type testLink struct {
	Rel, Type, Href, Method string
	Headers                 map[string]string
	Body                    map[string]any
	Merge                   *bool
}

func (p *testPage) next() *testLink {
	for _, one := range p.Links {
		if one.Rel == "next" {
			return &one
		}
	}
	return nil
}

func (p *testPage) ids() []string {
	ids := []string{}
	for _, one := range p.Features {
		ids = append(ids, one.ID)
	}
	return ids
}

// setup serves a catalogue with n scenes.
func setup(t *testing.T, n int, quirks Quirks) (*Catalog, *httptest.Server) {
	t.Helper()
	c := New(WithQuirks(quirks))
	c.AddCollection(SceneCollection, "Sentinel-2 Level 2A")
	for _, item := range Scenes(n, start) {
		c.Put(item)
	}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	return c, server
}

func send(t *testing.T, method, target string, body any, headers map[string]string) answer {
	t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = bytes.NewBufferString(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, target, reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, data, response.Request.URL}
}

func get(t *testing.T, target string) answer {
	t.Helper()
	return send(t, http.MethodGet, target, nil, nil)
}

// decode decodes an answer, which must have the status.
func decode[T any](t *testing.T, a answer, status int) T {
	t.Helper()
	var v T
	if a.status != status {
		t.Fatalf("%s: status %d, want %d: %.300s", a.url, a.status, status, a.body)
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%s: %v: %.300s", a.url, err, a.body)
	}
	return v
}

// first is the first request of a walk.
type first struct {
	method, target string
	body           map[string]any
}

// walk follows next links by the rules of the specification, and returns at most most pages.
func walk(t *testing.T, f first, most int) []testPage {
	t.Helper()
	method, target, body, headers := f.method, f.target, any(nil), map[string]string(nil)
	if f.body != nil {
		body = f.body
	}
	var pages []testPage
	for len(pages) < most {
		a := send(t, method, target, body, headers)
		page := decode[testPage](t, a, http.StatusOK)
		pages = append(pages, page)
		next := page.next()
		if next == nil {
			return pages
		}
		href, err := url.Parse(next.Href)
		if err != nil {
			t.Fatal(err)
		}
		method, target, headers = next.Method, a.url.ResolveReference(href).String(), next.Headers
		if method == "" {
			method = http.MethodGet
		}
		body = nil
		if method == http.MethodPost {
			members := map[string]any{}
			if next.Merge != nil && *next.Merge {
				maps.Copy(members, f.body)
			}
			maps.Copy(members, next.Body)
			body = members
		}
	}
	return pages
}

func allIDs(pages []testPage) []string {
	ids := []string{}
	for _, page := range pages {
		ids = append(ids, page.ids()...)
	}
	return ids
}

// distinct returns the number of different ids.
func distinct(ids []string) int {
	seen := map[string]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	return len(seen)
}
