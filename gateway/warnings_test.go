package gateway_test

import (
	"strings"
	"testing"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/builtin"
	"github.com/streamgate/streamgate/gateway/source/stac"
)

// TestWarningsOfFilters that can never match what the sources of their stream publish.
func TestWarningsOfFilters(t *testing.T) {
	t.Parallel()
	place := filter.Config{Intersects: &filter.IntersectsConfig{BBox: []float64{1, 2, 3, 4}}}
	created := "org.ogc.api.collection.item.create"
	ofType := func(t string) filter.Config { return filter.Config{Exact: map[string]string{"type": t}} }
	for name, c := range map[string]struct {
		profile string
		filters []filter.Config
		other   bool // another source, of which nothing is known
		want    string
	}{
		"area of links":         {"link", []filter.Config{place}, false, "event.profile: summary"},
		"area of origin":        {"origin", []filter.Config{{All: []filter.Config{place}}}, false, "event.profile: summary"},
		"area of summaries":     {"summary", []filter.Config{place}, false, ""},
		"area of items":         {"item", []filter.Config{place}, false, ""},
		"area, or a type":       {"link", []filter.Config{{Any: []filter.Config{place, ofType(created)}}}, false, ""},
		"not in the area":       {"link", []filter.Config{{Not: &place}}, false, ""},
		"area of who knows":     {"link", []filter.Config{place}, true, ""},
		"type":                  {"link", []filter.Config{ofType(created)}, false, ""},
		"another type":          {"link", []filter.Config{ofType("org.ogc.api.collection.item.created")}, false, "of a type"},
		"beginning of the type": {"link", []filter.Config{{Prefix: map[string]string{"type": "com."}}}, false, "of a type"},
		"end of the type":       {"link", []filter.Config{{Suffix: map[string]string{"type": ".update"}}}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := oneStream("S")
			watch := stac.NewConfig()
			watch.URL, watch.Collections, watch.Event.Profile = "https://api.example.com/v1", []string{"c"}, c.profile
			config.Sources = []source.Block{{Name: "watch", Type: "stac", Stream: "S", Config: watch}}
			if c.other {
				config.Sources = append(config.Sources, source.Block{Name: "o", Type: "file", Stream: "S", Config: builtin.NewFileConfig()})
			}
			s := delivery.NewConfig()
			s.Name, s.Stream, s.Filters = "sub", "S", c.filters
			config.Subscriptions = []delivery.Config{s}
			got := config.Warnings()
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
