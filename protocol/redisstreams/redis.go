package redisstreams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// ClientOptions changes o so that a client made from it is safe for this package, and returns it:
//
//   - MaxRetries -1: otherwise go-redis repeats an XADD whose reply was lost, and the event is in the stream twice, or an
//     XREADGROUP, and entries are pending for a consumer that never saw them;
//   - ContextTimeoutEnabled: a deadline ends a command even if Redis hangs;
//   - a DialTimeout of 2 s if none is set;
//   - a ReadTimeout of 30 s if none is set: it limits how long one reply may take, and go-redis' default of a few seconds
//     is too short for a large entry on a slow link, which would be requested again and again. The package sets shorter
//     deadlines wherever it can.
func ClientOptions(o *redis.UniversalOptions) *redis.UniversalOptions {
	o.MaxRetries = -1
	o.ContextTimeoutEnabled = true
	if o.DialTimeout == 0 {
		o.DialTimeout = 2 * time.Second
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = readTimeout
	}
	return o
}

// readTimeout is for one reply.
const readTimeout = 30 * time.Second

// once is a command that is sent at most once: a Cluster client repeats commands after network errors regardless of
// MaxRetries, unless the command forbids it. Redirections are still followed.
type once struct{ redis.Cmder }

// NoRetry tells go-redis not to repeat the command.
func (once) NoRetry() bool { return true }

// checkClient refuses a client that repeats commands by itself, or whose timeouts do not fit.
func checkClient(client redis.UniversalClient) error {
	if client == nil {
		return errors.New("redisstreams: the Redis client is nil")
	}
	if _, ok := client.(*redis.Ring); ok {
		return errors.New("redisstreams: a Ring of servers is not supported; use a single server, Sentinel or Cluster")
	}
	retries, timeouts, read := settingsOf(client)
	if read > 0 && read < 2*blockTime {
		return fmt.Errorf("redisstreams: the Redis client's ReadTimeout of %s is too short for blocking reads; leave it out", read)
	}
	if retries > 0 || !timeouts {
		return errors.New("redisstreams: the Redis client needs MaxRetries -1 and ContextTimeoutEnabled; " +
			"make it with redisstreams.ClientOptions")
	}
	return nil
}

// settingsOf returns the options of a client that matter here. Clients of other types are assumed to have the right
// ones.
func settingsOf(client redis.UniversalClient) (retries int, timeouts bool, read time.Duration) {
	switch c := client.(type) {
	case *redis.Client:
		return c.Options().MaxRetries, c.Options().ContextTimeoutEnabled, c.Options().ReadTimeout
	case *redis.ClusterClient:
		return c.Options().MaxRetries, c.Options().ContextTimeoutEnabled, c.Options().ReadTimeout
	default:
		return 0, true, 0
	}
}

// executor is what runs commands: a client or a node of a Cluster.
type executor interface {
	Process(ctx context.Context, cmd redis.Cmder) error
	Pipeline() redis.Pipeliner
}

// run runs the commands, in a pipeline if there are several. Each command carries its result and its error.
func run(ctx context.Context, client executor, commands []redis.Cmder) {
	if len(commands) == 1 {
		_ = client.Process(ctx, commands[0]) // the command carries the error
		return
	}
	pipe := client.Pipeline()
	for _, cmd := range commands {
		_ = pipe.Process(ctx, cmd)
	}
	_, _ = pipe.Exec(ctx) // each command carries its own error
}

// parseStreams reads the reply of XREAD or XREADGROUP for one stream, in RESP2 or RESP3. The commands of go-redis put
// the fields into a map, which loses their order and hides a field that occurs twice.
func parseStreams(stream string, reply any) ([]Entry, error) {
	switch r := reply.(type) {
	case nil:
		return nil, nil
	case map[any]any:
		for _, entries := range r {
			return parseEntries(stream, entries)
		}
		return nil, nil
	case []any:
		if len(r) == 0 {
			return nil, nil
		}
		if pair, ok := r[0].([]any); ok && len(pair) == 2 {
			return parseEntries(stream, pair[1])
		}
	}
	return nil, fmt.Errorf("read stream %q: unexpected reply of type %T", stream, reply)
}

// parseEntries reads a list of entries, as XRANGE and XCLAIM return it. An entry that was trimmed comes without fields.
func parseEntries(stream string, reply any) ([]Entry, error) {
	list, ok := reply.([]any)
	if !ok && reply != nil {
		return nil, fmt.Errorf("read stream %q: unexpected list of entries of type %T", stream, reply)
	}
	entries := make([]Entry, 0, len(list))
	for _, item := range list {
		entry, err := parseEntry(stream, item)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// parseEntry reads {id, fields}; XREADGROUP CLAIM adds the idle time and the number of deliveries before this one.
func parseEntry(stream string, item any) (Entry, error) {
	parts, ok := item.([]any)
	if !ok || len(parts) < 2 {
		return Entry{}, fmt.Errorf("read stream %q: unexpected entry of type %T", stream, item)
	}
	id, ok := parts[0].(string)
	if !ok {
		return Entry{}, fmt.Errorf("read stream %q: unexpected entry id of type %T", stream, parts[0])
	}
	values, _ := parts[1].([]any)
	fields, bytes := make([]string, len(values)), 0
	for i, value := range values {
		if fields[i], ok = value.(string); !ok {
			return Entry{}, fmt.Errorf("read stream %q: entry %s: unexpected field of type %T", stream, id, value)
		}
		bytes += len(fields[i])
	}
	entry := Entry{Stream: stream, ID: id, Fields: fields, bytes: bytes}
	if len(parts) > 3 {
		n, _ := parts[3].(int64)
		entry.deliveries = int(n)
	}
	return entry, nil
}

// ReadAfter reads at most n entries after an id, without a consumer group, with their fields in order. It blocks for up
// to wait until there are some; a negative wait does not block. It returns none if there are none.
func ReadAfter(
	ctx context.Context, client redis.UniversalClient, stream, id string, n int, wait time.Duration,
) ([]Entry, error) {
	for ; wait > blockTime; wait -= blockTime { // a longer block might be longer than the client's ReadTimeout
		entries, err := readAfter(ctx, client, stream, id, n, blockTime)
		if err != nil || len(entries) > 0 {
			return entries, err
		}
	}
	return readAfter(ctx, client, stream, id, n, wait)
}

func readAfter(
	ctx context.Context, client redis.UniversalClient, stream, id string, n int, wait time.Duration,
) ([]Entry, error) {
	args := []any{"xread", "count", n}
	if wait >= 0 {
		args = append(args, "block", max(wait.Milliseconds(), 1))
	}
	args = append(args, "streams", stream, id)
	cmd := redis.NewCmd(ctx, args...)
	cmd.SetFirstKeyPos(int8(len(args) - 2)) //nolint:gosec // at most 6
	_ = client.Process(ctx, cmd)            // the command carries the error
	reply, err := cmd.Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read stream %q: %w", stream, err)
	}
	return parseStreams(stream, reply)
}

// stringsOf returns the strings of a list in a reply.
func stringsOf(reply any) []string {
	list, _ := reply.([]any)
	var all []string
	for _, item := range list {
		if s, ok := item.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// appendStrings appends strings to the arguments of a command.
func appendStrings(args []any, more []string) []any {
	for _, s := range more {
		args = append(args, s)
	}
	return args
}
