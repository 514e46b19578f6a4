package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/redis/go-redis/v9"
)

// A source's memory: which things it has published in which state. It lies in Redis, in hashes so small that Redis keeps
// them compactly (hash-max-listpack-entries is 128 by default), 36 bytes a thing (BenchmarkMemory). There are as
// many hashes as are needed: they are split one by one as things are added (linear hashing, Litwin 1980), so that a lookup
// is one command however many things there are.
const (
	thingsPerBucket = 50 // on average; up to twice as many before a bucket's turn comes
	stateSize       = 12 // of a version and a content
	timeSize        = 4
	bucketsAtOnce   = 200 // that are read in one round trip
	// DefaultMemory is how many things a source remembers at most, if it does not say otherwise: some 200 MB of Redis.
	DefaultMemory = 5_000_000
)

// ErrMemoryFull is returned by an [Outbox] that would have to remember more than it may. Nothing is forgotten to make room:
// what is forgotten would be published again.
var ErrMemoryFull = errors.New("the source remembers as many things as it may")

// memory is what an Outbox knows of the memory in Redis.
type memory struct {
	loaded bool
	shape  shape
	items  int64
	max    int64 // 0: DefaultMemory
	gauge  func(items int64)
}

// shape is how many buckets there are: 2^level, and split of those have been split once more.
type shape struct{ level, split uint32 }

// String writes the shape as scripts compare it.
func (s shape) String() string { return fmt.Sprintf("%d %d", s.level, s.split) }

func (s shape) buckets() int64 { return 1<<s.level + int64(s.split) }

func (s shape) bucket(digest [8]byte) uint32 {
	hash := binary.LittleEndian.Uint32(digest[:])
	bucket := hash & (1<<s.level - 1)
	if bucket < s.split {
		bucket = hash & (1<<(s.level+1) - 1)
	}
	return bucket
}

// next returns the shape with one more bucket.
func (s shape) next() shape {
	s.split++
	if s.split == 1<<s.level {
		return shape{s.level + 1, 0}
	}
	return s
}

// splitScript moves things from a bucket to a new one.
//
//	KEYS[1] lease, KEYS[2] memory, KEYS[3] bucket, KEYS[4] new bucket
//	ARGV[1] token, ARGV[2] the bit of the hash that tells which, ARGV[3] new shape
//	returns false if the token is not the lease's
//
// It is a script because nobody must look for a thing between its removal and the new shape.
var splitScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
local bit = tonumber(ARGV[2])
local byte, power = math.floor(bit / 8) + 1, 2 ^ (bit % 8)
local all, moved, gone = redis.call('HGETALL', KEYS[3]), {}, {}
for i = 1, #all, 2 do
  if math.floor(string.byte(all[i], byte) / power) % 2 == 1 then
    moved[#moved + 1], moved[#moved + 2], gone[#gone + 1] = all[i], all[i + 1], all[i]
  end
end
if #gone > 0 then
  redis.call('HSET', KEYS[4], unpack(moved))
  redis.call('HDEL', KEYS[3], unpack(gone))
end
redis.call('HSET', KEYS[2], 'shape', ARGV[3])
return 1`)

// forgetScript removes things.
//
//	KEYS[1] lease, KEYS[2] memory, KEYS[3] bucket; ARGV[1] token, ARGV[2...] digests
//	returns false if the token is not the lease's, else how many things are remembered
//
// It is a script because the count must be right, and the check of the token inseparable from what it guards.
var forgetScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
return redis.call('HINCRBY', KEYS[2], 'items', -redis.call('HDEL', KEYS[3], unpack(ARGV, 2)))`)

// load reads the shape.
func (m *memory) load(ctx context.Context, o *Outbox) error {
	var saved struct {
		Shape string `redis:"shape"`
		Items int64  `redis:"items"`
	}
	if err := o.client.HGetAll(ctx, memoryKey(o.stream, o.source)).Scan(&saved); err != nil {
		return err
	}
	m.shape = shape{}
	if saved.Shape != "" {
		if _, err := fmt.Sscanf(saved.Shape, "%d %d", &m.shape.level, &m.shape.split); err != nil || m.shape.level > 31 {
			return fmt.Errorf("the memory of source %q has the shape %q, which nobody writes", o.source, saved.Shape)
		}
	}
	m.loaded = true
	m.count(saved.Items)
	return nil
}

func (m *memory) count(items int64) {
	m.items = items
	if m.gauge != nil {
		m.gauge(items)
	}
}

// note takes the count of things from a script's reply, and reports whether the script agreed with the shape.
func (m *memory) note(reply []any) bool {
	items, _ := reply[0].(int64)
	if items < 0 {
		return false
	}
	m.count(items)
	return true
}

