package stac

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/streamgate/streamgate/gateway/guard"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// The rules of [Config.Validate].

func validateTarget(c *Config, p *setting.Problems) {
	u, err := url.Parse(c.URL)
	switch {
	case c.URL == "" || err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		p.Add("url", "not a valid http or https URL of a STAC API",
			"write its landing page, like https://earth-search.aws.element84.com/v1")
	case u.User != nil:
		p.Add("url", "the URL contains a user name or password", "put credentials into headers, from the environment")
	}
	if len(c.Collections) == 0 {
		p.Add("collections", "no collection is named", "name at least one, like [sentinel-2-l2a]")
	}
	for i, name := range c.Collections {
		at := fmt.Sprintf("collections[%d]", i)
		if name == "" || slices.Contains(c.Collections[:i], name) {
			p.Add(at, fmt.Sprintf("%q is empty or a duplicate", name), "name each collection once")
		}
		if _, err := path.Match(name, ""); err != nil && isPattern(name) {
			p.Add(at, fmt.Sprintf("%q is not a valid pattern", name), "write one like sentinel-*")
		}
	}
}

func validateSearch(c *Config, p *setting.Problems) {
	validateArea(c, p)
	if c.Datetime != "" {
		if _, err := stacapi.ParseInterval(c.Datetime); err != nil {
			p.Add("datetime", err.Error(),
				"write a time like 2026-11-23T00:00:00Z, or an interval like 2026-01-01T00:00:00Z/..")
		}
	}
	if strings.HasPrefix(strings.TrimSpace(c.Filter), "{") && !json.Valid([]byte(c.Filter)) {
		p.Add("filter", "the filter begins like CQL2 JSON and is not valid JSON",
			`write an object like {"op":"<","args":[{"property":"eo:cloud_cover"},20]}`)
	}
	if c.Limit < 1 || c.Limit > 10_000 {
		p.Add("limit", fmt.Sprintf("%d is not between 1 and 10000", c.Limit), "set a page size like 100")
	}
}

