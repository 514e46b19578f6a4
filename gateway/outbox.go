package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Bounds of one publishing script: Redis serves nobody else while it runs.
const (
	maxOutboxEvents = 100
	maxOutboxBytes  = 256 << 10
	outboxTimeout   = 5 * time.Second
	fullPause       = time.Second // between two looks whether a full stream has room
)

// ErrFenced is returned by an [Outbox] whose source has lost its lease: another replica runs the source, and nothing was
// written. The source must stop.
var ErrFenced = errors.New("the source's lease is lost: another replica may be running it")

// publishScript appends events, notes them as seen and saves the checkpoint, all or nothing.
//
//	KEYS[1] stream, KEYS[2] lease, KEYS[3] checkpoint, KEYS[4] last step, KEYS[5...] the seen hash of each event
//	ARGV[1] fencing token, ARGV[2] "1" to save ARGV[3] as checkpoint, ARGV[3] checkpoint, ARGV[4] id of this step, then for
//	  each event digest of the key ("" to publish in any case), digest of the version, number of field arguments, the
//	  arguments
//	returns false if the token is not the lease's, else a list of entry ids, "" for an event published before; an empty
//	list if this very step was run before, and only its reply was lost
//
// It is a script because a crash between any two of these writes would lose or repeat an event, and because the check of
// the token must not be separable from what it guards.
var publishScript = redis.NewScript(`
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return false end
if redis.call('GET', KEYS[4]) == ARGV[4] then return {} end
local ids, at, event = {}, 5, 0
while at <= #ARGV do
  event = event + 1
  local key, version, n = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local seen = key ~= '' and redis.call('HGET', KEYS[4 + event], key)
  if seen and seen == version then
    ids[event] = ''
  else
    ids[event] = redis.call('XADD', KEYS[1], '*', unpack(ARGV, at + 3, at + 2 + n))
    if key ~= '' then redis.call('HSET', KEYS[4 + event], key, version) end
  end
  at = at + 3 + n
end
if ARGV[2] == '1' then redis.call('SET', KEYS[3], ARGV[3]) end
redis.call('SET', KEYS[4], ARGV[4])
return ids`)

// Emission is an event that a source publishes.
type Emission struct {
	Event rawevent.Event
	// Key identifies the thing that the event is about, Version its state: the same version of a key is published once.
	// An empty key publishes in any case; Checkpoint then has to prevent repetition.
	Key, Version string
	// Checkpoint, if not nil, is saved in the step that publishes the event, unless a later event of that step has one.
	Checkpoint []byte
}

// Change says how a thing relates to what its source has published before.
type Change int

// The changes.
const (
	Created   Change = iota // never published
	Updated                 // published in another version
	Unchanged               // published in this version
)

// Outbox publishes a source's events and saves its checkpoint in one atomic step, guarded by the source's lease. Sending
// a batch again is harmless: what was published is skipped. It is for one goroutine at a time.
type Outbox struct {
	client redis.UniversalClient
	sender *redisstreams.Sender
	stream string
	source string
	token  string
	room   *room
	log    *slog.Logger
	stored func(n int)
}

