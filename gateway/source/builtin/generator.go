package builtin

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/template"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

func generatorType() source.Type {
	return source.Type{Name: "generator", NewConfig: func(source.Defaults) source.Config { return NewGeneratorConfig() }}
}

// GeneratorConfig is the configuration of a source of type generator: it makes events up, to try things out.
type GeneratorConfig struct {
	// Rate is how many events a second; default 1; 0 is as many as go.
	Rate float64 `mapstructure:"rate"`
	// Count is how many events in all; default 0, unlimited.
	Count int64 `mapstructure:"count"`
	// Type, Subject and Data are templates, see [template.Parse], of n (the number of the event, from 1), time, uuid,
	// and name (of the source); Source is the source of the events, default /sources/NAME. Default type is
	// dev.streamgate.generated, default data {"n":{n}}.
	Event GeneratorEventConfig `mapstructure:"event"`
}

// GeneratorEventConfig says what events look like that are made up.
type GeneratorEventConfig struct {
	Type        string `mapstructure:"type"`
	Source      string `mapstructure:"source"`
	Subject     string `mapstructure:"subject"`
	Data        string `mapstructure:"data"`
	ContentType string `mapstructure:"contentType"`
}

// generatorStep is how many events are published at once at most.
const generatorStep = 100

// NewGeneratorConfig returns the defaults.
func NewGeneratorConfig() *GeneratorConfig {
	return &GeneratorConfig{Rate: 1, Event: GeneratorEventConfig{
		Type: "dev.streamgate.generated", Data: `{{"n":{n}}`, ContentType: "application/json",
	}}
}

// Validate implements source.Config.
func (c *GeneratorConfig) Validate(string) setting.Problems {
	var p setting.Problems
	if math.IsNaN(c.Rate) || c.Rate < 0 || c.Count < 0 {
		p.Add("rate", "the rate or the count is less than nothing", "set numbers like rate: 10, count: 1000, or 0")
	}
	maker, problems := c.maker("name")
	p = append(p, problems...)
	if len(problems) > 0 {
		return p
	}
	if e, err := maker.event(1); err != nil || e.Validate() != nil {
		p.Add("event", "it makes no valid event", "give a type like com.example.made-up and a source that is a URI-reference")
	}
	return p
}

// maker makes the events of a generator.
type maker struct {
	config                      *GeneratorConfig
	name, source                string
	eventType, subject, content template.Template
}

func (c *GeneratorConfig) maker(name string) (*maker, setting.Problems) {
	var p setting.Problems
	m := &maker{config: c, name: name, source: c.Event.Source}
	if m.source == "" {
		m.source = "/sources/" + name
	}
	for _, t := range []struct {
		path, text string
		to         *template.Template
	}{{"event.type", c.Event.Type, &m.eventType}, {"event.subject", c.Event.Subject, &m.subject}, {"event.data", c.Event.Data, &m.content}} {
		parsed, err := template.Parse(t.text, "n", "time", "uuid", "name")
		if err != nil {
			p.Add(t.path, err.Error(), "use {n}, {time}, {uuid} and {name}, and {{ for a brace")
		}
		*t.to = parsed
	}
	return m, p
}

// event returns event number n: its id is the same on every replica.
func (m *maker) event(n int64) (rawevent.Event, error) {
	id := uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "%s\n%s\n%d", m.source, m.name, n)).String()
	now := time.Now().UTC().Format(time.RFC3339Nano)
	lookup := func(name string) (string, bool) {
		switch name {
		case "n":
			return strconv.FormatInt(n, 10), true
		case "time":
			return now, true
		case "uuid":
			return id, true
		}
		return m.name, true
	}
	var texts [3]string
	for i, t := range []template.Template{m.eventType, m.subject, m.content} {
		text, err := t.Expand(nil, lookup)
		if err != nil {
			return rawevent.Event{}, fmt.Errorf("expand a template: %w", err)
		}
		texts[i] = string(text)
	}
	e := rawevent.New(id, m.source, texts[0])
	e.Set(rawevent.AttrTime, now)
	if texts[1] != "" {
		e.Set(rawevent.AttrSubject, texts[1])
	}
	if texts[2] != "" {
		e.DataContentType, e.Data = m.config.Event.ContentType, []byte(texts[2])
	}
	return e, nil
}

