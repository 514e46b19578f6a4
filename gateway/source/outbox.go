package source

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/transform"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Bounds of one publishing script: Redis serves no other client while it runs.
const (
	maxOutboxEvents = 100
	maxOutboxBytes  = 256 << 10
	fullPause       = time.Second // between two tries to publish into a full stream
)

// publishScript appends events, keeps what they are about as seen and saves checkpoints, all or nothing.
//
//	KEYS[1] stream, KEYS[2] lease, KEYS[3] checkpoints, KEYS[4] last step, KEYS[5] seen items, KEYS[6...] the bucket of each
//	  emission
//	ARGV[1] fencing token, ARGV[2] id of this step, ARGV[3] shape of the seen items, ARGV[4] number of checkpoints, then for
//	  each its part and data ("" to remove it), then for each emission what to do (emit, once, again, always, note,
//	  settle, withdraw), the digest of its key, what to keep, the number of field arguments, the arguments
//	returns false if the token is not the lease's, -1 if the seen items have another shape, else how many there
//	are and a list of entry ids, "" where nothing was published; no list if this very step was run before, and only
//	its reply was lost
//
// It is a script because a crash between any two of these writes would lose or repeat an event, and because the check
// of the token must not be separable from what it guards. For the same reason the script keeps the mark of what was
// published: byte 13 of what is kept of an item begins with the two bits of its mark (see stamp).
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
  elseif what == 'once' then
    local known = redis.call('HGET', bucket, key)
    if known and (string.byte(known, 13) or 0) >= 192 then publish = false
    else added = added + redis.call('HSET', bucket, key, state) end
  elseif what == 'again' then
    added = added + redis.call('HSET', bucket, key, state)
  elseif what == 'note' then
    publish = false
    local known = redis.call('HGET', bucket, key)
    local mark = known and math.floor((string.byte(known, 13) or 0) / 64) or 2
    if mark ~= 2 then
      local first = string.byte(state, 13) % 64 + (mark == 3 and 192 or 0)
      state = string.sub(state, 1, 12) .. string.char(first) .. string.sub(state, 14)
    end
    added = added + redis.call('HSET', bucket, key, state)
  elseif what == 'settle' then
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
	Emit     Action = ""         // publish the event, unless its key was seen in this version with this content
	Once     Action = "once"     // publish the event, unless an event of the key is marked as published
	Again    Action = "again"    // publish the event in any case, and keep the key as published: the event before was lost
	Note     Action = "note"     // only keep the key as seen, and whether it was published; there is no event
	Settle   Action = "settle"   // keep the key as seen and as published, without an event: an operator said that it is not new
	Withdraw Action = "withdraw" // publish the event and forget the key; nothing if the key was not seen
)

// hasEvent reports whether the action publishes an event, perhaps.
func (a Action) hasEvent() bool { return a != Note && a != Settle }

// Emission is an event that a source publishes, and what is kept of the item that it is about.
type Emission struct {
	Event  rawevent.Event
	Action Action
	// Key identifies the item that the event is about. An event with an empty key is published in any case, and nothing
	// is kept of it; Checkpoint then has to prevent repetition.
	Key string
	// Version and Content identify the item's state: what its owner calls it, and what is in it. Both may be empty.
	Version, Content string
	// Reference is kept with the key, for [Seen.Stale]; each byte of it costs one.
	Reference string
	// Checkpoint, if not nil, is saved as the part "" in the step that publishes the event, unless a later event of
	// that step has one.
	Checkpoint []byte
}

// Save is a part of a source's checkpoint: Data nil or empty removes it.
type Save struct {
	Part string
	Data []byte
}

// RedisOutbox is the [Outbox] of a source that runs: it publishes events and saves the checkpoint in one atomic step,
// guarded by the source's lease. Sending a batch again is harmless: what was published is skipped. It is for one
// goroutine at a time.
type RedisOutbox struct {
	link      *link
	seen      *SeenItems
	write     *redisstreams.Sender // knows how an entry is written
	capacity  Capacity
	transform transformer
	published func(n int)
}

var _ Outbox = (*RedisOutbox)(nil)

// Seen implements [Outbox].
func (o *RedisOutbox) Seen() Seen { return o.seen }

// Checkpoint implements [Outbox].
func (o *RedisOutbox) Checkpoint(ctx context.Context) ([]byte, error) {
	parts, err := o.link.checkpoints(ctx)
	return parts[""], err
}

// Checkpoints implements [Outbox].
func (o *RedisOutbox) Checkpoints(ctx context.Context) (map[string][]byte, error) {
	return o.link.checkpoints(ctx)
}

