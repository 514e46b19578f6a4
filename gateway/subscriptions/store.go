package subscriptions

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/state"
)

// maxObjects is the most subscriptions that the API can create.
const maxObjects = 10_000

// Errors of the store.
var (
	errNotFound = errors.New("the subscription does not exist")
	errChanged  = errors.New("the subscription has changed since it was read")
	errTooMany  = fmt.Errorf("the limit of %d subscriptions is reached", maxObjects)
)

// store keeps the objects in Redis: a hash of objects by id, a hash of deleted ids, and a version that increases with
// every change, for the replicas. All three are in one slot, and each change is one script.
type store struct{ client redis.UniversalClient }

// putScript stores an object.
//
//	KEYS[1] objects, KEYS[2] version
//	ARGV[1] id, ARGV[2] object, ARGV[3] SHA-1 of the object to replace, "" for any, "new" for none, ARGV[4] maxObjects
//	returns 1, 0 if there is no object to replace, -1 if it has changed, -2 if there are too many
//
// It is one script because the comparison and the write must be atomic: two replicas may update the same object at
// once.
var putScript = redis.NewScript(`
local old = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[3] == 'new' then
  if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return -2 end
elseif not old then
  return 0
elseif ARGV[3] ~= '' and redis.sha1hex(old) ~= ARGV[3] then
  return -1
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('INCR', KEYS[2])
return 1`)

// deleteScript deletes an object and records that its consumer group remains to be removed. It is one script, so that a
// crash cannot delete the object without that record.
//
//	KEYS[1] objects, KEYS[2] version, KEYS[3] deleted; ARGV[1] id, ARGV[2] its stream
//	returns the object, or nil if there is none
var deleteScript = redis.NewScript(`
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old then return false end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], redis.call('TIME')[1] .. ' ' .. ARGV[2])
redis.call('INCR', KEYS[2])
return old`)

// leftScript returns the ids and streams of subscriptions that were deleted at least ARGV[1] seconds ago. It uses the
// clock of Redis, because those of the replicas may differ.
//
//	KEYS[1] deleted; ARGV[1] seconds
var leftScript = redis.NewScript(`
local now, out = tonumber(redis.call('TIME')[1]), {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local at, stream = string.match(all[i + 1], '^(%d+) (.*)$')
  if at and now - tonumber(at) >= tonumber(ARGV[1]) then
    out[#out + 1] = all[i]
    out[#out + 1] = stream
  end
end
return out`)

func objectsKey() string { return state.SubscriptionsKey("objects") }

func versionKey() string { return state.SubscriptionsKey("version") }

func deletedKey() string { return state.SubscriptionsKey("deleted") }

// version returns a value that changes whenever the objects change.
func (s *store) version(ctx context.Context) (string, error) {
	v, err := s.client.Get(ctx, versionKey()).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	return v, err
}

// all returns the objects by id.
func (s *store) all(ctx context.Context) (map[string]*Object, error) {
	raw, err := s.client.HGetAll(ctx, objectsKey()).Result()
	if err != nil {
		return nil, err
	}
	objects := make(map[string]*Object, len(raw))
	for id, text := range raw {
		var o Object
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			return nil, fmt.Errorf("subscription %q in Redis: %w", id, err)
		}
		o.ID = id
		objects[id] = &o
	}
	return objects, nil
}

// get returns an object and its ETag, or errNotFound.
func (s *store) get(ctx context.Context, id string) (*Object, string, error) {
	text, err := s.client.HGet(ctx, objectsKey(), id).Result()
	if errors.Is(err, redis.Nil) {
		return nil, "", errNotFound
	}
	if err != nil {
		return nil, "", err
	}
	var o Object
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return nil, "", fmt.Errorf("subscription %q in Redis: %w", id, err)
	}
	return &o, tagOf(text), nil
}

// put stores an object and returns its ETag. replaces is the ETag of the object to replace, "" for any, or "new" for
// none.
func (s *store) put(ctx context.Context, o *Object, replaces string) (tag string, err error) {
	text, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	result, err := putScript.Run(ctx, s.client, []string{objectsKey(), versionKey()}, o.ID, text, replaces,
		maxObjects).Int()
	switch {
	case err != nil:
		return "", err
	case result == 0:
		return "", errNotFound
	case result == -1:
		return "", errChanged
	case result == -2:
		return "", errTooMany
	}
	return tagOf(string(text)), nil
}

// delete deletes and returns an object, or returns errNotFound.
func (s *store) delete(ctx context.Context, id, stream string) (*Object, error) {
	text, err := deleteScript.Run(ctx, s.client, []string{objectsKey(), versionKey(), deletedKey()}, id, stream).Text()
	if errors.Is(err, redis.Nil) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, err
	}
	var o Object
	return &o, json.Unmarshal([]byte(text), &o)
}

// left returns, by id, the streams of the subscriptions that were deleted at least that long ago.
func (s *store) left(ctx context.Context, after time.Duration) (map[string]string, error) {
	list, err := leftScript.Run(ctx, s.client, []string{deletedKey()}, int(after.Seconds())).StringSlice()
	if err != nil {
		return nil, err
	}
	streams := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		streams[list[i]] = list[i+1]
	}
	return streams, nil
}

// forgotten records that nothing of a deleted subscription is left.
func (s *store) forgotten(ctx context.Context, id string) error {
	return s.client.HDel(ctx, deletedKey(), id).Err()
}

// tagOf is the ETag of a stored object, without quotes.
func tagOf(text string) string {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // scripts of Redis can compute it, and a collision is no risk
	return hex.EncodeToString(sum[:])
}
