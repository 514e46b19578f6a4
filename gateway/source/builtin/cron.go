package builtin

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/adhocore/gronx"
	"github.com/google/uuid"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

func cronType() source.Type {
	return source.Type{Name: "cron", NewConfig: func(source.Defaults) source.Config { return NewCronConfig() }}
}

// CronConfig is the configuration of a source of type cron: it publishes an event whenever a schedule says so, as
// Knative's PingSource does.
type CronConfig struct {
	// Schedule is a cron expression of five fields (minute, hour, day of month, month, day of week), or of six with
	// seconds before them, or a word like @hourly.
	Schedule string `mapstructure:"schedule"`
	// TimeZone is a name of the IANA database, like Europe/Rome; default UTC. A time of the hour that is left out when
	// the clock goes forward comes an hour later, one of the hour that comes twice comes once; schedules of every hour
	// go by the hours that pass.
	TimeZone string `mapstructure:"timeZone"`
	// Data is the data of each event; default none. ContentType is its media type; default application/json.
	Data        string `mapstructure:"data"`
	ContentType string `mapstructure:"contentType"`
	// Event says what the events look like.
	Event CronEventConfig `mapstructure:"event"`
}

// CronEventConfig says what the events of a schedule look like.
type CronEventConfig struct {
	// Type is the type of the events; default dev.knative.sources.ping.
	Type string `mapstructure:"type"`
	// Source is their source; default /sources/NAME.
	Source string `mapstructure:"source"`
	// Subject is their subject; default none.
	Subject string `mapstructure:"subject"`
}

// tickGrace is how late a tick may be and still come: another replica takes over within the lease. Older ones are left
// out, as with PingSource.
const tickGrace = time.Minute

// NewCronConfig returns the defaults.
func NewCronConfig() *CronConfig {
	return &CronConfig{ContentType: "application/json", Event: CronEventConfig{Type: "dev.knative.sources.ping"}}
}

// Validate implements source.Config.
func (c *CronConfig) Validate(string) setting.Problems {
	var p setting.Problems
	if _, err := time.LoadLocation(c.TimeZone); err != nil {
		p.Add("timeZone", fmt.Sprintf("%q is not a known time zone", c.TimeZone), "write a name like Europe/Rome, or leave it out for UTC")
	} else if err := c.check(); err != nil {
		p.Add("schedule", err.Error(), `write five fields like "*/5 * * * *" (minute, hour, day, month, weekday), with one that comes at all`)
	}
	if c.ContentType == "application/json" && c.Data != "" && !json.Valid([]byte(c.Data)) {
		p.Add("data", "the data is not JSON, although contentType says so", "write JSON, or set contentType: text/plain")
	}
	if e := c.event("name", time.Unix(0, 0)); e.Validate() != nil {
		p.Add("event", "it makes no valid event", "give a type like com.example.tick and a source that is a URI-reference")
	}
	return p
}

func (c *CronConfig) check() error {
	if !gronx.IsValid(c.Schedule) {
		return fmt.Errorf("%q is not a valid cron expression", c.Schedule)
	}
	_, err := c.next(time.Now())
	return err
}

// next returns the first tick after a time.
func (c *CronConfig) next(after time.Time) (time.Time, error) {
	zone, err := time.LoadLocation(c.TimeZone)
	if err != nil {
		return time.Time{}, fmt.Errorf("time zone %q: %w", c.TimeZone, err)
	}
	local := after.In(zone)
	if c.isHourly() {
		_, offset := local.Zone()
		tick, err := gronx.NextTickAfter(c.Schedule, after.In(time.FixedZone("", offset)), false)
		return tick.UTC(), noTick(c.Schedule, err)
	}
	// The library is asked in a time without gaps, which the clock on the wall is taken for.
	wall := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), 0, time.UTC)
	for {
		if wall, err = gronx.NextTickAfter(c.Schedule, wall, false); err != nil {
			return time.Time{}, noTick(c.Schedule, err)
		}
		tick := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone)
		if tick.After(after) {
			return tick.UTC(), nil
		}
	}
}

