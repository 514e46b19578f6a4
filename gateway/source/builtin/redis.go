package builtin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func redisType() source.Type {
	return source.Type{Name: "redis", NewConfig: func(source.Defaults) source.Config { return NewRedisConfig() }}
}

// RedisConfig is the configuration of a source of type redis: it reads a stream of the same Redis that another program
// writes, and publishes each entry as a CloudEvent: flat fields, as the notebook that this gateway comes from writes them
// (subject, producer, href), or the entries of Dapr, watermill and others. Entries that hold a CloudEvent already are
// passed on as they are. It reads without a consumer group: the readers of the stream notice nothing.
type RedisConfig struct {
	// From is the stream to read; or Channel is a Pub/Sub channel to listen to, whose messages are CloudEvents in JSON, or
	// become the data of one.
	From    string `mapstructure:"from"`
	Channel string `mapstructure:"channel"`
	// StartFrom is where to begin the first time: earliest (default), latest, or an entry id.
	StartFrom string `mapstructure:"startFrom"`
	// Layout is how the entries are read: a name of redisstreams.Layouts, or auto (default), which finds out, and takes
	// an entry of no known program for flat fields.
	Layout string `mapstructure:"layout"`
	// Event says what the events look like.
	Event RedisEventConfig `mapstructure:"event"`
}

// RedisEventConfig says what events look like whose entries do not.
type RedisEventConfig struct {
	// Type is the type of the events; default dev.streamgate.entry.
	Type string `mapstructure:"type"`
	// Source is the source of the events; default /streams/NAME.
	Source string `mapstructure:"source"`
}

// NewRedisConfig returns the defaults.
func NewRedisConfig() *RedisConfig {
	return &RedisConfig{StartFrom: "earliest", Layout: redisstreams.LayoutAuto, Event: RedisEventConfig{Type: "dev.streamgate.entry"}}
}

// Validate implements source.Config.
func (c *RedisConfig) Validate(stream string) setting.Problems {
	var p setting.Problems
	if c.From == stream && stream != "" {
		p.Add("from", fmt.Sprintf("the source would read the stream %q that it writes to", stream), "let it write to another stream")
	}
	switch {
	case c.From == "" && c.Channel == "":
		p.Add("from", "there is no stream to read", "name the stream of the flat entries, or a channel")
	case c.From != "" && c.Channel != "":
		p.Add("from", "there are a stream and a channel", "keep one of from and channel")
	}
	if c.StartFrom != "earliest" && c.StartFrom != "latest" && !entryID(c.StartFrom) {
		p.Add("startFrom", fmt.Sprintf("%q is no position in a stream", c.StartFrom), "write earliest, latest, or an entry id like 1700000000000-0")
	}
	if c.Layout != redisstreams.LayoutAuto && !slices.Contains(redisstreams.Layouts(), c.Layout) {
		p.Add("layout", fmt.Sprintf("%q is no layout", c.Layout), "write auto, "+strings.Join(redisstreams.Layouts(), ", "))
		return p
	}
	if _, err := c.layout(c.Layout); err != nil || c.Event.Type == "" {
		p.Add("event", cmp.Or(err, errors.New("the type is empty")).Error(), "give a type like com.example.scene.found and a source that is a URI-reference")
	}
	return p
}

// layout returns the layout of that name for what this source reads.
func (c *RedisConfig) layout(name string) (*redisstreams.Layout, error) {
	l := redisstreams.LayoutConfig{Name: name, Source: c.Event.Source, Type: c.Event.Type}
	if name == redisstreams.LayoutFields { // all but the subject becomes data, as the origin's readers know it
		l.Fields.Subject = rawevent.AttrSubject
	}
	return redisstreams.NewLayout(l)
}

func entryID(s string) bool { return regexp.MustCompile(`^[0-9]{1,19}(-[0-9]{1,19})?$`).MatchString(s) }

// EventKinds implements source.Config: the file says what the events look like.
func (c *RedisConfig) EventKinds() ([]source.EventKind, error) { return nil, nil }

// Report implements source.Config.
func (c *RedisConfig) Report(map[string][]byte) (source.Report, error) {
	return source.Report{}, nil
}

// NewSource implements source.Config.
func (c *RedisConfig) NewSource(env source.Env) (source.Source, error) {
	if c.Channel != "" {
		return &channelSource{config: c, env: env}, nil
	}
	s := &redisSource{config: c, client: env.Redis, outbox: env.Outbox, health: env.Monitor, log: env.Logger}
	var err error
	if s.layout, err = c.layout(c.Layout); err == nil && c.Layout == redisstreams.LayoutAuto {
		s.flat, err = c.layout(redisstreams.LayoutFields)
	}
	return s, err
}

