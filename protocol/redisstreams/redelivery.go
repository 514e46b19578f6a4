package redisstreams

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

const (
	replyBytes    = 8 << 20  // what one reply should hold at most, unless a single entry is larger
	maxEntryBytes = 32 << 20 // default of WithMaxEntryBytes
)

// redeliverScript hands entries out again that are pending for this consumer.
//
//	KEYS[1] stream; ARGV[1] group, ARGV[2] consumer, ARGV[3] largest entry in bytes, ARGV[4] bytes after which to stop,
//	ARGV[5] what the delivery count becomes, 0 for one more, -1 for what it is, ARGV[6...] ids
//	returns {number of ids that were processed, list of {id, delivery count, entry}}; the entry is replaced by its size if it
//	is too large, and missing if it was trimmed; an id that is not pending for this consumer is left out
//
// It is a script for the same reason as heartbeatScript.
var redeliverScript = newScript(sizeFunction + `
local out, bytes, i = {}, 0, 6
while i <= #ARGV and bytes < tonumber(ARGV[4]) do
  local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
  if #p == 1 then
    local count = tonumber(ARGV[5])
    if count <= 0 then count = p[1][4] + 1 + count end
    local entry = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'RETRYCOUNT', count)[1]
    local n = size(entry)
    bytes = bytes + n
    if n > tonumber(ARGV[3]) then entry = n end
    out[#out + 1] = {ARGV[i], count, entry}
  end
  i = i + 1
end
return {i - 6, out}`)

// recountScript sets the delivery count of an entry that is pending for this consumer.
//
//	KEYS[1] stream; ARGV[1] group, ARGV[2] consumer, ARGV[3] id, ARGV[4] count
//
// It is a script for the same reason as heartbeatScript.
var recountScript = newScript(`
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2]) == 1 then
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'RETRYCOUNT', ARGV[4], 'JUSTID')
end
return 0`)

// sizeFunction is a part of scripts: it returns the bytes of all names and values of an entry.
const sizeFunction = `
local function size(entry)
  local n = 0
  if entry then for _, s in ipairs(entry[2]) do n = n + #s end end
  return n
end`

// How redelivery.again counts.
const (
	countOneMore = 0  // as one more delivery
	countAsFirst = 1  // as the first delivery
	countNothing = -1 // not as a delivery
)

// redelivery hands out entries again that are pending for this member. It has no state of its own and is safe for
// concurrent use. A kill -9 after the script leaves the entries pending with the new count.
type redelivery struct {
	*member
	intake      *intake
	creator     *groupCreator
	ownAttempts bool // see WithOwnAttempts
}

// again hands out entries again. Those that are not pending for this member any more are no longer in work.
func (r *redelivery) again(ctx context.Context, ids []string, count int) ([]*Delivery, error) {
	if r.ownAttempts {
		count = countNothing
	}
	var batch []*Delivery
	for left := ids; len(left) > 0; {
		next := left[:min(len(left), scriptIDs)]
		reply, err := r.redeliver(ctx, next, count)
		if IsReply(err, ReplyNoGroup) { // what is in work comes before new entries, so the reader may not notice
			if err = r.creator.recreate(ctx); err == nil {
				reply, err = r.redeliver(ctx, next, count)
			}
		}
		if err != nil {
			return batch, fmt.Errorf("redeliver entries of stream %q: %w", r.stream, err)
		}
		processed, list := redeliverReply(reply)
		if processed < 1 || processed > len(left) {
			return batch, fmt.Errorf("redeliver entries of stream %q: unexpected reply of %d parts", r.stream, len(reply))
		}
		deliveries, err := r.intake.claimed(list)
		if err != nil {
			return batch, err
		}
		batch, left = append(batch, deliveries...), left[processed:]
	}
	r.intake.leases.remove(missing(ids, batch)...)
	return batch, nil
}

func (r *redelivery) redeliver(ctx context.Context, ids []string, count int) ([]any, error) {
	args := appendStrings([]any{r.group, r.name, r.intake.maxEntry, replyBytes, count}, ids)
	return r.runScriptFor(ctx, transferTimeout, redeliverScript, args).Slice()
}

func redeliverReply(reply []any) (processed int, list []any) {
	if len(reply) == 2 {
		n, _ := reply[0].(int64)
		list, _ = reply[1].([]any)
		processed = int(n)
	}
	return processed, list
}

// missing returns the ids of which there is no delivery.
func missing(ids []string, batch []*Delivery) (left []string) {
	given := make(map[string]bool, len(batch))
	for _, d := range batch {
		given[d.ID] = true
	}
	for _, id := range ids {
		if !given[id] {
			left = append(left, id)
		}
	}
	return left
}

func (r *redelivery) recount(ctx context.Context, id string, deliveries int) error {
	if err := r.runScript(ctx, recountScript, []any{r.group, r.name, id, deliveries}).Err(); err != nil {
		return fmt.Errorf("recount an entry of stream %q: %w", r.stream, err)
	}
	return nil
}

// unseen hands out up to n entries that are pending for this member although it does not work on them: the reply that
// should have brought them was lost with a connection.
func (r *redelivery) unseen(ctx context.Context, n int) ([]*Delivery, error) {
	var ids []string
	for start := "-"; len(ids) < n; {
		pendingCtx, cancel := context.WithTimeout(ctx, commandTimeout)
		page, err := r.client.XPendingExt(pendingCtx, &redis.XPendingExtArgs{
			Stream: r.stream, Group: r.group, Consumer: r.name, Start: start, End: "+", Count: scriptIDs,
		}).Result()
		cancel()
		if err != nil {
			return nil, fmt.Errorf("list own pending entries: %w", err)
		}
		for i := range page {
			if !r.intake.leases.has(page[i].ID) && len(ids) < n {
				ids = append(ids, page[i].ID)
			}
		}
		if len(page) < scriptIDs {
			break
		}
		start = "(" + page[len(page)-1].ID
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return r.again(ctx, ids, countOneMore)
}
