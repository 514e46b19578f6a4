package stream

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/state"
)

// Periods and bounds of a maintainer.
const (
	passPeriod      = 2 * time.Second // between two passes, and up to a quarter more
	slowestPeriod   = 30 * time.Second
	passTimeout     = 10 * time.Second // of one pass
	pipelineLength  = 500              // commands of one pipeline
	positionsPeriod = time.Minute      // all positions are written again, in case that Redis has lost some
)

// Reader is a subscription to a stream, as far as looking after the stream depends on it.
type Reader struct {
	Name   string
	Forget bool // retention may remove what it has not acknowledged
}

// Maintainer looks after one stream, on every replica: every few seconds it takes a snapshot of the stream and its
// groups, saves the positions of the subscriptions, removes what is not needed any more, and updates the metrics. What
// it writes is the same on every replica, or is done by a script that finds nothing left to do the second time, so that
// replicas need not agree on one of them, and a kill -9 between two steps costs nothing but the time until the next
// pass.
type Maintainer struct {
	client   redis.UniversalClient
	stream   *Config
	list     func(stream string) []Reader
	capacity *Capacity
	metrics  *Metrics
	log      *slog.Logger

	// For the goroutine that makes the passes.
	readers   []Reader        // as of this pass
	ours      map[string]bool // their groups
	down      bool
	written   map[string]string // positions
	writtenAt time.Time
	tallies   map[string]*tally // by subscription
	last      *snapshot         // counters of the last one
	budget    int               // scripts that this pass may still spend on counting
	holding   holding
	probed    bool // it is known whether the server can trim what is acknowledged

	trimsAcknowledged bool
}

// NewMaintainer returns the maintainer of a configured stream, whose capacity it updates. readers returns the
// subscriptions to a stream that there are at the moment; it must not block.
func NewMaintainer(
	client redis.UniversalClient, stream *Config, capacity *Capacity, readers func(stream string) []Reader,
	metrics *Metrics, log *slog.Logger,
) *Maintainer {
	return &Maintainer{
		client: client, stream: stream, list: readers, capacity: capacity, metrics: metrics,
		log: log.With("stream", stream.Name), written: map[string]string{}, tallies: map[string]*tally{},
	}
}

// updateReaders finds out which subscriptions there are, and drops what is known of those that are gone.
func (m *Maintainer) updateReaders() {
	m.readers, m.ours = m.list(m.stream.Name), map[string]bool{}
	here := map[string]bool{}
	for _, s := range m.readers {
		m.ours[state.GroupName(s.Name)], here[s.Name] = true, true
	}
	maps.DeleteFunc(m.written, func(name, _ string) bool { return !here[name] })
	maps.DeleteFunc(m.tallies, func(name string, _ *tally) bool { return !here[name] })
}

// Run makes passes until ctx ends, and a last one, so that a later start finds the latest positions.
func (m *Maintainer) Run(ctx context.Context) {
	for period := passPeriod; backoff.Sleep(ctx, period+rand.N(period/4)); {
		started := time.Now()
		if m.Pass(ctx) {
			period = min(max(passPeriod, 20*time.Since(started)), slowestPeriod) // at most 5 % of the time
		} else {
			period = min(2*period, slowestPeriod/2)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), state.StepTimeout)
	defer cancel()
	if v, err := m.takeSnapshot(last); err == nil {
		_ = m.savePositions(last, v) // those of the last pass are as safe, only older
	}
}

// Pass makes one pass and reports whether it succeeded. It logs a failure once per outage. It is for one goroutine at a
// time, and not beside Run.
func (m *Maintainer) Pass(ctx context.Context) bool {
	err := m.pass(ctx)
	if err != nil && !m.down && ctx.Err() == nil {
		m.log.Warn("cannot look after the stream, trying again; nothing is removed from it until then", "err", err)
	}
	if err == nil && m.down {
		m.log.Info("looking after the stream again")
	}
	m.down = err != nil
	m.probed = m.probed && err == nil // it may be another server that answers next
	return err == nil
}

func (m *Maintainer) pass(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	m.updateReaders()
	added := m.capacity.added.Load()
	v, err := m.takeSnapshot(ctx)
	if err != nil {
		return err
	}
	if err := m.savePositions(ctx, v); err != nil {
		return err
	}
	if err := m.measure(ctx, v); err != nil {
		return err
	}
	if err := m.trim(ctx, v); err != nil {
		return err
	}
	m.capacity.learn(v.length, added)
	m.metrics.length.WithLabelValues(m.stream.Name).Set(float64(v.length))
	return nil
}

// savePositions notes how far each subscription is, in one command, where that has changed.
func (m *Maintainer) savePositions(ctx context.Context, v *snapshot) error {
	if v.positions < len(m.written) || time.Since(m.writtenAt) > positionsPeriod {
		clear(m.written) // Redis has lost some, or may have
	}
	var fields []any
	for _, s := range m.readers {
		if g := v.groups[state.GroupName(s.Name)]; g != nil && m.written[s.Name] != g.done() {
			fields = append(fields, s.Name, g.done())
		}
	}
	if len(fields) > 0 {
		if err := m.client.HSet(ctx, state.PositionsKey(m.stream.Name), fields...).Err(); err != nil {
			return err
		}
	}
	for i := 0; i < len(fields); i += 2 {
		m.written[fields[i].(string)] = fields[i+1].(string) //nolint:forcetypeassert // put in above
	}
	if len(m.written) == len(fields)/2 {
		m.writtenAt = time.Now()
	}
	return nil
}
