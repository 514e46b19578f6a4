// Package stac is the source type that watches a STAC API: it searches collections again and again and publishes a
// CloudEvent for each item that is new or has changed.
//
// It searches one collection at a time, follows the server's next links to the last page, and never takes an answer for
// complete that may not be. What it has published is remembered in Redis, in the step that publishes it, so that a restart
// repeats nothing and misses nothing. Servers differ widely; docs/sources.md says what is relied on.
package stac

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway"
)

// Type returns the source type, for the list of a gateway.
func Type() gateway.SourceType {
	return gateway.SourceType{Name: "stac", NewConfig: func() gateway.SourceConfig { return NewConfig() }}
}

// Config is the configuration of a source of type stac.
type Config struct {
	// URL is the landing page of the STAC API.
	URL string `mapstructure:"url"`
	// Collections are searched one after the other; at least one.
	Collections []string `mapstructure:"collections"`
	// BBox restricts the search: west, south, east, north in degrees, or six numbers with heights. Not with intersects.
	BBox []float64 `mapstructure:"bbox"`
	// Intersects restricts the search to items that meet a GeoJSON geometry, written as JSON text. Not with bbox.
	Intersects string `mapstructure:"intersects"`
	// Datetime restricts the search to an instant or an interval in RFC 3339, with .. for an open end. Without it, each
	// poll searches from lookback before the last complete one, with an open end.
	Datetime string `mapstructure:"datetime"`
	// Lookback is how far back each poll searches; default 72h. Only without datetime.
	Lookback gateway.Duration `mapstructure:"lookback"`
	// Filter is a CQL2 filter: a JSON object as text (cql2-json), or an expression (cql2-text).
	Filter string `mapstructure:"filter"`
	// Limit is the number of items that are asked for in one page; default 100. It is lowered where the server fails.
	Limit int `mapstructure:"limit"`
	// Interval is the time between the beginnings of two polls; default 1m.
	Interval gateway.Duration `mapstructure:"interval"`
	// Timeout is how long one request may take; default 60s.
	Timeout gateway.Duration `mapstructure:"timeout"`
	// Headers are sent with every request to the host of url, such as an API key; to no other host.
	Headers []Header `mapstructure:"headers"`
	// Event says what the events look like.
	Event EventConfig `mapstructure:"event"`
	// Backfill searches windows of the past, once each, between the polls.
	Backfill *BackfillConfig `mapstructure:"backfill"`

	pace pace
}

// pace is how patiently a server is asked; tests are less patient.
type pace struct {
	perSecond rate.Limit
	pause     time.Duration // shortest pause between two tries
}

// Header is one header of requests.
type Header struct {
	Name  string `mapstructure:"name"`
	Value string `mapstructure:"value"`
}

// BackfillConfig names windows of the past by stepping back from a date: count dates, one every so often, and from each
// date a number of windows back. The ends of neighbouring windows are shared, so that nothing falls between them.
type BackfillConfig struct {
	// Start is the newest end, a date or a time in RFC 3339.
	Start string `mapstructure:"start"`
	// Count is the number of dates; default 1.
	Count int `mapstructure:"count"`
	// Every is the step between two dates, backwards; default 24h.
	Every gateway.Duration `mapstructure:"every"`
	// Window is the length of one window; default 6h.
	Window gateway.Duration `mapstructure:"window"`
	// Windows is the number of windows back from each date; default 4.
	Windows int `mapstructure:"windows"`
}

const (
	maxBackfillWindows = 100_000
	maxBackfillYears   = 200 // a duration holds 292
	timeFormat         = "2006-01-02T15:04:05.999999Z"
)

// NewConfig returns the defaults.
func NewConfig() *Config {
	return &Config{
		Lookback: gateway.Duration(72 * time.Hour), Limit: 100, Interval: gateway.Duration(time.Minute),
		Timeout: gateway.Duration(time.Minute), Event: newEventConfig(),
		pace: pace{perSecond: requestsPerSecond, pause: minPause},
	}
}

// SetProducer sets the default of event.producer, which the environment can give.
func (c *Config) SetProducer(producer string) { c.Event.Producer = producer }

// Validate returns everything that is wrong.
func (c *Config) Validate() gateway.Problems {
	var p gateway.Problems
	c.validateTarget(&p)
	c.validateSearch(&p)
	for _, d := range []struct {
		path  string
		value gateway.Duration
	}{{"interval", c.Interval}, {"timeout", c.Timeout}, {"lookback", c.Lookback}} {
		if d.value.Std() < time.Second {
			p.Add(d.path, fmt.Sprintf("%s is shorter than 1s", d.value), "set a time like 1m")
		}
	}
	for i, h := range c.Headers {
		if !httpguts.ValidHeaderFieldName(h.Name) || !httpguts.ValidHeaderFieldValue(h.Value) {
			p.Add(fmt.Sprintf("headers[%d]", i), "the name or the value is no valid header", "give a name like X-Api-Key and a value without line breaks")
		}
	}
	p.AddAll("event", c.Event.validate())
	if c.Backfill != nil {
		p.AddAll("backfill", c.Backfill.withDefaults().validate())
	}
	return p
}

