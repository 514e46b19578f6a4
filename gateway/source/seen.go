package source

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/redis/go-redis/v9"
)

// The seen items of a source: which items it has published in which state. They are kept in Redis, in hashes so small
// that Redis stores them compactly (hash-max-listpack-entries is 128 by default), 36 bytes an item
// (BenchmarkSeenItems). There are as many hashes as are needed: they are split one by one as items are added (linear
// hashing, Litwin 1980), so that a lookup is one command however many items there are.
const (
	itemsPerBucket = 50 // on average; up to twice as many before a bucket's turn comes
	stateSize      = 12 // of a version and a content
	timeSize       = 4
	bucketsAtOnce  = 200 // that are read in one round trip
	// DefaultSeenLimit is how many items a source keeps at most, if it does not say otherwise: some 200 MB of Redis.
	DefaultSeenLimit = 5_000_000
)

// ErrSeenFull is returned by an [Outbox] that would have to keep more seen items than it may. Nothing is forgotten to
// make room: what is forgotten would be published again.
var ErrSeenFull = errors.New("the source keeps as many seen items as it may")

// SeenItems is what an [Outbox] knows of its seen items. It is for one goroutine at a time.
type SeenItems struct {
	link   *link
	loaded bool
	shape  shape
	items  int64
	max    int64
	gauge  func(items int64)
}

