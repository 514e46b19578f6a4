package stac

import (
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/source/stacapi"
	"github.com/streamgate/streamgate/internal/redistest"
)

// TestSearchesReachTheServer: what is configured is what a server sees, over a socket.
func TestSearchesReachTheServer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		filter, links string
		method, want  string
	}{
		"JSON by POST": {`{"op":"<","args":[{"property":"a"},1]}`, "both", "POST", `"filter-lang":"cql2-json"`},
		"JSON by GET":  {`{"op":"<","args":[{"property":"a"},1]}`, "GET", "GET", "filter-lang=cql2-json"},
		"text by GET":  {`a < 1`, "both", "GET", "filter=a+%3C+1&filter-lang=cql2-text"},
		"text by POST": {`a < 1`, "POST", "POST", `"filter-lang":"cql2-text"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 0)
			searches := make(chan string, 100)
			f.onRequest(func(_ int, w http.ResponseWriter, r *http.Request) bool {
				body, err := io.ReadAll(r.Body)
				switch {
				case err != nil:
					return true
				case r.URL.Path == "/":
					links := ""
					for _, method := range []string{"GET", "POST"} {
						if c.links == "both" || c.links == method {
							links += `{"rel":"search","type":"application/geo+json","href":"/search","method":"` + method + `"},`
						}
					}
					_, _ = io.WriteString(w, `{"links":[`+strings.TrimSuffix(links, ",")+`]}`)
				case r.URL.Path == "/search":
					select {
					case searches <- r.Method + " " + r.URL.RawQuery + string(body):
					default:
					}
					_, _ = io.WriteString(w, `{"type":"FeatureCollection","features":[]}`)
				default:
					return true
				}
				return false
			})
			config := f.config()
			config.Filter, config.BBox = c.filter, []float64{1, 2, 3, 4}
			f.run(config)
			redistest.Eventually(t, "the search is complete", f.isComplete)
			if got := <-searches; !strings.HasPrefix(got, c.method+" ") || !strings.Contains(got, c.want) {
				t.Errorf("search %s", got)
			}
		})
	}
}

// TestBackoffAfterFailures: a poll that fails may take longer than the interval, so the pause is counted from its end.
func TestBackoffAfterFailures(t *testing.T) {
	t.Parallel()
	s := &health{env: &env{config: NewConfig()}, healthy: map[string]bool{}}
	last := time.Duration(0)
	for n := range 20 {
		wait := s.backoff()
		if wait < last || wait > maxPause || n > 8 && wait != maxPause {
			t.Errorf("pause %d is %s, after %s", n, wait, last)
		}
		last = wait
	}
	s.healthy["c"] = true
	if wait := s.backoff(); wait != 0 {
		t.Errorf("%s after a success", wait)
	}
	s.healthy = nil
	if wait := s.backoff(); wait != 2*stacapi.DefaultMinPause {
		t.Errorf("%s after one failure", wait)
	}
}

// TestConfiguredSearches: each part of the configuration is part of the search.
func TestConfiguredSearches(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *Config, q *stacapi.Query){
		"nothing else": func(*Config, *stacapi.Query) {},
		"bbox":         func(c *Config, q *stacapi.Query) { c.BBox = []float64{-121.399, 1e-7, -120.74, 39}; q.BBox = c.BBox },
		"bbox of six":  func(c *Config, q *stacapi.Query) { c.BBox = []float64{1, 2, 3, 4, 5, 6}; q.BBox = c.BBox },
		"intersects": func(c *Config, q *stacapi.Query) {
			c.Intersects = `{"type":"Point","coordinates":[1,2]}`
			q.Intersects = c.Intersects
		},
		"CQL2 JSON": func(c *Config, q *stacapi.Query) {
			c.Filter = ` {"op":"=","args":[{"property":"a+b"},"x y"]} `
			q.Filter = c.Filter
		},
		"CQL2 text": func(c *Config, q *stacapi.Query) {
			c.Filter = " eo:cloud_cover < 20 AND x='a+b'\n"
			q.Filter = c.Filter
		},
		"filter and area": func(c *Config, q *stacapi.Query) {
			c.BBox, c.Filter = []float64{1, 2, 3, 4}, "a<1"
			q.BBox, q.Filter = c.BBox, c.Filter
		},
		"limit": func(c *Config, q *stacapi.Query) { c.Limit = 7; q.Limit = 7 },
	} {
		c := NewConfig()
		c.URL, c.Collections = "https://x", []string{"a,b"}
		want := stacapi.Query{Collection: "a,b", Window: stacapi.Interval{From: time.Unix(1, 0)}, Limit: 100}
		change(c, &want)
		if problems := c.Validate(""); len(problems) > 0 {
			t.Fatal(problems)
		}
		if got := (plan{c}).query("a,b", want.Window); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}