// Commands implements [Outbox].
func (o *RedisOutbox) Commands(ctx context.Context) (commands map[string]string, err error) {
	err = o.link.retry(ctx, func(ctx context.Context) (err error) {
		commands, err = Commands(ctx, o.link.client, o.link.stream, o.link.source)
		return err
	})
	return commands, err
}

// Done implements [Outbox].
func (o *RedisOutbox) Done(ctx context.Context, command string) error {
	return o.link.retry(ctx, func(ctx context.Context) error {
		return SendCommand(ctx, o.link.client, o.link.stream, o.link.source, command, "")
	})
}

// Publish implements [Outbox].
func (o *RedisOutbox) Publish(ctx context.Context, emissions []Emission, saves ...Save) ([]string, error) {
	emissions = o.transform.apply(emissions)
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
			return ids, fmt.Errorf("publish events of source %q: %w", o.link.source, err)
		}
		ids = append(ids, stepIDs...)
		if isLast {
			return ids, nil
		}
	}
}

func (o *RedisOutbox) run(ctx context.Context, s *step) (ids []string, err error) {
	for o.capacity.Take(s.events) != nil { // a source has time; the stream's maintainer notices when it takes events again
		if !backoff.Sleep(ctx, backoff.Jitter(fullPause)) {
			return nil, ctx.Err()
		}
	}
	if err := o.seen.admit(ctx, s.emissions); err != nil {
		return nil, err
	}
	err = o.link.retry(ctx, func(ctx context.Context) error {
		for {
			keys, args := s.call()
			reply, err := publishScript.Run(ctx, o.link.client, keys, args...).Slice()
			if err != nil {
				return fenced(err)
			}
			if o.seen.note(reply) {
				ids, err = entryIDs(reply, len(s.emissions))
				return err
			}
			if err := o.seen.load(ctx); err != nil { // Redis was emptied, or this replica was stopped for long
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
	o.published(n)
	return ids, o.seen.grow(ctx)
}

// transformer changes the events of a source.
type transformer struct {
	change *transform.Transform // nil: none
	log    *slog.Logger
	failed func() // counts an event that could not be changed
	logged bool   // the first of them was logged
}

// apply returns what is to be published of emissions. An event that cannot be changed stays as its source made it:
// nothing is lost, and it is counted.
func (t *transformer) apply(emissions []Emission) []Emission {
	if t.change == nil {
		return emissions
	}
	changed := slices.Clone(emissions)
	for i := range changed {
		if !changed[i].Action.hasEvent() {
			continue
		}
		event, err := t.change.Apply(&changed[i].Event, "")
		if err != nil {
			t.noteFailure(&changed[i].Event, err)
			continue
		}
		changed[i].Event = event
	}
	return changed
}

func (t *transformer) noteFailure(e *rawevent.Event, err error) {
	level := slog.LevelDebug
	if !t.logged {
		level = slog.LevelWarn
	}
	t.logged = true
	t.log.Log(context.Background(), level,
		"an event could not be transformed and is published as it is; others like it are counted",
		"event_id", e.ID(), "event_type", e.Type(), "err", err)
	t.failed()
}

// step is one call of publishScript.
type step struct {
	o         *RedisOutbox
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
	if e.Action.hasEvent() {
		s.events++
		s.bytes += len(e.Event.Data) + 512
	}
}

// call returns the keys and arguments of the script.
func (s *step) call() (keys []string, args []any) {
	o, at := s.o, s.o.link
	keys = make([]string, 5, 5+len(s.emissions))
	copy(keys, []string{
		at.stream, at.leaseKey(), at.checkpointKey(), at.stepKey(), at.seenKey(),
	})
	args = make([]any, 0, 4+2*len(s.saves)+36*len(s.emissions))
	args = append(args, at.token, s.id, o.seen.shape.String(), len(s.saves))
	for _, save := range s.saves {
		args = append(args, save.Part, save.Data)
	}
	now := time.Now()
	for _, e := range s.emissions {
		what, key, state := string(e.Action), "", ""
		bucket := keys[4] // without a key the script does not touch the bucket; any key of the slot will do
		if e.Key == "" {
			what = "always"
		} else {
			d := digest(e.Key)
			key, state = string(d[:]), e.state(stamp(e.mark(), now))
			bucket = at.bucketKey(o.seen.shape.bucket(d))
			if e.Action == Emit {
				what = "emit"
			}
		}
		keys = append(keys, bucket)
		args = append(args, what, key, state, 0)
		at := len(args)
		if e.Action.hasEvent() {
			args = o.write.AppendEntryFields(args, &e.Event)
			args[at-1] = len(args) - at
		}
	}
	return keys, args
}

// entryIDs reads the second part of the script's reply. It is not there if the reply of the first run was lost: what
// that has published is not known.
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