const (
	redisPage    = 100
	redisBlock   = time.Second
	redisTimeout = 5 * time.Second
)

// redisSource reads with a cursor, which is its checkpoint: it is saved in the step that publishes, so that each entry
// becomes one event.
type redisSource struct {
	config *RedisConfig
	client redis.UniversalClient
	outbox source.Outbox
	health *source.Monitor
	log    *slog.Logger
	layout *redisstreams.Layout
	flat   *redisstreams.Layout // for what layout does not know; nil where it was named
	found  int                  // entries of the last read
	down   bool
}

var _ source.Source = (*redisSource)(nil)

// RunOnce implements source.Source: it reads to the end of the stream.
func (s *redisSource) RunOnce(ctx context.Context) error {
	saved, err := s.outbox.Checkpoint(ctx)
	if err != nil {
		return err
	}
	for cursor := string(saved); ; {
		if err := s.step(ctx, &cursor); err != nil || s.found < redisPage {
			return err
		}
	}
}

// Run implements source.Source.
func (s *redisSource) Run(ctx context.Context) error {
	saved, err := s.outbox.Checkpoint(ctx)
	if err != nil {
		return err
	}
	cursor := string(saved)
	pauses := backoff.Policy{First: 100 * time.Millisecond, Max: time.Second}.Pauses()
	for ctx.Err() == nil {
		err := s.step(ctx, &cursor)
		switch {
		case err == nil:
			pauses.Reset()
			s.report(nil)
			s.health.Succeeded(ctx, s.found, time.Now().Add(redisTimeout))
		case errors.Is(err, source.ErrFenced) || ctx.Err() != nil:
			return err
		default:
			s.report(err)
			s.health.Failed(ctx, err, time.Time{})
			backoff.Sleep(ctx, pauses.Next())
		}
	}
	return nil
}

func (s *redisSource) report(err error) {
	switch {
	case err != nil && !s.down:
		s.log.Warn("cannot read the stream, trying again", "from", s.config.From, "err", err)
	case err == nil && s.down:
		s.log.Info("reading the stream again", "from", s.config.From)
	}
	s.down = err != nil
}

// step publishes the next entries behind the cursor, or waits a while for some.
func (s *redisSource) step(ctx context.Context, cursor *string) error {
	if *cursor == "" {
		first, err := s.start(ctx)
		if err != nil {
			return err
		}
		if _, err := s.outbox.Publish(ctx, nil, source.Save{Data: []byte(first)}); err != nil {
			return err
		}
		*cursor = first
	}
	readCtx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	entries, err := redisstreams.ReadAfter(readCtx, s.client, s.config.From, *cursor, redisPage, redisBlock)
	s.found = len(entries)
	if err != nil || len(entries) == 0 {
		return err
	}
	var emissions []source.Emission
	last := entries[len(entries)-1].ID
	for i := range entries {
		event, err := s.event(&entries[i])
		if err != nil {
			s.log.Error("an entry makes no valid event and is left out", "from", s.config.From, "entry_id", entries[i].ID, "err", err)
			continue
		}
		emissions = append(emissions, source.Emission{Event: event, Checkpoint: []byte(entries[i].ID)})
	}
	if _, err := s.outbox.Publish(ctx, emissions, source.Save{Data: []byte(last)}); err != nil {
		return err
	}
	*cursor = last
	return nil
}

// start returns where to begin when there is no checkpoint.
func (s *redisSource) start(ctx context.Context) (string, error) {
	switch s.config.StartFrom {
	case "earliest":
		return "0-0", nil
	case "latest":
		last, err := s.client.XRevRangeN(ctx, s.config.From, "+", "-", 1).Result()
		if err != nil {
			return "", fmt.Errorf("look up the end of stream %q: %w", s.config.From, err)
		}
		if len(last) == 0 {
			return "0-0", nil
		}
		return last[0].ID, nil
	default:
		return s.config.StartFrom, nil
	}
}

// event makes an event of an entry, the same whenever it is read.
func (s *redisSource) event(entry *redisstreams.Entry) (rawevent.Event, error) {
	event, err := s.layout.Event(entry)
	if errors.Is(err, redisstreams.ErrUnknownEncoding) && s.flat != nil {
		return s.flat.Event(entry)
	}
	return event, err
}
