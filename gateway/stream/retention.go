package stream

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamgate/streamgate/gateway/setting"
)

// ErrFull is returned for a stream that holds as many entries as its retention.hardLength lets it.
var ErrFull = errors.New("the stream is full: it holds retention.hardLength entries")

// RetentionConfig says what is removed from a stream. Only hardLength ever costs an event: it is refused.
type RetentionConfig struct {
	// MaxLength is how many entries are kept; default 0, which is all. More stay where a consumer group has not
	// acknowledged them.
	MaxLength int64 `mapstructure:"maxLength"`
	// MaxAge is how long entries are kept; default 0, which is for ever. Those that a consumer group has not
	// acknowledged stay longer.
	MaxAge setting.Duration `mapstructure:"maxAge"`
	// HardLength is how many entries the stream may hold at all: then events are refused, with 503; default 0, which is
	// as many as Redis has room for.
	HardLength int64 `mapstructure:"hardLength"`
}

func (c *RetentionConfig) trims() bool { return c.MaxLength > 0 || c.MaxAge > 0 }

func (c *RetentionConfig) validate() setting.Problems {
	var p setting.Problems
	if c.MaxLength < 0 {
		p.Add("maxLength", fmt.Sprintf("cannot keep %d entries", c.MaxLength), "set how many to keep, or 0 for all")
	}
	if c.MaxAge != 0 && c.MaxAge.Std() < time.Second {
		p.Add("maxAge", fmt.Sprintf("%s is shorter than 1s", c.MaxAge), "set a time like 168h, or 0 for ever")
	}
	if c.HardLength < 0 {
		p.Add("hardLength", fmt.Sprintf("cannot refuse events at %d entries", c.HardLength), "set a number above maxLength, or 0 for none")
	}
	if c.HardLength > 0 && c.HardLength <= c.MaxLength {
		p.Add("hardLength", fmt.Sprintf("events would be refused at %d entries, and none is removed before there are %d (maxLength)", c.HardLength, c.MaxLength),
			"make it larger than maxLength, by what may come while subscriptions are behind")
	}
	return p
}

// Capacity is how much a stream may still take, as far as this process knows: from its length in the last snapshot, and
// what this process has added since. It is safe for concurrent use.
type Capacity struct {
	stream string
	hard   int64 // 0: no bound
	log    *slog.Logger
	gauge  prometheus.Gauge

	length, added atomic.Int64
	refusing      atomic.Bool // that it is full was logged
}

func newCapacity(c *Config, log *slog.Logger, m *Metrics) *Capacity {
	return &Capacity{stream: c.Name, hard: c.Retention.HardLength, log: log, gauge: m.full.WithLabelValues(c.Name)}
}

// Take reserves n entries that are about to be added, or returns ErrStreamFull if the stream cannot take them. What is
// not added after all counts until the next snapshot.
func (c *Capacity) Take(n int) error {
	for c.hard > 0 {
		added := c.added.Load()
		if c.length.Load()+added+int64(n) > c.hard {
			c.note(true)
			return fmt.Errorf("stream %q: %w", c.stream, ErrFull)
		}
		if c.added.CompareAndSwap(added, added+int64(n)) {
			break
		}
	}
	return nil
}

// learn notes what a snapshot has shown; added is what c.added was before that.
func (c *Capacity) learn(length, added int64) {
	c.length.Store(length)
	c.added.Add(-added)
	c.note(c.hard > 0 && length >= c.hard)
}

// note logs once when the stream becomes full and once when it takes events again.
func (c *Capacity) note(full bool) {
	if !c.refusing.CompareAndSwap(!full, full) {
		return
	}
	if full {
		c.gauge.Set(1)
		c.log.Error("the stream is full and events are refused; let its subscriptions catch up, or raise retention.hardLength",
			"stream", c.stream, "hard_length", c.hard)
		return
	}
	c.gauge.Set(0)
	c.log.Info("the stream takes events again", "stream", c.stream)
}
