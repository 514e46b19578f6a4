package gateway

import (
	"context"
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

// publishScript appends events, remembers what they are about and saves checkpoints, all or nothing.
//
//	KEYS[1] stream, KEYS[2] lease, KEYS[3] checkpoints, KEYS[4] last step, KEYS[5] memory, KEYS[6...] the bucket of each
//	  emission in the memory
//	ARGV[1] fencing token, ARGV[2] id of this step, ARGV[3] shape of the memory, ARGV[4] number of checkpoints, then for
//	  each its part and data ("" to remove it), then for each emission what to do (emit, always, note, withdraw), the
//	  digest of its key, what to remember, the number of field arguments, the arguments
//	returns false if the token is not the lease's, -1 if the memory has another shape, else how many things are
//	remembered and a list of entry ids, "" where nothing was published; no list if this very step was run before, and only
//	its reply was lost
//
// It is a script because a crash between any two of these writes would lose or repeat an event, and because the check of
// the token must not be separable from what it guards.
var publishScript = redis.NewScript(`
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return false end
if redis.call('GET', KEYS[4]) == ARGV[2] then
  return {tonumber(redis.call('HGET', KEYS[5], 'items') or 0)}
end
if (redis.call('HGET', KEYS[5], 'shape') or '0 0') ~= ARGV[3] then return {-1} end
local at = 5
for _ = 1, tonumber(ARGV[4]) do
  if ARGV[at + 1] == '' then redis.call('HDEL', KEYS[3], ARGV[at])
  else redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1]) end
  at = at + 2
end
local ids, event, added = {}, 0, 0
while at <= #ARGV do
  event = event + 1
  local what, key, state, n = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local bucket, publish = KEYS[5 + event], true
  if what == 'emit' then
    local known = redis.call('HGET', bucket, key)
    if known and string.sub(known, 1, 12) == string.sub(state, 1, 12) then publish = false
    else added = added + redis.call('HSET', bucket, key, state) end
  elseif what == 'note' then
    publish = false
    added = added + redis.call('HSET', bucket, key, state)
  elseif what == 'withdraw' then
    publish = redis.call('HDEL', bucket, key) == 1
    if publish then added = added - 1 end
  end
  ids[event] = publish and redis.call('XADD', KEYS[1], '*', unpack(ARGV, at + 4, at + 3 + n)) or ''
  at = at + 4 + n
end
redis.call('SET', KEYS[4], ARGV[2])
return {redis.call('HINCRBY', KEYS[5], 'items', added), ids}`)

// Action says what an [Emission] does.
type Action string

// The actions.
const (
	Emit     Action = ""         // publish the event, unless its key is remembered in this version with this content
	Note     Action = "note"     // only remember the key as it is; there is no event
	Withdraw Action = "withdraw" // publish the event and forget the key; nothing if the key is not remembered
)

// Emission is an event that a source publishes, and what is remembered of the thing that it is about.
type Emission struct {
	Event  rawevent.Event
	Action Action
	// Key identifies the thing that the event is about. An event with an empty key is published in any case, and nothing is
	// remembered; Checkpoint then has to prevent repetition.
	Key string
	// Version and Content identify the thing's state: what its owner calls it, and what is in it. Both may be empty.
	Version, Content string
	// Reference is remembered with the key, for [Outbox.Stale]; each byte of it costs one.
	Reference string
	// Checkpoint, if not nil, is saved as the part "" in the step that publishes the event, unless a later event of that
	// step has one.
	Checkpoint []byte
}

// Save is a part of a source's checkpoint: Data nil or empty removes it.
type Save struct {
	Part string
	Data []byte
}

// Outbox publishes a source's events and saves its checkpoint in one atomic step, guarded by the source's lease. Sending
// a batch again is harmless: what was published is skipped. It remembers the state of each thing that was published, in
// Redis and within a bound. It is for one goroutine at a time.
type Outbox struct {
	client redis.UniversalClient
	sender *redisstreams.Sender
	stream string
	source string
	token  string
	room   *room
	log    *slog.Logger
	memory memory
	stored func(n int)

	transform        *transform // nil: none
	notTransformed   func()     // counts an event that could not be
	wasUntransformed bool       // that was logged

	preview *preview // nil: it publishes
}

// Checkpoint returns the part "" of the checkpoint, or nil. It retries until Redis answers or ctx ends.
func (o *Outbox) Checkpoint(ctx context.Context) ([]byte, error) {
	parts, err := o.Checkpoints(ctx)
	return parts[""], err
}

// Checkpoints returns all parts of what was saved last. It retries until Redis answers or ctx ends.
func (o *Outbox) Checkpoints(ctx context.Context) (map[string][]byte, error) {
	if o.client == nil {
		return nil, nil
	}
	var saved map[string]string
	err := o.retry(ctx, func(ctx context.Context) (err error) {
		saved, err = o.client.HGetAll(ctx, checkpointKey(o.stream, o.source)).Result()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint of source %q: %w", o.source, err)
	}
	parts := make(map[string][]byte, len(saved))
	for part, data := range saved {
		parts[part] = []byte(data)
	}
	return parts, nil
}

// Publish carries the emissions out, in their order, and saves the parts of the checkpoint. It returns the entry id of
// each event, "" where none was published. Large batches go in several atomic steps, the checkpoint with the last one, so
// a crash leaves a beginning of the batch published, and the checkpoint as it was or as the last event of a step carries
// it. It retries until Redis answers and the stream has room, or ctx ends; after ErrFenced the source must stop. An error
// that is ErrMemoryFull means that the rest, from the step that was refused, was not carried out.
func (o *Outbox) Publish(ctx context.Context, emissions []Emission, saves ...Save) ([]string, error) {
	emissions = o.transformed(emissions)
	if o.preview != nil {
		return o.preview.publish(ctx, o, emissions)
	}
	ids := make([]string, 0, len(emissions))
	for start := 0; ; {
		step := step{o: o, id: uuid.NewString()}
		for start < len(emissions) && step.fits() {
			step.add(&emissions[start])
			start++
		}
		isLast := start == len(emissions)
		if isLast {
			step.saves = append(step.saves, saves...)
		}
		if len(step.emissions) == 0 && len(step.saves) == 0 {
			return ids, nil
		}
		stepIDs, err := o.run(ctx, &step)
		if err != nil {
			return ids, fmt.Errorf("publish events of source %q: %w", o.source, err)
		}
		ids = append(ids, stepIDs...)
		if isLast {
			return ids, nil
		}
	}
}

// step is one call of publishScript.
type step struct {
	o         *Outbox
	id        string
	emissions []*Emission
	saves     []Save
	events    int // among the emissions
	bytes     int
}

func (s *step) fits() bool { return len(s.emissions) < maxOutboxEvents && s.bytes < maxOutboxBytes }

func (s *step) add(e *Emission) {
	if e.Checkpoint != nil {
		s.saves = []Save{{Data: e.Checkpoint}}
	}
	s.emissions = append(s.emissions, e)
	if e.Action != Note {
		s.events++
		s.bytes += len(e.Event.Data) + 512
	}
}

// call returns the keys and arguments of the script.
func (s *step) call() (keys []string, args []any) {
	o := s.o
	keys = make([]string, 5, 5+len(s.emissions))
	copy(keys, []string{
		o.stream, leaseKey(o.stream, o.source), checkpointKey(o.stream, o.source), stepKey(o.stream, o.source),
		memoryKey(o.stream, o.source),
	})
	args = make([]any, 0, 4+2*len(s.saves)+36*len(s.emissions))
	args = append(args, o.token, s.id, o.memory.shape.String(), len(s.saves))
	for _, save := range s.saves {
		args = append(args, save.Part, save.Data)
	}
	found := seconds(time.Now())
	for _, e := range s.emissions {
		what, key, state := string(e.Action), "", ""
		bucket := keys[4] // without a key the script does not touch the bucket; any key of the slot will do
		if e.Key == "" {
			what = "always"
		} else {
			d := digest(e.Key)
			key, state = string(d[:]), e.state(found)
			bucket = bucketKey(o.stream, o.source, o.memory.shape.bucket(d))
			if e.Action == Emit {
				what = "emit"
			}
		}
		keys = append(keys, bucket)
		args = append(args, what, key, state, 0)
		at := len(args)
		if e.Action != Note {
			args = o.sender.AppendEntryFields(args, &e.Event)
			args[at-1] = len(args) - at
		}
	}
	return keys, args
}

func (o *Outbox) run(ctx context.Context, s *step) (ids []string, err error) {
	for o.room.take(s.events) != nil { // a source has time; the keeper notices when there is room
		if !Sleep(ctx, fullPause/2+rand.N(fullPause/2)) {
			return nil, ctx.Err()
		}
	}
	if err := o.memory.admit(ctx, o, s); err != nil {
		return nil, err
	}
	err = o.retry(ctx, func(ctx context.Context) error {
		for {
			keys, args := s.call()
			reply, err := publishScript.Run(ctx, o.client, keys, args...).Slice()
			if errors.Is(err, redis.Nil) {
				return ErrFenced
			}
			if err != nil {
				return err
			}
			if o.memory.note(reply) {
				ids, err = entryIDs(reply, len(s.emissions))
				return err
			}
			if err := o.memory.load(ctx, o); err != nil { // Redis was emptied, or this replica was stopped for long
				return err
			}
		}
	})
	if err != nil {
		return nil, err
	}
	n := 0
	for _, id := range ids {
		if id != "" {
			n++
		}
	}
	o.stored(n)
	return ids, o.memory.grow(ctx, o)
}

// entryIDs reads the second part of the script's reply. It is not there if the reply of the first run was lost: what that
// has published is not known.
func entryIDs(reply []any, n int) ([]string, error) {
	ids := make([]string, n)
	if len(reply) < 2 {
		return ids, nil
	}
	list, ok := reply[1].([]any)
	if !ok || len(list) != n {
		return nil, fmt.Errorf("the script that publishes has answered %v", reply)
	}
	for i := range list {
		ids[i], _ = list[i].(string)
	}
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
