package stacapi

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// TestListsAreRevalidated: what has not changed is not sent again and read from the copy; by ETag or by date.
func TestListsAreRevalidated(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"ETag", "Last-Modified"} {
		var sent, spared atomic.Int32
		body := `{"collections":[{"id":"a"}]}`
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			state := map[string]string{"ETag": `"1"`, "Last-Modified": "Tue, 01 Dec 2026 00:00:00 GMT"}[header]
			w.Header().Set(header, state)
			if r.Header.Get("If-None-Match") == state || r.Header.Get("If-Modified-Since") == state {
				spared.Add(1)
				w.WriteHeader(http.StatusNotModified)
				return
			}
			sent.Add(1)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(server.Close)
		client := testClient(t, server.URL, nil)
		for range 3 {
			got, err := client.Collections(t.Context())
			if err != nil || len(got) != 1 || got[0].ID != "a" || string(got[0].Raw) != `{"id":"a"}` {
				t.Fatalf("%s: %v, %v", header, got, err)
			}
		}
		if sent.Load() != 1 || spared.Load() != 2 {
			t.Errorf("%s: sent %d times, spared %d times", header, sent.Load(), spared.Load())
		}
	}
}

// TestKeptDocumentsAreBounded in number and size.
func TestKeptDocumentsAreBounded(t *testing.T) {
	t.Parallel()
	var d documents
	for i := range 3 * maxDocuments {
		r := getFrom("https://example.com/" + strings.Repeat("x", i%maxDocuments) + "/" + url.PathEscape(string(rune('a'+i%7))))
		d.keep(r, Validator{ETag: "1"}, make([]byte, 1<<20))
		kept := 0
		for _, one := range d.byAddress {
			kept += len(one.text)
		}
		if len(d.byAddress) > maxDocuments || kept > maxKeptBytes {
			t.Fatalf("%d documents of %d bytes", len(d.byAddress), kept)
		}
	}
	r := getFrom("https://example.com/large")
	d.keep(r, Validator{ETag: "1"}, make([]byte, 1<<20))
	if d.find(r) == nil {
		t.Error("a document was not kept")
	}
	d.keep(r, Validator{ETag: "2"}, make([]byte, 5<<20))
	if d.find(r) != nil {
		t.Error("a document above the bound was kept")
	}
}

// TestFilesOfItems: items and collections of items are read, in the state that the caller does not know yet.
func TestFilesOfItems(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write([]byte(map[string]string{
			"/one":  `{"type":"Feature","id":"a"}`,
			"/many": `{"type":"FeatureCollection","features":[{"id":"a"},{"id":"b"}],"links":[{"rel":"next","href":"two"}]}`,
			"/post": `{"type":"FeatureCollection","features":[],"links":[{"rel":"next","href":"two","method":"POST"}]}`,
			"/not":  `{"type":"Catalog"}`,
		}[r.URL.Path]))
	}))
	t.Cleanup(server.Close)
	client := testClient(t, server.URL, nil)
	for path, want := range map[string]struct {
		items int
		next  string
		fails bool
	}{"/one": {items: 1}, "/many": {items: 2, next: "/two"}, "/post": {fails: true}} {
		p, err := client.ReadItems(t.Context(), getFrom(server.URL+path).url, Validator{})
		if err != nil || len(p.Items) != want.items || p.Validator.ETag != `"1"` {
			t.Fatalf("%s: %+v, %v", path, p, err)
		}
		next, err := p.NextFile()
		if (err != nil) != want.fails || want.next != "" && (next == nil || next.Path != want.next) {
			t.Errorf("%s: next %v, %v", path, next, err)
		}
		if _, err := client.ReadItems(t.Context(), getFrom(server.URL+path).url, p.Validator); err != ErrNotModified { //nolint:errorlint // it is returned bare
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := client.ReadItems(t.Context(), getFrom(server.URL+"/not").url, Validator{}); err == nil {
		t.Error("a catalog was read as an item")
	}
}