func (c *Config) validateSearch(p *gateway.Problems) {
	c.validateArea(p)
	if c.Datetime != "" {
		if _, err := parseInterval(c.Datetime); err != nil {
			p.Add("datetime", err.Error(), "write a time like 2026-11-23T00:00:00Z, or an interval like 2026-01-01T00:00:00Z/..")
		}
	}
	if strings.HasPrefix(strings.TrimSpace(c.Filter), "{") && !json.Valid([]byte(c.Filter)) {
		p.Add("filter", "the filter begins like CQL2 JSON and is not valid JSON", `write an object like {"op":"<","args":[{"property":"eo:cloud_cover"},20]}`)
	}
	if c.Limit < 1 || c.Limit > 10_000 {
		p.Add("limit", fmt.Sprintf("%d is not between 1 and 10000", c.Limit), "set a page size like 100")
	}
}

func (c *Config) validateTarget(p *gateway.Problems) {
	u, err := url.Parse(c.URL)
	switch {
	case c.URL == "" || err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		p.Add("url", "there is no http or https address of a STAC API", "write its landing page, like https://earth-search.aws.element84.com/v1")
	case u.User != nil:
		p.Add("url", "the address holds a user name or password", "put credentials into headers, from the environment")
	}
	if len(c.Collections) == 0 {
		p.Add("collections", "there is no collection", "name at least one, like [sentinel-2-l2a]")
	}
	for i, name := range c.Collections {
		if name == "" || slices.Contains(c.Collections[:i], name) {
			p.Add(fmt.Sprintf("collections[%d]", i), fmt.Sprintf("%q is empty or there twice", name), "name each collection once")
		}
	}
}

func (c *Config) validateArea(p *gateway.Problems) {
	if len(c.BBox) > 0 && c.Intersects != "" {
		p.Add("bbox", "a search has bbox or intersects, not both (STAC API item search)", "remove one of them")
	}
	if n := len(c.BBox); n != 0 && n != 4 && n != 6 {
		p.Add("bbox", fmt.Sprintf("%d numbers are no bounding box", n), "write west, south, east, north")
	} else if n > 0 {
		west, south, east, north := c.BBox[0], c.BBox[1], c.BBox[n/2], c.BBox[n/2+1]
		if !within(west, 180) || !within(east, 180) || !within(south, 90) || !within(north, 90) || south > north {
			p.Add("bbox", "the box is not within the degrees of the Earth, or upside down", "write west, south, east, north; west may exceed east across the antimeridian")
		}
	}
	if c.Intersects == "" {
		return
	}
	var geometry struct {
		Type        string            `json:"type"`
		Coordinates []json.RawMessage `json:"coordinates"`
		Geometries  []json.RawMessage `json:"geometries"`
	}
	if err := json.Unmarshal([]byte(c.Intersects), &geometry); err != nil || geometry.Type == "" || geometry.Coordinates == nil && geometry.Geometries == nil {
		p.Add("intersects", "it is no GeoJSON geometry as JSON text", `write '{"type":"Polygon","coordinates":[...]}'`)
	}
}

// within is false for what is no number, too.
func within(degrees, bound float64) bool { return degrees >= -bound && degrees <= bound }

func (b *BackfillConfig) withDefaults() *BackfillConfig {
	d := *b
	if d.Count == 0 {
		d.Count = 1
	}
	if d.Every == 0 {
		d.Every = gateway.Duration(24 * time.Hour)
	}
	if d.Window == 0 {
		d.Window = gateway.Duration(6 * time.Hour)
	}
	if d.Windows == 0 {
		d.Windows = 4
	}
	return &d
}

func (b *BackfillConfig) validate() gateway.Problems {
	var p gateway.Problems
	if _, err := b.start(); err != nil {
		p.Add("start", fmt.Sprintf("%q is no date", b.Start), "write a date like 2021-12-30, or a time like 2021-12-30T00:00:00Z")
	}
	if b.Count < 1 || b.Windows < 1 || b.Count > maxBackfillWindows || b.Windows > maxBackfillWindows || b.Count*b.Windows > maxBackfillWindows {
		p.Add("count", fmt.Sprintf("%d dates with %d windows each are not between 1 and %d windows", b.Count, b.Windows, maxBackfillWindows), "use fewer, longer windows")
	}
	if b.Every.Std() < time.Second || b.Window.Std() < time.Second {
		p.Add("window", "a window or a step is shorter than 1s", "set times like 6h and 24h")
	} else if years := (float64(b.Count)*b.Every.Std().Hours() + float64(b.Windows)*b.Window.Std().Hours()) / (365 * 24); years > maxBackfillYears {
		p.Add("every", fmt.Sprintf("the windows reach back %.0f years, which is more than %d", years, maxBackfillYears), "use fewer or shorter steps")
	}
	return p
}

func (b *BackfillConfig) start() (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, b.Start); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339, b.Start)
}

// windows returns the windows, the newest first, each once. The configuration must be valid.
func (b *BackfillConfig) windows() []interval {
	start, err := b.start()
	if err != nil {
		return nil // Validate has refused it
	}
	var list []interval
	seen := map[interval]bool{}
	for i := range b.Count {
		end := start.Add(-time.Duration(i) * b.Every.Std()).UTC()
		for range b.Windows {
			w := interval{from: end.Add(-b.Window.Std()), to: end}
			if !seen[w] {
				seen[w] = true
				list = append(list, w)
			}
			end = w.from
		}
	}
	return list
}

func (c *Config) header() http.Header {
	header := http.Header{}
	for _, h := range c.Headers {
		header.Add(h.Name, h.Value)
	}
	return header
}
