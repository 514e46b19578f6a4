package builtin

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/foreign"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
	"github.com/streamgate/streamgate/protocol/redisstreams/layout"
)

// maxChannelWait bounds how many messages wait in memory while Redis does not accept events; go-redis drops further
// ones.
const maxChannelWait = 1000

// A message is read like an entry with one field. FastStream, which publishes to channels as well, puts its container
// in the field fastStreamField of a stream; any other message stands in a field that no layout knows.
const (
	fastStreamField = "__data__"
	messageField    = "message"
)

// channelSource publishes the messages of a Pub/Sub channel. Redis does not store messages: those that are published
// while no replica listens are lost.
type channelSource struct {
	config    *RedisConfig
	env       source.Env
	layout    *layout.Layout
	templates []attributeTemplate
	down      bool
}

// newChannelSource returns the source of the channel.
func newChannelSource(c *RedisConfig, env source.Env) (*channelSource, error) {
	s := &channelSource{config: c, env: env}
	var err error
	if s.templates, err = c.templates(); err != nil {
		return nil, err
	}
	l := layout.Config{Name: layout.Auto, Lenient: c.Validation == "lenient"}
	if c.Layout == layout.FastStream {
		l = layout.Config{Name: layout.FastStream}
	}
	l.DataContentType, l.Complete = c.Event.DataContentType, s.complete
	s.layout, err = layout.New(l)
	return s, err
}

var _ source.Source = (*channelSource)(nil)

// RunOnce implements source.Source.
func (s *channelSource) RunOnce(context.Context) error { return source.ErrNotOnce }

// Run implements source.Source.
func (s *channelSource) Run(ctx context.Context) error {
	pauses := backoff.Policy{First: 100 * time.Millisecond, Max: time.Second}.Pauses()
	for ctx.Err() == nil {
		err := s.listen(ctx)
		if errors.Is(err, source.ErrFenced) || ctx.Err() != nil {
			return err
		}
		s.env.Monitor.Failed(ctx, err, time.Time{})
		if !s.down {
			s.down = true
			pauses.Reset()
			s.env.Logger.Warn("cannot listen to the channel, trying again; messages published meanwhile are lost",
				"channel", s.config.Channel, "err", err)
		}
		backoff.Sleep(ctx, pauses.Next())
	}
	return nil
}

func (s *channelSource) listen(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	subscription := s.env.Redis.Subscribe(ctx, s.config.Channel)
	defer context.AfterFunc(ctx, func() { _ = subscription.Close() })() // a read does not end with its context
	defer func() { _ = subscription.Close() }()                         // it was only read from
	if _, err := subscription.Receive(ctx); err != nil {
		return err
	}
	s.env.Monitor.Succeeded(ctx, 0, time.Time{})
	if s.down {
		s.down = false
		s.env.Logger.Info("listening to the channel again", "channel", s.config.Channel)
	}
	messages := make(chan string, maxChannelWait)
	failed := make(chan error, 1)
	go func() {
		for {
			message, err := subscription.ReceiveMessage(ctx)
			if err != nil {
				failed <- err
				return
			}
			select {
			case messages <- message.Payload:
			case <-ctx.Done():
				failed <- ctx.Err()
				return
			}
		}
	}()
	for {
		select {
		case payload := <-messages:
			if err := s.publish(ctx, payload, messages); err != nil {
				stop()
				return errors.Join(err, <-failed)
			}
		case err := <-failed:
			for len(messages) > 0 && ctx.Err() == nil { // they were received before the failure
				if err := s.publish(ctx, <-messages, messages); err != nil {
					return err
				}
			}
			return err
		}
	}
}

// publish publishes a message and those that wait behind it.
func (s *channelSource) publish(ctx context.Context, payload string, more <-chan string) error {
	var emissions []source.Emission
	for taken := 1; ; taken++ {
		if event, err := s.event(payload); err == nil {
			emissions = append(emissions, source.Emission{Event: event})
		} else {
			s.env.Logger.Error("a message does not hold a valid event and is left out", "channel", s.config.Channel, "err", err)
		}
		if taken == redisPage {
			break
		}
		select {
		case payload = <-more:
			continue
		default:
		}
		break
	}
	_, err := s.env.Outbox.Publish(ctx, emissions)
	if err == nil {
		s.env.Monitor.Succeeded(ctx, len(emissions), time.Time{})
	}
	return err
}

// event returns the event of a message: the CloudEvent in it, the message of FastStream in its container, or an event
// with the message as its data.
func (s *channelSource) event(payload string) (rawevent.Event, error) {
	text, err := foreign.ReadJSON(strings.NewReader(payload), foreign.Options{JSON: true})
	isJSON := err == nil
	if isJSON {
		payload = string(text.Bytes)
	}
	field := fastStreamField
	if isJSON && s.config.Layout != layout.FastStream { // any program may write the members of FastStream's JSON
		field = messageField
	}
	entry := redisstreams.Entry{Stream: s.config.Channel, Fields: []string{field, payload}}
	if event, err := s.layout.Event(&entry); !errors.Is(err, redisstreams.ErrUnknownEncoding) {
		return event, err
	}
	var event rawevent.Event
	event.Data, event.DataContentType = []byte(payload), s.config.Event.DataContentType
	switch {
	case event.DataContentType != "":
	case isJSON:
		event.DataContentType = "application/json"
	case utf8.ValidString(payload):
		event.DataContentType = "text/plain; charset=utf-8"
	default:
		event.DataContentType = "application/octet-stream"
	}
	if err := s.complete(&entry, &event); err != nil {
		return event, err
	}
	event.Set(rawevent.AttrSpecVersion, rawevent.SpecVersion)
	return event, event.Validate()
}

// complete sets the attributes that the event of a message lacks. Nothing identifies a message, so its id is random.
func (s *channelSource) complete(entry *redisstreams.Entry, event *rawevent.Event) error {
	if err := expand(s.templates, entry, event); err != nil {
		return err
	}
	channel := rawevent.New(uuid.NewString(), cmp.Or(s.config.Event.Source, "/channels/"+s.config.Channel), s.config.Event.Type)
	for _, t := range s.templates { // one that expands to nothing leaves the default
		switch t.attribute {
		case rawevent.AttrSource:
			channel.Set(rawevent.AttrSource, "/channels/"+s.config.Channel)
		case rawevent.AttrType:
			channel.Set(rawevent.AttrType, defaultEntryType)
		}
	}
	if channel.Validate() != nil { // the name of the channel is not valid in a URI
		channel.Set(rawevent.AttrSource, "/channels")
	}
	channel.Set(rawevent.AttrTime, time.Now().UTC().Format(time.RFC3339Nano))
	for _, attribute := range channel.Attributes {
		if _, found := event.Attribute(attribute.Name); !found && attribute.Name != rawevent.AttrSpecVersion {
			event.Set(attribute.Name, attribute.Value)
		}
	}
	return nil
}
