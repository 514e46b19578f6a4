package stac

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// readPage returns an answer of a server as the client reads it.
func readPage(t *testing.T, text []byte, from *url.URL) (*stacapi.Page, error) {
	t.Helper()
	client, err := stacapi.New(stacapi.Config{
		URL: "https://example.com/search", RequestsPerSecond: math.MaxFloat64, MinPause: time.Nanosecond,
		Transport: answering(func() *http.Response {
			return &http.Response{
				StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(text)), Request: &http.Request{Method: http.MethodGet, URL: from},
			}
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Discover(t.Context()); err != nil {
		t.Fatal(err)
	}
	return client.FirstPage(t.Context(), stacapi.Query{Collection: "c", Limit: 1})
}

type answering func() *http.Response

// RoundTrip implements http.RoundTripper.
func (a answering) RoundTrip(*http.Request) (*http.Response, error) { return a(), nil }

// TestPagesOfRealServers reads answers that are modelled on those of two public services, files {"request",
// "response"}, and, where STAC_PAGES names a folder, recorded ones, which are not part of the project. Every item on
// them makes a valid event in each profile.
func TestPagesOfRealServers(t *testing.T) {
	t.Parallel()
	var files []string
	for _, folder := range []string{filepath.Join("..", "stacapi", "testdata", "pages"), os.Getenv("STAC_PAGES")} {
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
		p, err := readPage(t, recorded.Response, from)
		if err != nil || len(p.Items) == 0 {
			t.Fatalf("%s: %+v, %v", file, p, err)
		}
		for _, profile := range profiles() {
			c := NewConfig()
			c.URL, c.Event.Profile = recorded.Request.URL, profile
			checkItems(t, p, c)
		}
	}
}

func checkItems(t *testing.T, p *stacapi.Page, c *Config) {
	t.Helper()
	m, err := newMapper(p.From, c, "watch")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, raw := range p.Items {
		i, err := stacapi.ParseItem(raw)
		if err != nil {
			t.Fatal(err)
		}
		state, err := version(i)
		if err != nil {
			t.Fatal(err)
		}
		e, err := m.event(i, i.Collection, state, opCreate, p.From)
		if err != nil {
			t.Fatal(err)
		}
		if ids[e.ID()] || e.Subject() == "" {
			t.Errorf("%s: %s", i.ID, e.ID())
		}
		ids[e.ID()] = true
	}
}

// FuzzPage: no answer of a server ends the program, and every event that is made of one is valid.
func FuzzPage(f *testing.F) {
	f.Add(`{"numberMatched":1,"features":[` + sampleItem + `],"links":[{"rel":"next","href":"?x=1","method":"POST","body":{"a":1},"headers":{"x":["1"]}}]}`)
	f.Add(`{"features":[{"id":"a","links":[{"rel":"self","href":"::"}],"properties":{"updated":"2020-01-01T00:00:00Z"}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		page, err := readPage(t, []byte(text), &url.URL{Scheme: "https", Host: "example.com", Path: "/search"})
		if err != nil {
			return
		}
		c := NewConfig()
		m, err := newMapper(page.From, c, "watch")
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range page.Items {
			i, err := stacapi.ParseItem(raw)
			if err != nil {
				continue
			}
			state, err := version(i)
			if err != nil {
				continue
			}
			for _, c.Event.Profile = range profiles() {
				event, err := m.event(i, "c", state, opCreate, page.From)
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
