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
	"github.com/streamgate/streamgate/protocol/redisstreams/layout"
)

func redisType() source.Type {
	return source.Type{Name: "redis", NewConfig: func(source.Defaults) source.Config { return NewRedisConfig() }}
}

// RedisConfig is the configuration of a source of type redis, which reads a stream that another program writes to the
// same Redis, and publishes each entry as a CloudEvent: flat fields, such as those of the notebook that this gateway
// comes from (subject, producer, href), or entries of Dapr, Debezium, FastStream and others. Entries that already hold
// a CloudEvent are passed on unchanged. It reads without a consumer group, so that other readers are not affected.
type RedisConfig struct {
	// From is the stream to read. Channel, instead, is a Pub/Sub channel to listen to, whose messages are CloudEvents
	// in JSON, or become the data of events.
	From    string `mapstructure:"from"`
	Channel string `mapstructure:"channel"`
	// StartFrom is where to begin the first time: earliest (default), latest, or an entry id.
	StartFrom string `mapstructure:"startFrom"`
	// Layout is the format of the entries: one of layout.Names, or auto (default), which detects it for each entry, and
	// reads entries of an unknown format by Fields.
	Layout string `mapstructure:"layout"`
	// Fields says what the fields of entries of an unknown format are.
	Fields RedisFieldsConfig `mapstructure:"fields"`
	// Validation is strict (default), or lenient to repair CloudEvents in JSON that are not valid.
	Validation string `mapstructure:"validation"`
	// Event describes events whose entries do not set these attributes themselves.
	Event RedisEventConfig `mapstructure:"event"`
}

// RedisEventConfig describes events whose entries do not set these attributes themselves. All but DataContentType are
// templates, see [template.Parse], of {field:NAME}, a field of the entry, {data:NAME}, a member of the data, {stream}
// and {entryId}; of {data:NAME} and {channel} for a channel.
type RedisEventConfig struct {
	// ID is the id of the events; default STREAM/ENTRY-ID, or a random one for a channel.
	ID string `mapstructure:"id"`
	// Type is the type of the events; default dev.streamgate.entry.
	Type string `mapstructure:"type"`
	// Source is the source of the events; default /streams/NAME.
	Source string `mapstructure:"source"`
	// Subject is the subject of the events; default none.
	Subject string `mapstructure:"subject"`
	// DataContentType is the media type of data for which the entry states none; default application/json for a JSON
	// object or array, otherwise none.
	DataContentType string `mapstructure:"dataContentType"`
}

const defaultEntryType = "dev.streamgate.entry"

// NewRedisConfig returns the defaults.
func NewRedisConfig() *RedisConfig {
	return &RedisConfig{
		StartFrom: "earliest", Layout: layout.Auto, Validation: "strict", Event: RedisEventConfig{Type: defaultEntryType},
	}
}

// Validate implements source.Config.
func (c *RedisConfig) Validate(stream string) setting.Problems {
	var p setting.Problems
	if c.From == stream && stream != "" {
		p.Add("from", fmt.Sprintf("the source would read the stream %q that it writes to", stream),
			"publish to another stream")
	}
	switch {
	case c.From == "" && c.Channel == "":
		p.Add("from", "neither a stream nor a channel is set", "name the stream to read, or a channel")
	case c.From != "" && c.Channel != "":
		p.Add("from", "both a stream and a channel are set", "keep either from or channel")
	}
	if c.StartFrom != "earliest" && c.StartFrom != "latest" && !entryID(c.StartFrom) {
		p.Add("startFrom", fmt.Sprintf("%q is not a position in a stream", c.StartFrom),
			"write earliest, latest, or an entry id like 1700000000000-0")
	}
	if c.Layout != layout.Auto && !slices.Contains(layout.Names(), c.Layout) {
		p.Add("layout", fmt.Sprintf("%q is not a layout", c.Layout), "write auto, "+strings.Join(layout.Names(), ", "))
		return p
	}
	before := len(p)
	if c.checkFields(&p); len(p) > before {
		return p // the event needs the fields
	}
	if _, err := c.layout(c.Layout); err != nil || c.Event.Type == "" {
		p.Add("event", cmp.Or(err, errors.New("the type is empty")).Error(),
			"set a type like com.example.scene.found or com.example.{field:NAME}, and a source that is a URI-reference")
	}
	return p
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
		return newChannelSource(c, env)
	}
	s := &redisSource{config: c, client: env.Redis, outbox: env.Outbox, health: env.Monitor, log: env.Logger}
	var err error
	if s.layout, err = c.layout(c.Layout); err == nil && c.Layout == layout.Auto {
		s.flat, err = c.layout(layout.Fields)
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
	layout *layout.Layout
	flat   *layout.Layout // for entries that layout does not know; nil if a layout is named
	found  int            // entries of the last read
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
			s.log.Error("an entry does not hold a valid event and is left out",
				"from", s.config.From, "entry_id", entries[i].ID, "err", err)
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
			return "", fmt.Errorf("find the end of stream %q: %w", s.config.From, err)
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
	entry = s.config.tidy(entry)
	event, err := s.layout.Event(entry)
	if errors.Is(err, redisstreams.ErrUnknownEncoding) && s.flat != nil {
		return s.flat.Event(entry)
	}
	return event, err
}