// admit returns ErrMemoryFull where there is no room for what a step may add.
func (m *memory) admit(ctx context.Context, o *Outbox, s *step) error {
	if err := o.loadMemory(ctx); err != nil {
		return err
	}
	added := int64(0)
	for _, e := range s.emissions {
		if e.Key != "" && e.Action != Withdraw {
			added++
		}
	}
	limit := o.MemoryLimit()
	if added == 0 || m.items+added <= limit {
		return nil
	}
	known, err := o.Recall(ctx, s.emissions) // not all of it is new
	if err != nil {
		return err
	}
	for i := range known {
		if known[i].Exists && s.emissions[i].Action != Withdraw {
			added--
		}
	}
	if m.items+added <= limit {
		return nil
	}
	return fmt.Errorf("%w: %d", ErrMemoryFull, limit)
}

// grow splits buckets until there are enough.
func (m *memory) grow(ctx context.Context, o *Outbox) error {
	for m.items > thingsPerBucket*m.shape.buckets() && m.shape.level < 31 {
		from, next := m.shape.split, m.shape.next()
		keys := []string{
			leaseKey(o.stream, o.source), memoryKey(o.stream, o.source),
			bucketKey(o.stream, o.source, from), bucketKey(o.stream, o.source, from+1<<m.shape.level),
		}
		err := o.retry(ctx, func(ctx context.Context) error {
			err := splitScript.Run(ctx, o.client, keys, o.token, m.shape.level, next.String()).Err()
			if errors.Is(err, redis.Nil) {
				return ErrFenced
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("enlarge the memory of source %q: %w", o.source, err)
		}
		m.shape = next
	}
	return nil
}

func (o *Outbox) loadMemory(ctx context.Context) error {
	if o.memory.loaded || o.client == nil {
		return nil
	}
	err := o.retry(ctx, func(ctx context.Context) error { return o.memory.load(ctx, o) })
	if err != nil {
		return fmt.Errorf("read the memory of source %q: %w", o.source, err)
	}
	return nil
}

// LimitMemory sets how many things may be remembered; 0 is [DefaultMemory].
func (o *Outbox) LimitMemory(limit int64) { o.memory.max = limit }

// MemoryLimit returns how many things may be remembered.
func (o *Outbox) MemoryLimit() int64 {
	if o.memory.max > 0 {
		return o.memory.max
	}
	return DefaultMemory
}

// Remembered returns how many things are remembered. It retries until Redis answers or ctx ends.
func (o *Outbox) Remembered(ctx context.Context) (int64, error) {
	err := o.loadMemory(ctx)
	return o.memory.items, err
}

// Known is what an [Outbox] remembers of a thing, compared to an [Emission].
type Known struct {
	Exists                   bool
	SameVersion, SameContent bool      // SameContent is true as well where one of them has none
	Found                    time.Time // when it was last published or noted, to the second
}

// Recall tells what is remembered of each thing: of the emissions only key, version and content count. It retries until
// Redis answers or ctx ends.
func (o *Outbox) Recall(ctx context.Context, emissions []*Emission) ([]Known, error) {
	known := make([]Known, len(emissions))
	if o.preview != nil {
		defer func() { o.preview.amend(emissions, known) }()
	}
	if o.client == nil {
		return known, nil
	}
	if err := o.loadMemory(ctx); err != nil {
		return nil, err
	}
	err := o.retry(ctx, func(ctx context.Context) error {
		pipe := o.client.Pipeline()
		states := make([]*redis.StringCmd, len(emissions))
		for i, e := range emissions {
			key := digest(e.Key)
			states[i] = pipe.HGet(ctx, bucketKey(o.stream, o.source, o.memory.shape.bucket(key)), string(key[:]))
		}
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		for i, e := range emissions {
			state, err := states[i].Result()
			if err != nil && !errors.Is(err, redis.Nil) {
				return err
			}
			known[i] = e.compare(state)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up what source %q has published: %w", o.source, err)
	}
	return known, nil
}

// Thing is what is remembered of a thing.
type Thing struct {
	Reference string
	State     string // of version and content, as hexadecimal digits
}

// Stale yields what was not published or noted since a time, to the second. It retries until Redis answers or ctx ends.
func (o *Outbox) Stale(ctx context.Context, before time.Time) iter.Seq2[Thing, error] {
	return func(yield func(Thing, error) bool) {
		for bucket, err := range o.buckets(ctx) {
			if err != nil {
				yield(Thing{}, err)
				return
			}
			for _, state := range bucket.states {
				if foundAt(state) >= seconds(before) {
					continue
				}
				if !yield(Thing{state[stateSize+timeSize:], hex.EncodeToString([]byte(state[:stateSize]))}, nil) {
					return
				}
			}
		}
	}
}

// Forget removes from the memory what was not published or noted since a time, to the second, and returns how much that was.
// It retries until Redis answers or ctx ends.
func (o *Outbox) Forget(ctx context.Context, before time.Time) (forgotten int, err error) {
	if o.preview != nil {
		return 0, nil
	}
	for bucket, err := range o.buckets(ctx) {
		if err != nil {
			return forgotten, err
		}
		args := []any{o.token}
		for key, state := range bucket.states {
			if foundAt(state) < seconds(before) {
				args = append(args, key)
			}
		}
		if len(args) == 1 {
			continue
		}
		keys := []string{leaseKey(o.stream, o.source), memoryKey(o.stream, o.source), bucket.key}
		err := o.retry(ctx, func(ctx context.Context) error {
			items, err := forgetScript.Run(ctx, o.client, keys, args...).Int64()
			if errors.Is(err, redis.Nil) {
				return ErrFenced
			}
			if err == nil {
				o.memory.count(items)
			}
			return err
		})
		if err != nil {
			return forgotten, fmt.Errorf("forget what source %q has published long ago: %w", o.source, err)
		}
		forgotten += len(args) - 1
	}
	return forgotten, nil
}

// bucket is one hash of the memory, as far as it is whole.
type bucket struct {
	key    string
	states map[string]string
}

func (o *Outbox) buckets(ctx context.Context) iter.Seq2[bucket, error] {
	return func(yield func(bucket, error) bool) {
		if o.client == nil {
			return
		}
		if err := o.loadMemory(ctx); err != nil {
			yield(bucket{}, err)
			return
		}
		for first, total := int64(0), o.memory.shape.buckets(); first < total; first += bucketsAtOnce {
			page, err := o.readBuckets(ctx, first, min(first+bucketsAtOnce, total))
			if err != nil {
				yield(bucket{}, fmt.Errorf("read the memory of source %q: %w", o.source, err))
				return
			}
			for _, b := range page {
				if !yield(b, nil) {
					return
				}
			}
		}
	}
}

func (o *Outbox) readBuckets(ctx context.Context, first, end int64) ([]bucket, error) {
	page := make([]bucket, end-first)
	err := o.retry(ctx, func(ctx context.Context) error {
		pipe := o.client.Pipeline()
		reads := make([]*redis.MapStringStringCmd, len(page))
		for i := range page {
			page[i].key = bucketKey(o.stream, o.source, uint32(first)+uint32(i)) //nolint:gosec // there are at most 2^32 buckets
			reads[i] = pipe.HGetAll(ctx, page[i].key)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
		for i := range page {
			page[i].states = reads[i].Val()
			for key, state := range page[i].states {
				if len(state) < stateSize+timeSize {
					delete(page[i].states, key) // nobody writes it
				}
			}
		}
		return nil
	})
	return page, err
}

// state is what is remembered: 6 bytes each for the version and the content, 4 for the time, and the reference.
func (e *Emission) state(found uint32) string {
	state := make([]byte, 0, stateSize+timeSize+len(e.Reference))
	for _, part := range []string{e.Version, e.Content} {
		var d [8]byte
		if part != "" {
			d = digest(part)
		}
		state = append(state, d[:stateSize/2]...)
	}
	state = binary.BigEndian.AppendUint32(state, found)
	return string(append(state, e.Reference...))
}

func (e *Emission) compare(state string) Known {
	if len(state) < stateSize+timeSize {
		return Known{}
	}
	mine := e.state(0)
	const half, none = stateSize / 2, "\x00\x00\x00\x00\x00\x00"
	content, known := mine[half:stateSize], state[half:stateSize]
	return Known{
		Exists: true, SameVersion: mine[:half] == state[:half], SameContent: content == known || content == none || known == none,
		Found: time.Unix(int64(foundAt(state)), 0).UTC(),
	}
}

func foundAt(state string) uint32 {
	return binary.BigEndian.Uint32([]byte(state[stateSize : stateSize+timeSize]))
}

// seconds counts seconds since 1970; 4 bytes hold them until the year 2106.
func seconds(t time.Time) uint32 {
	return uint32(min(max(t.Unix(), 0), math.MaxUint32)) //nolint:gosec // fits
}

// digest shortens a key or a version to 8 bytes. Among ten million keys the odds that two of them share one, which would
// hide an item, are 3 in a million.
func digest(s string) [8]byte {
	sum := sha256.Sum256([]byte(s))
	return [8]byte(sum[:8])
}
