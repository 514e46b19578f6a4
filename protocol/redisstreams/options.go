package redisstreams

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	defaultMaxInFlight = 64
	defaultDrain       = 10 * time.Second
)

type options struct {
	group       string
	consumer    []ConsumerOption
	sender      []SenderOption
	maxInFlight int
	drain       time.Duration
	log         *slog.Logger
}

// Option configures a [Protocol].
type Option func(*options) error

// WithGroup makes the protocol receive as a member of the consumer group, under a random member name. The options set
// where a new group begins, how long the lease is, and so on.
func WithGroup(group string, opts ...ConsumerOption) Option {
	return func(o *options) error {
		if group == "" {
			return errors.New("redisstreams: the name of the consumer group is empty")
		}
		o.group, o.consumer = group, opts
		return nil
	}
}

// WithSender sets how events are written: durability, deduplication, trimming, mirrored fields.
func WithSender(opts ...SenderOption) Option {
	return func(o *options) error {
		o.sender = append(o.sender, opts...)
		return nil
	}
}

// WithMaxInFlight limits the number of messages received and not yet finished; default 64. Further entries are not
// read.
func WithMaxInFlight(n int) Option {
	return func(o *options) error {
		if n < 1 {
			return fmt.Errorf("redisstreams: %d is not a valid number of messages in flight; set 1 or more", n)
		}
		o.maxInFlight = n
		return nil
	}
}

// WithDrainTimeout sets how long OpenInbound waits, when it ends, for messages to be finished; default 10 s.
func WithDrainTimeout(d time.Duration) Option {
	return func(o *options) error {
		o.drain = d
		return nil
	}
}

// WithLogger sets the logger; default is none. Outages and losses are logged, never single events.
func WithLogger(log *slog.Logger) Option {
	return func(o *options) error {
		if log == nil {
			return errors.New("redisstreams: the logger is nil")
		}
		o.log = log
		return nil
	}
}
