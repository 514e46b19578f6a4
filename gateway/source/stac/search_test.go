package stac

import (
	"fmt"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/internal/stacsample"
)

func TestSearchParameters(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Config)
		post   []string // in the body of POST
		get    []string // in the query of GET
	}{
		"bbox":       {func(c *Config) { c.BBox = []float64{-122, 38.5, -120, 41} }, []string{`"bbox":[-122,38.5,-120,41]`}, []string{"bbox=-122%2C38.5%2C-120%2C41"}},
		"intersects": {func(c *Config) { c.Intersects = `{"type":"Point","coordinates":[-121,40]}` }, []string{`"intersects":{"type":"Point","coordinates":[-121,40]}`}, []string{"intersects=%7B"}},
		"CQL2 JSON": {func(c *Config) { c.Filter = `{"op":"<","args":[{"property":"eo:cloud_cover"},20]}` },
			[]string{`"filter-lang":"cql2-json"`, `"filter":{"op":"\u003c"`}, []string{"filter-lang=cql2-json", "filter=%7B"}},
		"collections and limit": {func(*Config) {}, []string{`"collections":["sentinel-2-l2a"]`, `"limit":7`}, []string{"collections=sentinel-2-l2a", "limit=7"}},
	} {
		for _, noPost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, GET %v", name, noPost), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, 5)
				f.catalogue.SetQuirks(stacsample.Quirks{NoPost: noPost})
				config := f.config()
				c.change(config)
				f.run(config)
				redistest.Eventually(t, "the search is complete", f.isComplete)
				for _, r := range f.catalogue.Requests() {
					if r.Path != "/search" {
						continue
					}
					want, have := c.post, string(r.Body)
					if noPost {
						want, have = c.get, r.Query
					}
					for _, part := range want {
						if !strings.Contains(have, part) {
							t.Errorf("the search has no %s: %s", part, have)
						}
					}
				}
			})
		}
	}
}
