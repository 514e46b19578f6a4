package gateway

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
)

// Periods and bounds of a keeper.
const (
	keeperPeriod    = 2 * time.Second // between two passes, and up to a quarter more
	keeperSlowest   = 30 * time.Second
	keeperTimeout   = 10 * time.Second // of one pass
	keeperPipeline  = 500              // commands of one pipeline
	positionsPeriod = time.Minute      // all positions are written again, in case that Redis has lost some
)

// keeper looks after one stream, on every replica: every few seconds it looks at the stream and its groups, saves how far
// the subscriptions are, removes what is not needed any more, and keeps the figures that tell of it. What it writes is the
// same on every replica, or is done by a script that finds nothing left to do the second time.
type keeper struct {
	client  redis.UniversalClient
	stream  *StreamConfig
	roster  *roster
	room    *room
	metrics *metrics
	log     *slog.Logger

	// For the goroutine that makes the passes.
	subscriptions []*SubscriptionConfig // as of this pass
	ours          map[string]bool       // their groups
	down          bool
	written       map[string]string // positions
	writtenAt     time.Time
	tallies       map[string]*tally // by subscription
	last          *view             // counters of the last view
	budget        int               // scripts that this pass may still spend on counting
	holding       holding
	probed        bool // it is known whether the server can trim what is acknowledged

	trimsAcknowledged bool
}

func newKeeper(client redis.UniversalClient, stream *StreamConfig, subscriptions *roster, r *room, m *metrics, log *slog.Logger) *keeper {
	k := &keeper{
		client: client, stream: stream, roster: subscriptions, room: r, metrics: m, log: log.With("stream", stream.Name),
		written: map[string]string{}, tallies: map[string]*tally{},
	}
	return k
}

// callRoll finds out which subscriptions there are, and lets go of what is known of those that are gone.
func (k *keeper) callRoll() {
	k.subscriptions, k.ours = nil, map[string]bool{}
	here := map[string]bool{}
	for _, s := range k.roster.of(k.stream.Name) {
		k.subscriptions = append(k.subscriptions, &s.config)
		k.ours[groupName(s.config.Name)], here[s.config.Name] = true, true
	}
	maps.DeleteFunc(k.written, func(name, _ string) bool { return !here[name] })
	maps.DeleteFunc(k.tallies, func(name string, _ *tally) bool { return !here[name] })
}

// run makes passes until ctx ends, and a last one, so that a later start finds the latest positions.
func (k *keeper) run(ctx context.Context) {
	for period := keeperPeriod; Sleep(ctx, period+rand.N(period/4)); {
		started := time.Now()
		if k.try(ctx) {
			period = min(max(keeperPeriod, 20*time.Since(started)), keeperSlowest) // at most 5 % of the time
		} else {
			period = min(2*period, keeperSlowest/2)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisStepTimeout)
	defer cancel()
	if v, err := k.look(last); err == nil {
		_ = k.savePositions(last, v) // those of the last pass are as safe, only older
	}
}

// try makes a pass, and says once an outage that it failed.
func (k *keeper) try(ctx context.Context) bool {
	err := k.pass(ctx)
	if err != nil && !k.down && ctx.Err() == nil {
		k.log.Warn("cannot look after the stream, trying again; nothing is removed from it until then", "err", err)
	}
	if err == nil && k.down {
		k.log.Info("looking after the stream again")
	}
	k.down = err != nil
	k.probed = k.probed && err == nil // it may be another server that answers next
	return err == nil
}

func (k *keeper) pass(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	k.callRoll()
	added := k.room.added.Load()
	v, err := k.look(ctx)
	if err != nil {
		return err
	}
	if err := k.savePositions(ctx, v); err != nil {
		return err
	}
	if err := k.measure(ctx, v); err != nil {
		return err
	}
	if err := k.trim(ctx, v); err != nil {
		return err
	}
	k.room.learn(v.length, added)
	k.metrics.length.WithLabelValues(k.stream.Name).Set(float64(v.length))
	return nil
}

// savePositions notes how far each subscription is, in one command, where that has changed.
func (k *keeper) savePositions(ctx context.Context, v *view) error {
	if v.positions < len(k.written) || time.Since(k.writtenAt) > positionsPeriod {
		clear(k.written) // Redis has lost some, or may have
	}
	var fields []any
	for _, s := range k.subscriptions {
		if g := v.groups[groupName(s.Name)]; g != nil && k.written[s.Name] != g.done() {
			fields = append(fields, s.Name, g.done())
		}
	}
	if len(fields) > 0 {
		if err := k.client.HSet(ctx, positionsKey(k.stream.Name), fields...).Err(); err != nil {
			return err
		}
	}
	for i := 0; i < len(fields); i += 2 {
		k.written[fields[i].(string)] = fields[i+1].(string) //nolint:forcetypeassert // put in above
	}
	if len(k.written) == len(fields)/2 {
		k.writtenAt = time.Now()
	}
	return nil
}