func newSeenItems(at *link, gauge func(items int64)) *SeenItems {
	return &SeenItems{link: at, max: DefaultSeenLimit, gauge: gauge}
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

// splitScript moves items from a bucket to a new one.
//
//	KEYS[1] lease, KEYS[2] seen items, KEYS[3] bucket, KEYS[4] new bucket
//	ARGV[1] token, ARGV[2] the bit of the hash that tells which, ARGV[3] new shape
//	returns false if the token is not the lease's
//
// It is a script because no lookup may come between its removal and the new shape.
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

// forgetScript removes items.
//
//	KEYS[1] lease, KEYS[2] seen items, KEYS[3] bucket; ARGV[1] token, ARGV[2...] digests
//	returns false if the token is not the lease's, else how many items there are
//
// It is a script because the count must be right, and the check of the token inseparable from what it guards.
var forgetScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
return redis.call('HINCRBY', KEYS[2], 'items', -redis.call('HDEL', KEYS[3], unpack(ARGV, 2)))`)

// load reads the shape.
func (s *SeenItems) load(ctx context.Context) error {
	var saved struct {
		Shape string `redis:"shape"`
		Items int64  `redis:"items"`
	}
	if err := s.link.client.HGetAll(ctx, s.link.seenKey()).Scan(&saved); err != nil {
		return err
	}
	s.shape = shape{}
	if saved.Shape != "" {
		if _, err := fmt.Sscanf(saved.Shape, "%d %d", &s.shape.level, &s.shape.split); err != nil || s.shape.level > 31 {
			return fmt.Errorf("the seen items of source %q have the shape %q, which no build writes", s.link.source, saved.Shape)
		}
	}
	s.loaded = true
	s.count(saved.Items)
	return nil
}

func (s *SeenItems) ensureLoaded(ctx context.Context) error {
	if s.loaded {
		return nil
	}
	if err := s.link.retry(ctx, s.load); err != nil {
		return fmt.Errorf("read the seen items of source %q: %w", s.link.source, err)
	}
	return nil
}

func (s *SeenItems) count(items int64) {
	s.items = items
	s.gauge(items)
}

// note takes the count of items from a script's reply, and reports whether the script agreed with the shape.
func (s *SeenItems) note(reply []any) bool {
	items, _ := reply[0].(int64)
	if items < 0 {
		return false
	}
	s.count(items)
	return true
}

// admit returns ErrSeenFull where what the emissions may add is too much.
func (s *SeenItems) admit(ctx context.Context, emissions []*Emission) error {
	if err := s.ensureLoaded(ctx); err != nil {
		return err
	}
	added := int64(0)
	for _, e := range emissions {
		if e.Key != "" && e.Action != Withdraw {
			added++
		}
	}
	if added == 0 || s.items+added <= s.max {
		return nil
	}
	known, err := s.Recall(ctx, emissions) // not all of it is new
	if err != nil {
		return err
	}
	for i := range known {
		if known[i].Exists && emissions[i].Action != Withdraw {
			added--
		}
	}
	if s.items+added <= s.max {
		return nil
	}
	return fmt.Errorf("%w: %d", ErrSeenFull, s.max)
}

// grow splits buckets until there are enough.
func (s *SeenItems) grow(ctx context.Context) error {
	for s.items > itemsPerBucket*s.shape.buckets() && s.shape.level < 31 {
		from, next := s.shape.split, s.shape.next()
		keys := []string{
			s.link.leaseKey(), s.link.seenKey(), s.link.bucketKey(from), s.link.bucketKey(from + 1<<s.shape.level),
		}
		err := s.link.retry(ctx, func(ctx context.Context) error {
			return fenced(splitScript.Run(ctx, s.link.client, keys, s.link.token, s.shape.level, next.String()).Err())
		})
		if err != nil {
			return fmt.Errorf("enlarge the seen items of source %q: %w", s.link.source, err)
		}
		s.shape = next
	}
	return nil
}

// SetLimit implements [Seen]. It sets how many seen items may be kept; 0 is [DefaultSeenLimit].
func (s *SeenItems) SetLimit(limit int64) {
	if s.max = limit; limit <= 0 {
		s.max = DefaultSeenLimit
	}
}

// Limit implements [Seen]. It returns how many seen items may be kept.
func (s *SeenItems) Limit() int64 { return s.max }

// Count implements [Seen]. It returns how many seen items there are. It retries until Redis answers or ctx ends.
func (s *SeenItems) Count(ctx context.Context) (int64, error) {
	err := s.ensureLoaded(ctx)
	return s.items, err
}

// Known is what is kept of an item, compared to an [Emission].
type Known struct {
	Exists                   bool
	SameVersion, SameContent bool      // SameContent is true as well where one of them has none
	Found                    time.Time // when it was last published or noted, to the second
	Mark                     Mark
}

// Recall implements [Seen]. It tells what is kept of each item: of the emissions only key, version and content count.
// It retries until Redis answers or ctx ends.
func (s *SeenItems) Recall(ctx context.Context, emissions []*Emission) ([]Known, error) {
	known := make([]Known, len(emissions))
	if err := s.ensureLoaded(ctx); err != nil {
		return nil, err
	}
	err := s.link.retry(ctx, func(ctx context.Context) error {
		pipe := s.link.client.Pipeline()
		states := make([]*redis.StringCmd, len(emissions))
		for i, e := range emissions {
			key := digest(e.Key)
			states[i] = pipe.HGet(ctx, s.link.bucketKey(s.shape.bucket(key)), string(key[:]))
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
		return nil, fmt.Errorf("look up what source %q has published: %w", s.link.source, err)
	}
	return known, nil
}

// SeenItem is what is kept of an item.
type SeenItem struct {
	Reference string
	State     string // of version and content, as hexadecimal digits
}

// Stale implements [Seen]. It yields what was not published or noted since a time, to the second. It retries until
// Redis answers or ctx ends.
func (s *SeenItems) Stale(ctx context.Context, before time.Time) iter.Seq2[SeenItem, error] {
	return func(yield func(SeenItem, error) bool) {
		for bucket, err := range s.buckets(ctx) {
			if err != nil {
				yield(SeenItem{}, err)
				return
			}
			now := time.Now()
			for _, state := range bucket.states {
				if _, found := stampOf(state, now); found.Unix() >= before.Unix() {
					continue
				}
				if !yield(SeenItem{state[stateSize+timeSize:], hex.EncodeToString([]byte(state[:stateSize]))}, nil) {
					return
				}
			}
		}
	}
}

// Forget implements [Seen]. It removes what was not published or noted since a time, to the second, and returns how
// much that was. It retries until Redis answers or ctx ends.
func (s *SeenItems) Forget(ctx context.Context, before time.Time) (forgotten int, err error) {
	for bucket, err := range s.buckets(ctx) {
		if err != nil {
			return forgotten, err
		}
		args, now := []any{s.link.token}, time.Now()
		for key, state := range bucket.states {
			if _, found := stampOf(state, now); found.Unix() < before.Unix() {
				args = append(args, key)
			}
		}
		if len(args) == 1 {
			continue
		}
		keys := []string{s.link.leaseKey(), s.link.seenKey(), bucket.key}
		err := s.link.retry(ctx, func(ctx context.Context) error {
			items, err := forgetScript.Run(ctx, s.link.client, keys, args...).Int64()
			if err == nil {
				s.count(items)
			}
			return fenced(err)
		})
		if err != nil {
			return forgotten, fmt.Errorf("forget what source %q has published long ago: %w", s.link.source, err)
		}
		forgotten += len(args) - 1
	}
	return forgotten, nil
}

// bucket is one hash of seen items, as far as it is whole.
type bucket struct {
	key    string
	states map[string]string
}

func (s *SeenItems) buckets(ctx context.Context) iter.Seq2[bucket, error] {
	return func(yield func(bucket, error) bool) {
		if err := s.ensureLoaded(ctx); err != nil {
			yield(bucket{}, err)
			return
		}
		for first, total := int64(0), s.shape.buckets(); first < total; first += bucketsAtOnce {
			page, err := s.readBuckets(ctx, first, min(first+bucketsAtOnce, total))
			if err != nil {
				yield(bucket{}, fmt.Errorf("read the seen items of source %q: %w", s.link.source, err))
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

func (s *SeenItems) readBuckets(ctx context.Context, first, end int64) ([]bucket, error) {
	page := make([]bucket, end-first)
	err := s.link.retry(ctx, func(ctx context.Context) error {
		pipe := s.link.client.Pipeline()
		reads := make([]*redis.MapStringStringCmd, len(page))
		for i := range page {
			page[i].key = s.link.bucketKey(uint32(first) + uint32(i)) //nolint:gosec // there are at most 2^32 buckets
			reads[i] = pipe.HGetAll(ctx, page[i].key)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
		for i := range page {
			page[i].states = reads[i].Val()
			for key, state := range page[i].states {
				if len(state) < stateSize+timeSize {
					delete(page[i].states, key) // no build writes it
				}
			}
		}
		return nil
	})
	return page, err
}

// digest shortens a key or a version to 8 bytes. Among ten million keys the odds that two of them share one, which
// would hide an item, are 3 in a million.
func digest(s string) [8]byte {
	sum := sha256.Sum256([]byte(s))
	return [8]byte(sum[:8])
}
