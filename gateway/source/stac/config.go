// Package stac is the source type that watches a STAC API: it searches collections again and again and publishes a
// CloudEvent for each item that is new or has changed.
//
// It searches one collection at a time, follows the server's next links to the last page, and never takes an answer for
// complete that may not be. What it has published is remembered in Redis, in the step that publishes it, so that a restart
// repeats nothing and misses nothing. Servers differ widely; docs/sources.md says what is relied on.
package stac

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway/guard"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
)

// Type returns the source type, for the list of a gateway. Sources of one type share their manners towards each host.
func Type() source.Type {
	shared := newHosts()
	return source.Type{Name: "stac", NewConfig: func(defaults source.Defaults) source.Config {
		c := NewConfig()
		c.hosts = shared
		c.Event.Producer = cmp.Or(defaults.Producer, c.Event.Producer)
		return c
	}}
}

// Config is the configuration of a source of type stac.
type Config struct {
	// URL is the landing page of the STAC API.
	URL string `mapstructure:"url"`
	// Collections are searched one after the other; at least one. With *, ? or [ it is a pattern (path.Match).
	Collections []string `mapstructure:"collections"`
	// BBox restricts the search: west, south, east, north in degrees, or six numbers with heights. Not with intersects.
	BBox []float64 `mapstructure:"bbox"`
	// Intersects restricts the search to items that meet a GeoJSON geometry, written as JSON text. Not with bbox.
	Intersects string `mapstructure:"intersects"`
	// Datetime restricts the search to an instant or an interval in RFC 3339, with .. for an open end. Without it, each
	// poll searches from lookback before the last complete one, with an open end.
	Datetime string `mapstructure:"datetime"`
	// Lookback is how far back each poll searches; default 72h. Only without datetime.
	Lookback setting.Duration `mapstructure:"lookback"`
	// Filter is a CQL2 filter: a JSON object as text (cql2-json), or an expression (cql2-text).
	Filter string `mapstructure:"filter"`
	// Limit is the number of items that are asked for in one page; default 100. It is lowered where the server fails.
	Limit int `mapstructure:"limit"`
	// Interval is the time between the beginnings of two polls; default 1m.
	Interval setting.Duration `mapstructure:"interval"`
	// Timeout is how long one request may take; default 60s.
	Timeout setting.Duration `mapstructure:"timeout"`
	// Headers are sent with every request to the host of url, such as an API key; to no other host.
	Headers []Header `mapstructure:"headers"`
	// Auth is how requests to that host authenticate.
	Auth AuthConfig `mapstructure:"auth"`
	// AllowHosts are hosts, patterns of them and networks that links may lead to although they are not public; see
	// [guard.New]. Default none; where the host of url is itself not public, links may lead anywhere.
	AllowHosts []string `mapstructure:"allowHosts"`
	// RequestsPerSecond is how often a host is asked, by all sources together; default 2. The lowest of them counts.
	RequestsPerSecond float64 `mapstructure:"requestsPerSecond"`
	// Event says what the events look like.
	Event EventConfig `mapstructure:"event"`
	// StartFrom says what is new at the beginning: now (nothing that is there), beginning (everything), or a time; what is
	// older by its datetime, or updated where the server tells, is only noted. Default is lookback before now, or everything
	// with datetime.
	StartFrom string `mapstructure:"startFrom"`
	// Engine is how changes are found: auto (default; what the server has proved that it can), or windows.
	Engine string `mapstructure:"engine"`
	// Warm and Cold look further back than a poll, more seldom; defaults 720h every 1h, and 8760h every 24h. Where the server
	// tells what was updated, they look back four times their interval.
	Warm TierConfig `mapstructure:"warm"`
	Cold TierConfig `mapstructure:"cold"`
	// Sweep looks at everything, slowly, and compares the content; default every 168h, without an end. 0 is never.
	Sweep TierConfig `mapstructure:"sweep"`
	// IgnoreTouches leaves out updates that change nothing but updated.
	IgnoreTouches bool `mapstructure:"ignoreTouches"`
	// MassChange holds updates back when too many come at once.
	MassChange MassChangeConfig `mapstructure:"massChange"`
	// Deletes publishes what was deleted.
	Deletes DeletesConfig `mapstructure:"deletes"`
	// CollectionEvents publishes changes of the collections themselves.
	CollectionEvents bool `mapstructure:"collectionEvents"`
	// CollectionsInterval is the time between two looks for collections that match a pattern; default 10m.
	CollectionsInterval setting.Duration `mapstructure:"collectionsInterval"`
	// MaxRemembered is how many items are remembered at most, at 36 bytes of Redis each; default 5000000. At nine tenths only
	// polls go on.
	MaxRemembered int64 `mapstructure:"maxRemembered"`
	// Static says how a catalogue is read that cannot be searched.
	Static StaticConfig `mapstructure:"static"`
	// Backfill searches windows of the past, once each, between the polls.
	Backfill *BackfillConfig `mapstructure:"backfill"`

	pace  pace
	hosts *hosts // that this source shares with others
}

