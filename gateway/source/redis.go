package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func redisType() gateway.SourceType {
	return gateway.SourceType{Name: "redis", NewConfig: func() gateway.SourceConfig { return NewRedisConfig() }}
}

// RedisConfig is the configuration of a source of type redis: it reads a stream of the same Redis whose entries are flat
// fields, as the notebook that this gateway comes from writes them (subject, producer, href), and publishes each as a
// CloudEvent. Entries that hold a CloudEvent already are passed on as they are. It reads without a consumer group: the
// readers of the stream notice nothing.
type RedisConfig struct {
	// From is the stream to read.
	From string `mapstructure:"from"`
	// StartFrom is where to begin the first time: earliest (default), latest, or an entry id.
	StartFrom string `mapstructure:"startFrom"`
	// Event says what the events look like.
	Event RedisEventConfig `mapstructure:"event"`
}

// RedisEventConfig says what the events made of flat entries look like.
type RedisEventConfig struct {
	// Type is the type of the events; default dev.streamgate.entry.
	Type string `mapstructure:"type"`
	// Source is the source of the events; default /streams/NAME.
	Source string `mapstructure:"source"`
}

// NewRedisConfig returns the defaults.
func NewRedisConfig() *RedisConfig {
	return &RedisConfig{StartFrom: "earliest", Event: RedisEventConfig{Type: "dev.streamgate.entry"}}
}

// Validate implements gateway.SourceConfig.
func (c *RedisConfig) Validate() gateway.Problems {
	var p gateway.Problems
	if c.From == "" {
		p.Add("from", "there is no stream to read", "name the stream of the flat entries")
	}
	if c.StartFrom != "earliest" && c.StartFrom != "latest" && !entryID(c.StartFrom) {
		p.Add("startFrom", fmt.Sprintf("%q is no position in a stream", c.StartFrom), "write earliest, latest, or an entry id like 1700000000000-0")
	}
	probe := rawevent.New("x", c.source(), c.Event.Type)
	if err := probe.Validate(); err != nil {
		p.Add("event", err.Error(), "give a type like com.example.scene.found and a source that is a URI-reference")
	}
	return p
}

// ValidateStream refuses a source that would read what it writes.
func (c *RedisConfig) ValidateStream(stream string) gateway.Problems {
	var p gateway.Problems
	if c.From == stream && stream != "" {
		p.Add("from", fmt.Sprintf("the source would read the stream %q that it writes to", stream), "let it write to another stream")
	}
	return p
}

func entryID(s string) bool { return regexp.MustCompile(`^[0-9]{1,19}(-[0-9]{1,19})?$`).MatchString(s) }

func (c *RedisConfig) source() string {
	if c.Event.Source != "" {
		return c.Event.Source
	}
	return gateway.StreamSource(c.From)
}

// NewSource implements gateway.SourceConfig.
func (c *RedisConfig) NewSource(env gateway.SourceEnv) (gateway.Source, error) {
	return &redisSource{config: c, client: env.Redis, outbox: env.Outbox, log: env.Logger}, nil
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
	outbox *gateway.Outbox
	log    *slog.Logger
	down   bool
}

var _ gateway.Source = (*redisSource)(nil)

// Run implements gateway.Source.
func (s *redisSource) Run(ctx context.Context) error {
	saved, err := s.outbox.Checkpoint(ctx)
	if err != nil {
		return err
	}
	cursor := string(saved)
	for backoff := 100 * time.Millisecond; ctx.Err() == nil; {
		err := s.step(ctx, &cursor)
		switch {
		case err == nil:
			backoff = 100 * time.Millisecond
			s.report(nil)
		case errors.Is(err, gateway.ErrFenced) || ctx.Err() != nil:
			return err
		default:
			s.report(err)
			gateway.Sleep(ctx, backoff/2+rand.N(backoff/2))
			backoff = min(2*backoff, time.Second)
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
		if _, err := s.outbox.Publish(ctx, nil, []byte(first)); err != nil {
			return err
		}
		*cursor = first
	}
	readCtx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	entries, err := redisstreams.ReadAfter(readCtx, s.client, s.config.From, *cursor, redisPage, redisBlock)
	if err != nil || len(entries) == 0 {
		return err
	}
	var emissions []gateway.Emission
	last := entries[len(entries)-1].ID
	for i := range entries {
		event, err := s.event(&entries[i])
		if err != nil {
			s.log.Error("an entry makes no valid event and is left out", "from", s.config.From, "entry_id", entries[i].ID, "err", err)
			continue
		}
		emissions = append(emissions, gateway.Emission{Event: event, Checkpoint: []byte(entries[i].ID)})
	}
	if _, err := s.outbox.Publish(ctx, emissions, []byte(last)); err != nil {
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

// event makes an event of an entry. Its id is the entry's, so that it is the same whenever it is read.
func (s *redisSource) event(entry *redisstreams.Entry) (rawevent.Event, error) {
	event, err := entry.Event()
	switch {
	case errors.Is(err, redisstreams.ErrUnknownEncoding):
		event = s.flat(entry)
	case err != nil:
		return rawevent.Event{}, err
	}
	if err := event.Validate(); err != nil {
		return rawevent.Event{}, err
	}
	return event, nil
}

// flat makes an event of flat fields: subject becomes the attribute, the others the members of the data. For the entries
// of the origin that is exactly {"href", "producer"}.
func (s *redisSource) flat(entry *redisstreams.Entry) rawevent.Event {
	event := rawevent.New(entry.Stream+"/"+entry.ID, s.config.source(), s.config.Event.Type)
	if t, ok := gateway.EntryTime(entry.ID); ok {
		event.Set(rawevent.AttrTime, t)
	}
	if subject, found := entry.Field(rawevent.AttrSubject); found && subject != "" {
		event.Set(rawevent.AttrSubject, subject)
	}
	event.DataContentType, event.Data = "application/json", gateway.FieldsJSON(entry.Fields, rawevent.AttrSubject)
	return event
}
