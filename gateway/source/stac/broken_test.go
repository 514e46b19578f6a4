package stac

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/gateway/source/stacapi"
	"github.com/streamgate/streamgate/internal/redistest"
)

// TestBrokenItemsAreNamed: they hold back no other item, and are named in the log and in the state. An item with NaN is
// published, with data that are valid JSON.
func TestBrokenItemsAreNamed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 5)
	f.onRequest(func(_ int, w http.ResponseWriter, r *http.Request) bool {
		recorder := httptest.NewRecorder()
		f.catalogue.ServeHTTP(recorder, r)
		body := recorder.Body.String()
		if r.URL.Path == "/search" {
			body = strings.Replace(body, `"features":[`, `"features":[{"id":"broken","x":tru},`+
				`{"id":"nan","assets":{"a":{"nodata":NaN}},"properties":{"datetime":"2021-12-01t00:00:00z"}},`, 1)
			body = strings.Replace(body, `"numberMatched":5`, `"numberMatched":"7"`, 1)
		}
		_, _ = io.WriteString(w, body)
		return false
	})
	c := f.config()
	c.Event.Profile = profileItem
	f.run(c)
	redistest.Eventually(t, "all but the broken one are published", func() bool { return len(f.events()) == 6 })
	for _, e := range f.events() {
		if !json.Valid(e.Data) {
			t.Errorf("%s has data that are not JSON: %s", e.Subject(), e.Data)
		}
	}
	redistest.Eventually(t, "the search is complete", f.isComplete)
	state := f.state()
	if want := `items that are left out: 1: item 1 of a page: item "broken" is not valid`; !strings.Contains(state.Skipped, want) ||
		!strings.Contains(state.report("c").Reason, want) {
		t.Errorf("state %q, report %q", state.Skipped, state.report("c").Reason)
	}
	before := f.requests.Load()
	redistest.Eventually(t, "it is polled again", func() bool { return f.requests.Load() > before+5 })
	logs := f.logs.String()
	if strings.Count(logs, "items were skipped") != 1 || strings.Count(logs, "item=nan") != 1 {
		t.Errorf("logged: %s", logs)
	}
}

// TestAddressesOfItemsWithRebase are those that the API has for its clients.
func TestAddressesOfItemsWithRebase(t *testing.T) {
	t.Parallel()
	c := NewConfig()
	c.URL, c.Collections, c.Links = "https://api.example.com/stac", []string{"c"}, "rebase"
	api, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMapper(api, c, "s")
	if err != nil {
		t.Fatal(err)
	}
	i := &stacapi.Item{ID: "i", Links: []stacapi.ItemLink{{Rel: "self", Href: "http://internal:8080/collections/c/items/i"}}}
	if got, want := m.hrefOf(i, "c", api), "https://api.example.com/stac/collections/c/items/i"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if c.Links = "sometimes"; len(c.Validate("")) != 1 || c.Validate("")[0].Path != "links" {
		t.Errorf("%v", c.Validate(""))
	}
}
