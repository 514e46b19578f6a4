// Package stac is the source type that watches a STAC API: it searches collections again and again and publishes a
// CloudEvent for each item that is new or has changed.
//
// It searches one collection at a time with the client of package stacapi, and relies only on what a server has proved.
// What was seen is kept in Redis, in the step that publishes it, so that a restart repeats nothing and misses nothing.
// docs/stac.md says how changes are found and what is guaranteed.
//
// The parts of a source, each with a file of its own name: engines choose how a collection is watched; the poller, the
// tiers and the backfills search it, the crawler reads static catalogs; the detector tells what has changed, and the
// mapper makes events of it; alarms hold mass changes back; deletions find what is gone; collections and states own the
// checkpoint.
package stac

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway/area"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Type returns the source type, for the list of a gateway. Its sources share the limits of requests to each host.
func Type() source.Type {
	shared := stacapi.NewHosts()
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
	// AllowHosts are hosts, patterns of hosts and networks that links may lead to although they are not public; see
	// [guard.New]. Default none; where the host of url is itself not public, links may lead anywhere.
	AllowHosts []string `mapstructure:"allowHosts"`
	// Links says what to do with links of the server to other addresses than url, such as http or an internal host
	// where the server is behind a proxy: auto (default; they are resolved against url if they prove unusable),
	// asGiven, or rebase (all are resolved against url at once, those of items, too).
	Links string `mapstructure:"links"`
	// RequestsPerSecond is the rate of requests to a host, of all sources together; default 2. Their lowest rate
	// counts.
	RequestsPerSecond float64 `mapstructure:"requestsPerSecond"`
	// Event says what the events look like.
	Event EventConfig `mapstructure:"event"`
	// StartFrom says what is new at the beginning: now (nothing that is there), beginning (everything), or a time;
	// items that are older by their datetime, or by updated where the server filters by it, are only noted. Default is
	// lookback before now, or everything with datetime.
	StartFrom string `mapstructure:"startFrom"`
	// Engine is how changes are found: auto (default; the best that the server has proved to support), or windows.
	Engine string `mapstructure:"engine"`
	// Warm and Cold search further back than a poll, less often; defaults 720h every 1h, and 8760h every 24h. Where the
	// server tells what was updated, they search back four times their interval.
	Warm TierConfig `mapstructure:"warm"`
	Cold TierConfig `mapstructure:"cold"`
	// Sweep searches everything, slowly, and compares the content; default every 168h, without an end. 0 is never.
	Sweep TierConfig `mapstructure:"sweep"`
	// IgnoreTouches leaves out updates that change nothing but updated.
	IgnoreTouches bool `mapstructure:"ignoreTouches"`
	// MassChange holds updates back when too many come at once.
	MassChange MassChangeConfig `mapstructure:"massChange"`
	// Deletes publishes what was deleted.
	Deletes DeletesConfig `mapstructure:"deletes"`
	// CollectionEvents publishes changes of the collections themselves.
	CollectionEvents bool `mapstructure:"collectionEvents"`
	// CollectionsInterval is the time between two reads of the list of collections; default 10m.
	CollectionsInterval setting.Duration `mapstructure:"collectionsInterval"`
	// MaxRemembered is the capacity for seen items, at 36 bytes of Redis each; default 5000000. At nine tenths only
	// polls go on.
	MaxRemembered int64 `mapstructure:"maxRemembered"`
	// Static says how a catalog is read that cannot be searched.
	Static StaticConfig `mapstructure:"static"`
	// Backfill searches windows of the past, once each, between the polls.
	Backfill *BackfillConfig `mapstructure:"backfill"`

	pace  pace
	hosts *stacapi.Hosts // shared with other sources
}

var _ source.Config = (*Config)(nil)

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

// TierConfig says how far back a tier searches, and how often.
type TierConfig struct {
	// Back is how old items may be; 0 is without an end (sweep only).
	Back setting.Duration `mapstructure:"back"`
	// Every is the time between the beginnings of two searches; 0 is never.
	Every setting.Duration `mapstructure:"every"`
}

// MassChangeConfig says when updates of a collection are held back: servers have changed all items with a new release.
type MassChangeConfig struct {
	// AtLeast is how many updates one search has to find; default 1000; 0 is never.
	AtLeast int `mapstructure:"atLeast"`
	// Share is the share of the items found that this has to be; default 0.5.
	Share float64 `mapstructure:"share"`
	// Quiet is how long no new alarm is raised after updates were released; default 24h.
	Quiet setting.Duration `mapstructure:"quiet"`
}

// DeletesConfig says how deletions are found: items that a complete sweep has not found and the server twice says are
// gone.
type DeletesConfig struct {
	// Enabled turns it on; default false. It needs a sweep.
	Enabled bool `mapstructure:"enabled"`
	// MaxShare is the share of a collection that may be missing at once (above 20 items); more is not believed. Default
	// 0.1.
	MaxShare float64 `mapstructure:"maxShare"`
}