// pace is how patiently a server is asked; tests are less patient.
type pace struct {
	perSecond rate.Limit    // 0: as configured
	pause     time.Duration // shortest pause between two tries
}

// Header is one header of requests.
type Header struct {
	Name  string `mapstructure:"name"`
	Value string `mapstructure:"value"`
}

// TierConfig says how far back to look, and how often.
type TierConfig struct {
	// Back is how old items may be; 0 is without an end (sweep only).
	Back setting.Duration `mapstructure:"back"`
	// Every is the time between the beginnings of two looks; 0 is never.
	Every setting.Duration `mapstructure:"every"`
}

// MassChangeConfig says when updates of a collection are held back: servers have changed all of their items by a new release.
type MassChangeConfig struct {
	// AtLeast is how many updates one look has to find; default 1000; 0 is never.
	AtLeast int `mapstructure:"atLeast"`
	// Share is how much of what it looked at that has to be; default 0.5.
	Share float64 `mapstructure:"share"`
	// Quiet is how long no new alarm is raised after updates were released; default 24h.
	Quiet setting.Duration `mapstructure:"quiet"`
}

// DeletesConfig says how deletions are found: what a complete sweep has missed, and the server twice says is not there.
type DeletesConfig struct {
	// Enabled turns it on; default false. It needs a sweep.
	Enabled bool `mapstructure:"enabled"`
	// MaxShare is how much of a collection may be missing at once (above 20 items); more is not believed. Default 0.1.
	MaxShare float64 `mapstructure:"maxShare"`
}

// Words of the configuration.
const (
	startNow       = "now"
	startBeginning = "beginning"
	engineAuto     = "auto"
)

// NewConfig returns the defaults.
func NewConfig() *Config {
	return &Config{
		Lookback: setting.Duration(72 * time.Hour), Limit: 100, Interval: setting.Duration(time.Minute),
		Timeout: setting.Duration(time.Minute), Event: newEventConfig(),
		Engine: engineAuto, Warm: TierConfig{Back: hours(720), Every: hours(1)}, Cold: TierConfig{Back: hours(8760), Every: hours(24)},
		Sweep: TierConfig{Every: hours(168)}, MassChange: MassChangeConfig{AtLeast: 1000, Share: 0.5, Quiet: hours(24)},
		Deletes: DeletesConfig{MaxShare: 0.1}, CollectionsInterval: setting.Duration(10 * time.Minute),
		MaxRemembered: source.DefaultSeenLimit, Static: StaticConfig{Every: hours(1), MaxItems: 1_000_000},
		pace: pace{pause: minPause}, RequestsPerSecond: requestsPerSecond, hosts: newHosts(),
	}
}

func hours(n int) setting.Duration { return setting.Duration(time.Duration(n) * time.Hour) }

// scope returns the interval of the configuration, or the zero one.
func (c *Config) scope() interval {
	if c.Datetime == "" {
		return interval{}
	}
	w, err := parseInterval(c.Datetime)
	if err != nil {
		return interval{} // Validate has refused it
	}
	return w
}