func noTick(schedule string, err error) error {
	if err != nil {
		return fmt.Errorf("%q never comes: %w", schedule, err)
	}
	return nil
}

// isHourly tells whether the schedule comes in every hour.
func (c *CronConfig) isHourly() bool {
	fields := strings.Fields(c.Schedule)
	switch {
	case len(fields) == 5:
		return fields[1] == "*"
	case len(fields) > 5:
		return fields[2] == "*"
	}
	return c.Schedule == "@hourly" || strings.HasSuffix(c.Schedule, "minutes") || strings.HasSuffix(c.Schedule, "minute")
}

// event returns the event of a tick: the same on every replica.
func (c *CronConfig) event(name string, tick time.Time) rawevent.Event {
	source := c.Event.Source
	if source == "" {
		source = "/sources/" + name
	}
	at := tick.UTC().Format(time.RFC3339)
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte(source+"\n"+name+"\n"+at)).String()
	e := rawevent.New(id, source, c.Event.Type)
	e.Set(rawevent.AttrTime, at)
	if c.Event.Subject != "" {
		e.Set(rawevent.AttrSubject, c.Event.Subject)
	}
	if c.Data != "" {
		e.DataContentType, e.Data = c.ContentType, []byte(c.Data)
	}
	return e
}

// EventKinds implements source.Config: the file says what the events look like.
func (c *CronConfig) EventKinds() ([]source.EventKind, error) { return nil, nil }

// Report implements source.Config.
func (c *CronConfig) Report(map[string][]byte) (source.Report, error) {
	return source.Report{}, nil
}

// NewSource implements source.Config.
func (c *CronConfig) NewSource(env source.Env) (source.Source, error) {
	return &cronSource{config: c, env: env}, nil
}

// cronSource remembers its last tick, which it saves in the step that publishes it.
type cronSource struct {
	config *CronConfig
	env    source.Env
}

var _ source.Source = (*cronSource)(nil)

// RunOnce implements source.Source: it publishes the next tick, due or not.
func (s *cronSource) RunOnce(ctx context.Context) error {
	last, err := s.last(ctx)
	if err != nil {
		return err
	}
	tick, err := s.config.next(last)
	if err != nil {
		return err
	}
	return s.publish(ctx, tick)
}

// last returns the last tick, or the present if there was none, or if the clock was set back far behind it: ticks go on
// by the clock as it is. A tick that comes again has the same id.
func (s *cronSource) last(ctx context.Context) (time.Time, error) {
	saved, err := s.env.Outbox.Checkpoint(ctx)
	if err != nil {
		return time.Time{}, err
	}
	last, err := time.Parse(time.RFC3339, string(saved))
	if err != nil { // there was none yet
		last = time.Now()
	}
	return s.bounded(last), nil
}

// bounded returns the last tick, as far as the clock of this machine makes sense of it.
func (s *cronSource) bounded(last time.Time) time.Time {
	now := time.Now()
	switch oldest := now.Add(-tickGrace); {
	case last.Before(oldest):
		return oldest
	case last.After(now.Add(tickGrace)):
		s.env.Logger.Warn("the clock was set back behind the last tick; the schedule goes on by the clock, and ticks may come again",
			"last", last.UTC().Format(time.RFC3339))
		return now
	}
	return last
}

func (s *cronSource) publish(ctx context.Context, tick time.Time) error {
	emission := source.Emission{Event: s.config.event(s.env.Name, tick), Checkpoint: []byte(tick.Format(time.RFC3339))}
	_, err := s.env.Outbox.Publish(ctx, []source.Emission{emission})
	return err
}

// Run implements source.Source.
func (s *cronSource) Run(ctx context.Context) error {
	last, err := s.last(ctx)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		last = s.bounded(last)
		tick, err := s.config.next(last)
		if err != nil {
			return err
		}
		if wait := time.Until(tick); wait > 0 { // in small steps, because the clock may be set
			s.env.Monitor.Succeeded(ctx, 0, tick)
			backoff.Sleep(ctx, min(wait, tickGrace/4))
			continue
		}
		if err := s.publish(ctx, tick); err != nil {
			return err
		}
		last = tick
	}
	return nil
}
