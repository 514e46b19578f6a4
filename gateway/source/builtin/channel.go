package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// maxChannelWait bounds how many messages wait in memory while Redis does not take events; go-redis drops what comes on top.
const maxChannelWait = 1000

// channelSource publishes the messages of a Pub/Sub channel. Redis keeps none of them: what comes while nobody listens, such
// as between two replicas, is lost, which is the nature of Pub/Sub.
type channelSource struct {
	config *RedisConfig
	env    source.Env
	down   bool
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
			s.env.Logger.Warn("cannot listen to the channel, trying again; what comes meanwhile is lost", "channel", s.config.Channel, "err", err)
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
	defer func() { _ = subscription.Close() }()                         // nothing is owed
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
			for len(messages) > 0 && ctx.Err() == nil { // they came before
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
	emissions := []source.Emission{{Event: s.event(payload)}}
	for len(emissions) < redisPage {
		select {
		case next := <-more:
			emissions = append(emissions, source.Emission{Event: s.event(next)})
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

// event makes an event of a message: the one that it holds, or one with the message as its data.
func (s *channelSource) event(payload string) rawevent.Event {
	if e, err := rawevent.FromJSON([]byte(payload)); err == nil {
		return e
	}
	source := s.config.Event.Source
	if source == "" {
		source = "/channels/" + s.config.Channel
	}
	e := rawevent.New(uuid.NewString(), source, s.config.Event.Type)
	if e.Validate() != nil { // a name that makes no URI
		e = rawevent.New(e.ID(), "/channels", s.config.Event.Type)
	}
	e.Set(rawevent.AttrTime, time.Now().UTC().Format(time.RFC3339Nano))
	e.Data, e.DataContentType = []byte(payload), "application/octet-stream"
	switch {
	case json.Valid(e.Data):
		e.DataContentType = "application/json"
	case utf8.ValidString(payload):
		e.DataContentType = "text/plain; charset=utf-8"
	}
	return e
}
