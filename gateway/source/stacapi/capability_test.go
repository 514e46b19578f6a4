package stacapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/streamgate/streamgate/internal/stacsample"
)

// TestProbeUpdated: what a server has proved is found, and why it is not more.
func TestProbeUpdated(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		quirks  stacsample.Quirks
		items   int
		stamped bool
		filter  string
		want    Capability
		reason  string
	}{
		"timestamps":       {items: 8, stamped: true, want: CapabilityTimestamp, reason: "filters updated by cql2-json"},
		"strings":          {quirks: stacsample.Quirks{TextUpdated: true}, items: 8, stamped: true, want: CapabilityString, reason: "string"},
		"no stamps":        {items: 8, reason: "0 of 8 items say when they were updated"},
		"filters ignored":  {quirks: stacsample.Quirks{IgnoreFilter: true}, items: 8, stamped: true, reason: "updated tomorrow"},
		"GET only":         {quirks: stacsample.Quirks{NoPost: true}, items: 8, stamped: true, reason: "cannot be combined"},
		"filter as text":   {items: 8, stamped: true, filter: "a < 1", reason: ""},
		"an empty server":  {reason: "no item"},
		"undated, no time": {items: 8, reason: "0 of 8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			catalogue := stacsample.New(stacsample.WithQuirks(c.quirks))
			catalogue.AddCollection(collection, "Scenes")
			for i := range c.items {
				item := stacsample.Item{Collection: collection, ID: fmt.Sprint(i), Datetime: now.AddDate(0, 0, -i), BBox: [4]float64{1, 2, 3, 4}}
				if c.stamped {
					item.Updated = now.AddDate(0, 0, -i)
				}
				catalogue.Put(item)
			}
			server := httptest.NewServer(catalogue)
			t.Cleanup(server.Close)
			client := testClient(t, server.URL, nil)
			if err := discover(t, client); err != nil {
				t.Fatal(err)
			}
			got, err := client.ProbeUpdated(t.Context(), Query{Collection: collection, Limit: 10, Filter: c.filter}, now)
			if c.filter != "" { // which the sample API answers with 400
				if status, ok := err.(*StatusError); !ok || status.Code != http.StatusBadRequest { //nolint:errorlint // it is returned bare
					t.Errorf("%v, %v", got, err)
				}
				return
			}
			if err != nil || got.Capability != c.want || !strings.Contains(got.Reason, c.reason) || got.IsEmpty != (c.items == 0) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// TestOmitsUndated: a server that leaves items with a beginning and an end out of searches by time is found out.
func TestOmitsUndated(t *testing.T) {
	t.Parallel()
	for _, omits := range []bool{false, true} {
		catalogue := stacsample.New(stacsample.WithQuirks(stacsample.Quirks{ExcludeNullDatetime: omits}))
		catalogue.Put(stacsample.Item{Collection: collection, ID: "a", Start: day(0), End: day(10), BBox: [4]float64{1, 2, 3, 4}})
		server := httptest.NewServer(catalogue)
		t.Cleanup(server.Close)
		client := testClient(t, server.URL, nil)
		if err := discover(t, client); err != nil {
			t.Fatal(err)
		}
		q := Query{Collection: collection, Limit: 10}
		probe, err := client.ProbeUpdated(t.Context(), q, day(20))
		if err != nil || probe.Undated == nil || probe.Undated.ID != "a" {
			t.Fatalf("%+v, %v", probe, err)
		}
		if got, err := client.OmitsUndated(t.Context(), q, probe.Undated); err != nil || got != omits {
			t.Errorf("%v, %v, want %v", got, err, omits)
		}
	}
}

// TestSearchNeedsDiscover: a search before the endpoint is known is an error, not a panic.
func TestSearchNeedsDiscover(t *testing.T) {
	t.Parallel()
	client := testClient(t, "http://api.example.com", nil)
	if _, err := client.FirstPage(t.Context(), Query{Collection: "c", Limit: 1}); err == nil || !strings.Contains(err.Error(), "Discover") {
		t.Error(err)
	}
	if _, err := client.Search(t.Context(), Query{Collection: "c", Limit: 1}, nil); err == nil {
		t.Error("no error")
	}
}