// Validate returns everything that is wrong.
func (c *Config) Validate(string) setting.Problems {
	var p setting.Problems
	c.validateTarget(&p)
	c.validateSearch(&p)
	c.validateTiers(&p)
	for _, d := range []struct {
		path  string
		value setting.Duration
	}{{"interval", c.Interval}, {"timeout", c.Timeout}, {"lookback", c.Lookback}, {"collectionsInterval", c.CollectionsInterval}} {
		if d.value.Std() < time.Second {
			p.Add(d.path, fmt.Sprintf("%s is shorter than 1s", d.value), "set a time like 1m")
		}
	}
	p.AddAll("auth", c.Auth.validate())
	for i, host := range c.AllowHosts {
		if _, err := guard.New([]string{host}); err != nil {
			p.Add(fmt.Sprintf("allowHosts[%d]", i), err.Error(), "write a host like data.example.com, a pattern like *.example.com, or a network like 10.0.0.0/8")
		}
	}
	if math.IsNaN(c.RequestsPerSecond) || c.RequestsPerSecond < 0.01 || c.RequestsPerSecond > 1000 {
		p.Add("requestsPerSecond", fmt.Sprintf("%g is not between 0.01 and 1000", c.RequestsPerSecond), "set a rate like 2, which servers bear")
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

func (c *Config) validateSearch(p *setting.Problems) {
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

func (c *Config) validateTiers(p *setting.Problems) {
	if _, err := parseTime(c.StartFrom); err != nil && c.StartFrom != "" && c.StartFrom != startNow && c.StartFrom != startBeginning {
		p.Add("startFrom", fmt.Sprintf("%q is no beginning", c.StartFrom), "write now, beginning, or a time like 2026-11-23T00:00:00Z")
	}
	if c.Engine != engineAuto && c.Engine != string(engineWindows) {
		p.Add("engine", fmt.Sprintf("%q is no engine", c.Engine), "write auto or windows")
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
		p.Add("warm.back", "lookback, warm.back and cold.back do not grow", "let each tier look further back than the one before, like 72h, 720h, 8760h")
	}
	if c.MassChange.AtLeast < 0 || c.MassChange.Share < 0 || c.MassChange.Share > 1 || c.MassChange.Quiet < 0 {
		p.Add("massChange", "a number of updates or a time is negative, or the share is not between 0 and 1", "set atLeast: 1000, share: 0.5, quiet: 24h")
	}
	if c.Deletes.MaxShare < 0 || c.Deletes.MaxShare > 1 {
		p.Add("deletes.maxShare", fmt.Sprintf("%g is not between 0 and 1", c.Deletes.MaxShare), "set a share like 0.1")
	}
	if c.Deletes.Enabled && c.Sweep.Every == 0 {
		p.Add("deletes.enabled", "deletions are found by the sweep, which is off", "set sweep.every to a time like 168h")
	}
	if c.Static.Every.Std() < time.Second || c.Static.MaxItems < 1 {
		p.Add("static.every", "the time between two crawls is shorter than 1s, or there are no items to be read", "set every: 1h, maxItems: 1000000")
	}
	for i, pattern := range c.Static.Hosts {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			p.Add(fmt.Sprintf("static.hosts[%d]", i), fmt.Sprintf("%q is no pattern of hosts", pattern), "write a host like data.example.com, or a pattern like *.example.com")
		}
	}
	if c.MaxRemembered < 1 {
		p.Add("maxRemembered", fmt.Sprintf("cannot remember %d items", c.MaxRemembered), "set a number like 5000000")
	}
}

func (c *Config) validateTarget(p *setting.Problems) {
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
		if _, err := path.Match(name, ""); err != nil && isPattern(name) {
			p.Add(fmt.Sprintf("collections[%d]", i), fmt.Sprintf("%q is no pattern", name), "write one like sentinel-*")
		}
	}
}

func (c *Config) validateArea(p *setting.Problems) {
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

func (c *Config) header() http.Header {
	header := http.Header{}
	for _, h := range c.Headers {
		header.Add(h.Name, h.Value)
	}
	return header
}