// Checkpoint returns what was saved last, or nil. It retries until Redis answers or ctx ends.
func (o *Outbox) Checkpoint(ctx context.Context) (checkpoint []byte, err error) {
	err = o.retry(ctx, func(ctx context.Context) error {
		checkpoint, err = o.client.Get(ctx, checkpointKey(o.stream, o.source)).Bytes()
		if errors.Is(err, redis.Nil) {
			checkpoint, err = nil, nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint of source %q: %w", o.source, err)
	}
	return checkpoint, nil
}

// Classify tells for each emission, of which only key and version count, whether it is new. It retries until Redis
// answers or ctx ends.
func (o *Outbox) Classify(ctx context.Context, emissions []Emission) ([]Change, error) {
	changes := make([]Change, len(emissions))
	err := o.retry(ctx, func(ctx context.Context) error {
		pipe := o.client.Pipeline()
		seen := make([]*redis.StringCmd, len(emissions))
		for i := range emissions {
			key := digest(emissions[i].Key)
			seen[i] = pipe.HGet(ctx, seenKey(o.stream, o.source, key), string(key[:]))
		}
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		for i := range seen {
			known, err := seen[i].Result()
			version := digest(emissions[i].Version)
			switch {
			case errors.Is(err, redis.Nil):
				changes[i] = Created
			case err != nil:
				return err
			case known == string(version[:]):
				changes[i] = Unchanged
			default:
				changes[i] = Updated
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up what source %q has published: %w", o.source, err)
	}
	return changes, nil
}

// Publish appends the events, in their order, and then saves the checkpoint unless it is nil. It returns the entry id of
// each event, "" for one that was published before. Large batches go in several atomic steps, the checkpoint with the last
// one, so a crash leaves a beginning of the batch published, and the checkpoint as it was or as the last event of a step
// carries it. It retries until Redis answers and the stream has room, or ctx ends; after ErrFenced the source must stop.
func (o *Outbox) Publish(ctx context.Context, emissions []Emission, checkpoint []byte) ([]string, error) {
	ids := make([]string, 0, len(emissions))
	for start := 0; ; {
		step := o.newStep()
		for start < len(emissions) && step.fits() {
			step.add(&emissions[start])
			start++
		}
		isLast := start == len(emissions)
		if step.events == 0 && checkpoint == nil {
			return ids, nil
		}
		if isLast && checkpoint != nil {
			step.save(checkpoint)
		}
		stepIDs, err := o.run(ctx, step)
		if err != nil {
			return ids, fmt.Errorf("publish events of source %q: %w", o.source, err)
		}
		ids = append(ids, stepIDs...)
		if isLast {
			return ids, nil
		}
	}
}

// step is one call of publishScript under construction.
type step struct {
	o      *Outbox
	keys   []string
	args   []any
	events int
	bytes  int
}

func (o *Outbox) newStep() *step {
	return &step{
		o:    o,
		keys: []string{o.stream, leaseKey(o.stream, o.source), checkpointKey(o.stream, o.source), stepKey(o.stream, o.source)},
		args: []any{o.token, "0", "", uuid.NewString()},
	}
}

func (s *step) fits() bool { return s.events < maxOutboxEvents && s.bytes < maxOutboxBytes }

func (s *step) save(checkpoint []byte) { s.args[1], s.args[2] = "1", checkpoint }

func (s *step) add(e *Emission) {
	if e.Checkpoint != nil {
		s.save(e.Checkpoint)
	}
	key, seen := "", s.keys[2] // without a key the script does not touch the seen hash; any key of the slot will do
	var version [8]byte
	if e.Key != "" {
		d := digest(e.Key)
		key, version = string(d[:]), digest(e.Version)
		seen = seenKey(s.o.stream, s.o.source, d)
	}
	s.keys = append(s.keys, seen)
	at := len(s.args) + 2
	s.args = append(s.args, key, string(version[:]), 0)
	s.args = s.o.sender.AppendEntryFields(s.args, &e.Event)
	s.args[at] = len(s.args) - at - 1
	s.events++
	s.bytes += len(e.Event.Data) + 512
}

func (o *Outbox) run(ctx context.Context, s *step) (ids []string, err error) {
	for o.room.take(s.events) != nil { // a source has time; the keeper notices when there is room
		if !Sleep(ctx, fullPause/2+rand.N(fullPause/2)) {
			return nil, ctx.Err()
		}
	}
	err = o.retry(ctx, func(ctx context.Context) error {
		ids, err = publishScript.Run(ctx, o.client, s.keys, s.args...).StringSlice()
		if errors.Is(err, redis.Nil) {
			return ErrFenced
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(ids) < s.events { // the reply was lost; what the first run has published is not known
		return make([]string, s.events), nil
	}
	n := 0
	for _, id := range ids {
		if id != "" {
			n++
		}
	}
	o.stored(n)
	return ids, nil
}

// retry runs f until it succeeds, the lease is lost, or ctx ends, and logs once when Redis does not answer.
func (o *Outbox) retry(ctx context.Context, f func(ctx context.Context) error) error {
	for backoff := 100 * time.Millisecond; ; backoff = min(2*backoff, time.Second) {
		attempt, cancel := context.WithTimeout(ctx, outboxTimeout)
		err := f(attempt)
		cancel()
		if err == nil || errors.Is(err, ErrFenced) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if backoff == 100*time.Millisecond {
			o.log.Warn("cannot reach Redis, trying again", "err", err)
		}
		if !Sleep(ctx, backoff/2+rand.N(backoff/2)) {
			return ctx.Err()
		}
	}
}

// Sleep waits for d and reports true, or false as soon as ctx ends.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// digest shortens a key or a version to 8 bytes. Among ten million keys the odds that two of them share one, which would
// hide an item, are 3 in a million.
func digest(s string) [8]byte {
	sum := sha256.Sum256([]byte(s))
	return [8]byte(sum[:8])
}
