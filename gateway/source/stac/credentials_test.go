package stac

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/internal/stacsample"
)

// TestCredentialsStayAtTheirHost: the configured headers go to the host of url, and not where a next link leads.
func TestCredentialsStayAtTheirHost(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 20)
	other := httptest.NewServer(f.catalogue)
	t.Cleanup(other.Close)
	f.catalogue.SetQuirks(stacsample.Quirks{CrossHostNext: other.URL})
	c := f.config()
	c.URL += "?key=k1"
	c.Headers = []Header{{Name: "X-Api-Key", Value: "secret"}}
	f.run(c)
	f.expectAll()
	first := strings.TrimPrefix(f.server.URL, "http://")
	crossed := false
	for _, r := range f.catalogue.Requests() {
		atHome := r.Header.Get("X-Api-Key") == "secret"
		crossed = crossed || !atHome
		if r.Header.Get("User-Agent") == "" {
			t.Error("a request has no User-Agent")
		}
		if atHome && strings.HasPrefix(r.Path, "/search") && r.Method == http.MethodPost && !bytes.Contains(r.Body, []byte("next")) && !strings.Contains(r.Query, "key=k1") {
			t.Errorf("the query of the base address is lost: %s %s", r.Path, r.Query)
		}
	}
	if !crossed {
		t.Errorf("no request went to another host than %s", first)
	}
	if strings.Contains(f.logs.String(), "secret") || strings.Contains(f.logs.String(), "k1") {
		t.Error("the log holds a secret")
	}
	for _, e := range f.events() {
		if strings.Contains(e.Source()+e.Subject(), "k1") {
			t.Errorf("an event holds a secret: %v", e.Attributes)
		}
	}
}