// StaticConfig says how a static catalog is read, which has no search.
type StaticConfig struct {
	// Every is the time between the beginnings of two crawls; default 1h.
	Every setting.Duration `mapstructure:"every"`
	// Hosts are patterns (path.Match) of the hosts, besides that of url, that links are followed to; default none.
	Hosts []string `mapstructure:"hosts"`
	// MaxItems is how many items are read at most; default 1000000. More are an error.
	MaxItems int `mapstructure:"maxItems"`
}

// Values of the configuration.
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
		Engine: engineAuto, Links: string(stacapi.LinksAuto), Warm: TierConfig{Back: hours(720), Every: hours(1)},
		Cold:  TierConfig{Back: hours(8760), Every: hours(24)},
		Sweep: TierConfig{Every: hours(168)}, MassChange: MassChangeConfig{AtLeast: 1000, Share: 0.5, Quiet: hours(24)},
		Deletes: DeletesConfig{MaxShare: 0.1}, CollectionsInterval: setting.Duration(10 * time.Minute),
		MaxRemembered: source.DefaultSeenLimit, Static: StaticConfig{Every: hours(1), MaxItems: 1_000_000},
		RequestsPerSecond: stacapi.DefaultRequestsPerSecond, hosts: stacapi.NewHosts(),
		pace: pace{pause: stacapi.DefaultMinPause},
	}
}

func hours(n int) setting.Duration { return setting.Duration(time.Duration(n) * time.Hour) }

// Validate returns everything that is wrong.
func (c *Config) Validate(string) setting.Problems {
	var p setting.Problems
	validateTarget(c, &p)
	validateSearch(c, &p)
	validateTiers(c, &p)
	validateBounds(c, &p)
	validateRequests(c, &p)
	p.AddAll("event", c.Event.validate())
	if c.Backfill != nil {
		p.AddAll("backfill", c.Backfill.withDefaults().validate())
	}
	return p
}

// NewSource implements source.Config.
func (c *Config) NewSource(e source.Env) (source.Source, error) {
	s, err := newSource(c, e)
	if err != nil {
		return nil, err
	}
	e.Outbox.Seen().SetLimit(c.MaxRemembered)
	return s, nil
}

// Report implements source.Config.
func (c *Config) Report(parts map[string][]byte) (source.Report, error) {
	return reportOf(c, parts)
}

// configuredWindows returns the windows of the backfill of the configuration.
func (c *Config) configuredWindows() []stacapi.Interval {
	if c.Backfill == nil {
		return nil
	}
	return c.Backfill.withDefaults().windows()
}

// EventKinds implements source.Config: an item or a collection was created, changed or deleted.
func (c *Config) EventKinds() ([]source.EventKind, error) { return eventKinds(c) }

// Estimate searches the windows of a backfill, and tells how many events it would publish: of the items that were never
// published, as the Redis of env knows. progress is called after each window. It makes the requests of the backfill
// itself, publishes nothing and notes nothing. It blocks until all is known or ctx ends.
func (c *Config) Estimate(
	ctx context.Context, b *Backfill, e source.Env, progress func(e Estimate, total int),
) (Estimate, error) {
	preview := source.NewPreview(e.Redis, e, func(*rawevent.Event) error { return nil })
	preview.SetLimit(c.MaxRemembered)
	e.Outbox = preview
	s, err := newSource(c, e)
	if err != nil {
		return Estimate{}, err
	}
	defer s.api.Close()
	return estimate(ctx, s, b, progress)
}

// needsList reports whether the list of collections is needed at all: an API need not have one.
func (c *Config) needsList() bool {
	return c.CollectionEvents || slices.ContainsFunc(c.Collections, isPattern)
}

// scope returns the interval of the configuration, or the zero one.
func (c *Config) scope() stacapi.Interval {
	if c.Datetime == "" {
		return stacapi.Interval{}
	}
	w, err := stacapi.ParseInterval(c.Datetime)
	if err != nil {
		return stacapi.Interval{} // Validate has refused it
	}
	return w
}

// area returns where items have to lie; nil is everywhere.
func (c *Config) area() (*area.Area, error) {
	switch {
	case len(c.BBox) > 0:
		return area.Box(c.BBox)
	case c.Intersects != "":
		return area.Parse(c.Intersects)
	}
	return nil, nil //nolint:nilnil // the usual case
}

// from returns what is new at the beginning: everything of a collection that is itself new.
func (c *Config) from(now time.Time, isNewCollection bool) time.Time {
	switch c.StartFrom {
	case "":
		if c.Datetime != "" || isNewCollection {
			return time.Time{}
		}
		return now.Add(-c.Lookback.Std())
	case startBeginning:
		return time.Time{}
	case startNow:
		if isNewCollection {
			return time.Time{}
		}
		return now
	}
	t, err := stacapi.ParseTime(c.StartFrom)
	if err != nil {
		return now // Validate has refused it
	}
	return t
}

func (c *Config) header() http.Header {
	header := http.Header{}
	for _, h := range c.Headers {
		header.Add(h.Name, h.Value)
	}
	return header
}
