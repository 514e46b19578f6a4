package state

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Fields of the hash of pauses, before the name of a subscription.
const (
	askedField = "asked:"
	openField  = "open:"
)

// notePauseScript notes that a sink asked for a pause. Of two pauses the longer one counts.
//
//	KEYS[1] pauses; ARGV[1] field, ARGV[2] pause in ms
//	returns the time of Redis in ms
//
// It is a script because another replica may note a pause at the same time.
var notePauseScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local known = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0)
if now + ARGV[2] > known then redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now + ARGV[2])) end
return now`)

// noteOpenScript notes that a circuit is open.
//
//	KEYS[1] pauses; ARGV[1] field, ARGV[2] pause in ms, ARGV[3] reason
//
// It is a script because the pause counts from the time of Redis.
var noteOpenScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
return redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now + ARGV[2]) .. ARGV[3])`)

// listPausesScript lists the pauses that sinks asked for, and removes those that are over.
//
//	KEYS[1] pauses; ARGV[1] beginning of the fields
//	returns a list of fields and what is left of their pauses in ms
//
// It is a script for the same reason as noteOpenScript.
var listPausesScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local all, out = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  if string.sub(all[i], 1, #ARGV[1]) == ARGV[1] then
    local left = tonumber(all[i + 1]) - now
    if left > 0 then
      out[#out + 1] = all[i]
      out[#out + 1] = left
    else
      redis.call('HDEL', KEYS[1], all[i])
    end
  end
end
return out`)

// Pause is what is known in Redis about the sink of a subscription.
type Pause struct {
	Asked time.Duration // what is left of a pause that the sink asked for
	// Open says that the circuit of a replica was open when it last wrote; Left is the rest of its pause, and
	// Reason how the attempt failed that opened it.
	Open   bool
	Left   time.Duration
	Reason string
}

// Pauses is the hash of the pauses of the sinks of a stream's subscriptions.
type Pauses struct {
	Redis  redis.UniversalClient
	Stream string
}

func (p *Pauses) keys() []string { return []string{PausesKey(p.Stream)} }

// NoteAsked notes that the sink of a subscription asked every sender to pause.
func (p *Pauses) NoteAsked(ctx context.Context, subscription string, d time.Duration) error {
	return notePauseScript.Run(ctx, p.Redis, p.keys(), askedField+subscription, d.Milliseconds()).Err()
}

// NoteCircuit notes an open circuit, or removes that note if it is not open.
func (p *Pauses) NoteCircuit(ctx context.Context, subscription string, c Pause) error {
	if !c.Open {
		return p.Redis.HDel(ctx, PausesKey(p.Stream), openField+subscription).Err()
	}
	return noteOpenScript.Run(ctx, p.Redis, p.keys(), openField+subscription, c.Left.Milliseconds(), c.Reason).Err()
}

// Read returns what is known about a subscription, and the time of Redis.
func (p *Pauses) Read(ctx context.Context, subscription string) (found Pause, now time.Time, err error) {
	values, now, err := readFields(ctx, p.Redis, PausesKey(p.Stream), PauseFields(subscription))
	if err != nil {
		return Pause{}, now, fmt.Errorf("read pauses of stream %q: %w", p.Stream, err)
	}
	if until, err := strconv.ParseInt(values[0], 10, 64); err == nil {
		found.Asked = max(time.UnixMilli(until).Sub(now), 0)
	}
	if due, reason, ok := strings.Cut(values[1], " "); ok {
		until, err := strconv.ParseInt(due, 10, 64)
		found.Open, found.Left, found.Reason = err == nil, max(time.UnixMilli(until).Sub(now), 0), reason
	}
	return found, now, nil
}

// Asked returns what is left of the pauses that sinks asked for, by subscription.
func (p *Pauses) Asked(ctx context.Context) (map[string]time.Duration, error) {
	reply, err := listPausesScript.Run(ctx, p.Redis, p.keys(), askedField).Slice()
	if err != nil {
		return nil, fmt.Errorf("list pauses of stream %q: %w", p.Stream, err)
	}
	asked := make(map[string]time.Duration, len(reply)/2)
	for i := 0; i+1 < len(reply); i += 2 {
		field, _ := reply[i].(string)
		left, _ := reply[i+1].(int64)
		asked[strings.TrimPrefix(field, askedField)] = time.Duration(left) * time.Millisecond
	}
	return asked, nil
}