func validateArea(c *Config, p *setting.Problems) {
	if len(c.BBox) > 0 && c.Intersects != "" {
		p.Add("bbox", "a search has bbox or intersects, not both (STAC API item search)", "remove one of them")
	}
	if n := len(c.BBox); n != 0 && n != 4 && n != 6 {
		p.Add("bbox", fmt.Sprintf("a bounding box has 4 or 6 numbers, not %d", n), "write west, south, east, north")
	} else if n > 0 {
		west, south, east, north := c.BBox[0], c.BBox[1], c.BBox[n/2], c.BBox[n/2+1]
		if !within(west, 180) || !within(east, 180) || !within(south, 90) || !within(north, 90) || south > north {
			p.Add("bbox", "the bounding box is outside the range of longitudes and latitudes, or upside down",
				"write west, south, east, north; west may exceed east across the antimeridian")
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
	err := json.Unmarshal([]byte(c.Intersects), &geometry)
	if err != nil || geometry.Type == "" || geometry.Coordinates == nil && geometry.Geometries == nil {
		p.Add("intersects", "not a valid GeoJSON geometry, as JSON text", `write '{"type":"Polygon","coordinates":[...]}'`)
	}
}

// within is also false for NaN.
func within(degrees, bound float64) bool { return degrees >= -bound && degrees <= bound }

func validateTiers(c *Config, p *setting.Problems) {
	_, err := stacapi.ParseTime(c.StartFrom)
	if err != nil && c.StartFrom != "" && c.StartFrom != startNow && c.StartFrom != startBeginning {
		p.Add("startFrom", fmt.Sprintf("%q is not a valid beginning", c.StartFrom),
			"write now, beginning, or a time like 2026-11-23T00:00:00Z")
	}
	if c.Engine != engineAuto && c.Engine != string(engineWindows) {
		p.Add("engine", fmt.Sprintf("%q is not a valid engine", c.Engine), "write auto or windows")
	}
	for _, t := range []struct {
		path   string
		value  TierConfig
		isOpen bool
	}{{"warm", c.Warm, false}, {"cold", c.Cold, false}, {"sweep", c.Sweep, true}} {
		if every := t.value.Every.Std(); every != 0 && every < time.Second {
			p.Add(t.path+".every", fmt.Sprintf("%s is shorter than 1s", t.value.Every), "set a time like 1h, or 0 for never")
		}
		if back := t.value.Back.Std(); back < time.Second && (back != 0 || !t.isOpen) {
			p.Add(t.path+".back", fmt.Sprintf("%s is shorter than 1s", t.value.Back), "set a time like 720h")
		}
	}
	if c.Warm.Back <= c.Lookback || c.Cold.Back <= c.Warm.Back {
		p.Add("warm.back", "lookback, warm.back and cold.back do not increase",
			"let each tier search further back than the one before, like 72h, 720h, 8760h")
	}
}

func validateBounds(c *Config, p *setting.Problems) {
	if m := c.MassChange; m.AtLeast < 0 || m.Share < 0 || m.Share > 1 || m.Quiet < 0 {
		p.Add("massChange", "a number of updates or a time is negative, or the share is not between 0 and 1",
			"set atLeast: 1000, share: 0.5, quiet: 24h")
	}
	if c.Deletes.MaxShare < 0 || c.Deletes.MaxShare > 1 {
		p.Add("deletes.maxShare", fmt.Sprintf("%g is not between 0 and 1", c.Deletes.MaxShare), "set a share like 0.1")
	}
	if c.Deletes.Enabled && c.Sweep.Every == 0 {
		p.Add("deletes.enabled", "deletions are found by the sweep, which is off", "set sweep.every to a time like 168h")
	}
	if c.Static.Every.Std() < time.Second || c.Static.MaxItems < 1 {
		p.Add("static.every", "the time between two crawls is shorter than 1s, or maxItems is not positive",
			"set every: 1h, maxItems: 1000000")
	}
	for i, pattern := range c.Static.Hosts {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			p.Add(fmt.Sprintf("static.hosts[%d]", i), fmt.Sprintf("%q is not a valid pattern of hosts", pattern),
				"write a host like data.example.com, or a pattern like *.example.com")
		}
	}
	if c.MaxRemembered < 1 {
		p.Add("maxRemembered", fmt.Sprintf("%d is not a positive number of items", c.MaxRemembered),
			"set a number like 5000000")
	}
}

func validateRequests(c *Config, p *setting.Problems) {
	for _, d := range []struct {
		path  string
		value setting.Duration
	}{
		{"interval", c.Interval}, {"timeout", c.Timeout}, {"lookback", c.Lookback},
		{"collectionsInterval", c.CollectionsInterval},
	} {
		if d.value.Std() < time.Second {
			p.Add(d.path, fmt.Sprintf("%s is shorter than 1s", d.value), "set a time like 1m")
		}
	}
	p.AddAll("auth", c.Auth.validate())
	for i, host := range c.AllowHosts {
		if _, err := guard.New([]string{host}); err != nil {
			p.Add(fmt.Sprintf("allowHosts[%d]", i), err.Error(),
				"write a host like data.example.com, a pattern like *.example.com, or a network like 10.0.0.0/8")
		}
	}
	if math.IsNaN(c.RequestsPerSecond) || c.RequestsPerSecond < 0.01 || c.RequestsPerSecond > 1000 {
		p.Add("requestsPerSecond", fmt.Sprintf("%g is not between 0.01 and 1000", c.RequestsPerSecond),
			"set a rate like 2, which servers tolerate")
	}
	if err := stacapi.Links(c.Links).Validate(); err != nil {
		p.Add("links", fmt.Sprintf("%q is not a way to treat links", c.Links), "write auto, asGiven or rebase")
	}
	for i, h := range c.Headers {
		if !httpguts.ValidHeaderFieldName(h.Name) || !httpguts.ValidHeaderFieldValue(h.Value) {
			p.Add(fmt.Sprintf("headers[%d]", i), "the name or the value is not valid in a header",
				"give a name like X-Api-Key and a value without line breaks")
		}
	}
}
