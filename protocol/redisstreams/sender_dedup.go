package redisstreams

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// appendOnceScript adds the events that are not yet in the stream.
//
//	KEYS[1] stream, KEYS[2...] a key for each event, which records its entry
//	ARGV[1] lifetime of these keys in ms, ARGV[2] 1 if the caller waits for durability; then for each event the number of
//	arguments and the arguments of its XADD
//	returns {entry id of each event, number of each event that was already there}
//
// An event without such a key has the stream itself in its place. It is a script because another sender might add the
// same event between the check and the addition. Permissions are checked before anything is written. If the caller
// waits for durability, a key that exists is written again, because WAIT and WAITAOF wait for the writes of their own
// connection.
var appendOnceScript = newScript(`
if KEYS[#KEYS] ~= KEYS[1] and redis.acl_check_cmd and not redis.acl_check_cmd('SET', KEYS[#KEYS], '', 'PX', '1') then
  return redis.error_reply('NOPERM this user may not SET the keys that record events')
end
local ids, duplicates, at = {}, {}, 3
for i = 2, #KEYS do
  local n = tonumber(ARGV[at])
  local remembered = KEYS[i] ~= KEYS[1]
  local id = remembered and redis.call('GET', KEYS[i])
  if id then
    duplicates[#duplicates + 1] = i - 1
    if ARGV[2] == '1' then redis.call('SET', KEYS[i], id, 'KEEPTTL') end
  else
    id = redis.call('XADD', KEYS[1], unpack(ARGV, at + 1, at + n))
    if remembered then redis.call('SET', KEYS[i], id, 'PX', ARGV[1]) end
  end
  ids[i - 1] = id
  at = at + n + 1
end
return {ids, duplicates}`)

// dedupKey returns the key that records that an event was added. Its length does not depend on the event.
func dedupKey(stream string, event *rawevent.Event) string {
	// The length keeps ("a", "bc") and ("ab", "c") apart; source and id may hold any character.
	digest := sha256.Sum256(fmt.Appendf(nil, "%d %s%s", len(event.Source()), event.Source(), event.ID()))
	return Key(stream, "dedup:"+base64.RawURLEncoding.EncodeToString(digest[:16]))
}

// maxScriptArgs is how many arguments of an XADD Lua can pass on: its stack holds 8000 values.
const maxScriptArgs = 7900

// sendOnce writes a batch with deduplication in one step. Writes that would abort the script halfway are refused
// before.
func (s *Sender) sendOnce(ctx context.Context, batch []*write, by fsyncMode) {
	fit := make([]*write, 0, len(batch))
	for _, w := range batch {
		if w.err = checkScriptArgs(w.items); w.err == nil {
			fit = append(fit, w)
		}
	}
	if len(fit) > 0 {
		s.appendOnce(ctx, fit, by)
	}
}

func checkScriptArgs(items []item) error {
	for i := range items {
		if n := len(items[i].args); n > maxScriptArgs {
			return fmt.Errorf("%w: an entry of %d names and values; with deduplication it may have %d",
				ErrUnsupported, n, maxScriptArgs)
		}
	}
	return nil
}

func (s *Sender) appendOnce(ctx context.Context, batch []*write, by fsyncMode) {
	waits := 0
	if s.durable() {
		waits = 1
	}
	keys, args := []string{s.stream}, []any{s.dedup.Milliseconds(), waits}
	for _, w := range batch {
		for i := range w.items {
			it := &w.items[i]
			key := it.key
			if key == "" {
				key = s.stream
			}
			keys = append(keys, key)
			args = append(append(args, len(it.args)-2), it.args[2:]...) // without "xadd" and the stream
		}
	}
	cmd, waitErr := s.runScript(ctx, appendOnceScript, keys, args, by)
	ids, duplicates, err := onceReply(cmd, len(keys)-1)
	if err != nil {
		fail(batch, err)
		return
	}
	s.duplicates.Add(uint64(duplicates)) //nolint:gosec // a count
	at := 0
	for _, w := range batch {
		for i := range w.items {
			w.setID(i, ids[at])
			at++
		}
		w.err = waitErr
	}
}

func onceReply(cmd *redis.Cmd, n int) (ids []string, duplicates int, err error) {
	reply, err := cmd.Slice()
	if err != nil {
		return nil, 0, err
	}
	if len(reply) == 2 {
		list, _ := reply[0].([]any)
		known, _ := reply[1].([]any)
		for _, id := range list {
			text, ok := id.(string)
			if ok {
				ids = append(ids, text)
			}
		}
		duplicates = len(known)
	}
	if len(ids) != n {
		return nil, 0, fmt.Errorf("unexpected reply of type %T for %d events", cmd.Val(), n)
	}
	return ids, duplicates, nil
}

// runScript runs a script and waits for durability.
func (s *Sender) runScript(
	ctx context.Context, script *script, keys []string, args []any, by fsyncMode,
) (*redis.Cmd, error) {
	cmd := script.byHash(ctx, keys, args)
	waitErr := s.execute(ctx, []redis.Cmder{once{cmd}}, by)
	if unknownScript(cmd) {
		cmd = script.inFull(ctx, keys, args)
		waitErr = s.execute(ctx, []redis.Cmder{once{cmd}}, by)
	}
	return cmd, waitErr
}