// EventKinds implements source.Config: the file says what the events look like.
func (c *GeneratorConfig) EventKinds() ([]source.EventKind, error) { return nil, nil }

// Report implements source.Config.
func (c *GeneratorConfig) Report(map[string][]byte) (source.Report, error) {
	return source.Report{}, nil
}

// pause returns the longest time that is expected between two events.
func (c *GeneratorConfig) pause() time.Duration {
	if c.Rate == 0 {
		return time.Second
	}
	return time.Second + time.Duration(min(float64(time.Second)/c.Rate, float64(math.MaxInt64/2)))
}

// NewSource implements source.Config.
func (c *GeneratorConfig) NewSource(env source.Env) (source.Source, error) {
	m, problems := c.maker(env.Name)
	if len(problems) > 0 {
		return nil, fmt.Errorf("configure the events: %w", problems)
	}
	return &generator{maker: m, outbox: env.Outbox, health: env.Monitor}, nil
}

// generator remembers how many events it has made, which it saves in the step that publishes them.
type generator struct {
	maker  *maker
	outbox source.Outbox
	health *source.Monitor
}

var _ source.Source = (*generator)(nil)

// RunOnce implements source.Source: it publishes the events of one second, at most 100.
func (g *generator) RunOnce(ctx context.Context) error {
	done, err := g.done(ctx)
	if err != nil {
		return err
	}
	config, n := g.maker.config, int64(generatorStep)
	if config.Rate > 0 {
		n = min(max(int64(config.Rate), 1), generatorStep)
	}
	if config.Count > 0 {
		n = min(n, max(config.Count-done, 0))
	}
	return g.publish(ctx, &done, n)
}

// done returns how many events were published.
func (g *generator) done(ctx context.Context) (int64, error) {
	saved, err := g.outbox.Checkpoint(ctx)
	if err != nil {
		return 0, err
	}
	done, err := strconv.ParseInt(string(saved), 10, 64)
	if err != nil { // there was none yet
		done = 0
	}
	return done, nil
}

// publish publishes the next n events.
func (g *generator) publish(ctx context.Context, done *int64, n int64) (err error) {
	emissions := make([]source.Emission, n)
	for i := range emissions {
		*done++
		emissions[i].Checkpoint = strconv.AppendInt(nil, *done, 10)
		if emissions[i].Event, err = g.maker.event(*done); err != nil {
			return err
		}
	}
	_, err = g.outbox.Publish(ctx, emissions)
	return err
}

// Run implements source.Source.
func (g *generator) Run(ctx context.Context) error {
	done, err := g.done(ctx)
	if err != nil {
		return err
	}
	config, limit := g.maker.config, rate.NewLimiter(rate.Inf, generatorStep)
	if config.Rate > 0 {
		limit = rate.NewLimiter(rate.Limit(config.Rate), generatorStep)
		limit.AllowN(time.Now(), generatorStep) // no burst at the beginning
	}
	for config.Count == 0 || done < config.Count {
		n := int64(1)
		if config.Rate == 0 || config.Rate > 10 {
			n = min(max(int64(config.Rate/10), 1), generatorStep) // ten times a second
			if config.Rate == 0 {
				n = generatorStep
			}
		}
		if config.Count > 0 {
			n = min(n, config.Count-done)
		}
		if err := limit.WaitN(ctx, int(n)); err != nil {
			return ctx.Err()
		}
		if err := g.publish(ctx, &done, n); err != nil {
			return err
		}
		g.health.Succeeded(ctx, int(n), time.Now().Add(config.pause()))
	}
	g.health.Succeeded(ctx, 0, time.Time{}) // it waits for nothing
	<-ctx.Done()
	return nil
}
