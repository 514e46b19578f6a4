package redisstreams

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// redeliverScript hands entries out again that are pending for this consumer.
//
//	KEYS[1] stream; ARGV[1] group, ARGV[2] consumer, ARGV[3] largest entry in bytes, ARGV[4] bytes after which to stop,
//	ARGV[5] what the delivery count becomes, 0 for one more, ARGV[6...] ids
//	returns {how many ids were looked at, list of {id, delivery count, entry}}; in place of the entry is its size where it
//	is too large, and nothing where it was trimmed; an id that is not pending for this consumer is left out
//
// It is a script for the same reason as heartbeatScript.
var redeliverScript = newScript(sizeFunction + `
local out, bytes, i = {}, 0, 6
while i <= #ARGV and bytes < tonumber(ARGV[4]) do
  local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
  if #p == 1 then
    local count = tonumber(ARGV[5])
    if count == 0 then count = p[1][4] + 1 end
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

// sizeFunction is for scripts: the bytes of all names and values of an entry.
const sizeFunction = `
local function size(entry)
  local n = 0
  if entry then for _, s in ipairs(entry[2]) do n = n + #s end end
  return n
end`

// reclaimScript takes over entries whose member has been silent, with their delivery counts.
//
//	KEYS[1] stream; ARGV[1] group, ARGV[2] consumer, ARGV[3] idle time in ms, ARGV[4] cursor, ARGV[5] count,
//	ARGV[6] largest entry in bytes, ARGV[7] bytes after which to stop, ARGV[8] '0' to leave the delivery counts as they are
//	returns {next cursor, list of {id, delivery count, entry or its size}, ids of trimmed entries}
//
// It is a script because XAUTOCLAIM does not tell the counts, and they must be those of the same moment. It takes entry by
// entry, so that none is claimed that the reply has no room for; a call of XAUTOCLAIM looks at ten.
var reclaimScript = newScript(sizeFunction + `
local cursor, out, trimmed, bytes = ARGV[4], {}, {}, 0
for _ = 1, 100 do
  local r = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], cursor, 'COUNT', 1)
  cursor = r[1]
  for _, id in ipairs(r[3] or {}) do trimmed[#trimmed + 1] = id end
  local entry = r[2][1]
  if entry then
    local p = redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1, ARGV[2])
    local id, n, count = entry[1], size(entry), p[1] and p[1][4] or 1
    if ARGV[8] == '0' then
      count = count - 1
      redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'RETRYCOUNT', count, 'JUSTID')
    end
    bytes = bytes + n
    if n > tonumber(ARGV[6]) then entry = n end
    out[#out + 1] = {id, count, entry}
  end
  if cursor == '0-0' or #out >= tonumber(ARGV[5]) or bytes >= tonumber(ARGV[7]) then break end
end
return {cursor, out, trimmed}`)

// Redeliver hands out again, with their fields, entries that were handed out before and neither acknowledged nor
// released; that counts as a delivery. Entries that another member has taken over, or that were trimmed, are left out
// and no longer in work. With an error may come deliveries all the same: the others of the ids are still in work then.
func (c *Consumer) Redeliver(ctx context.Context, ids []string) ([]*Delivery, error) {
	return c.redeliver(ctx, ids, 0)
}

// Reread is Redeliver for entries that were handed out before and never tried, by whomever: this counts as their first
// delivery, however many members have held them.
func (c *Consumer) Reread(ctx context.Context, ids []string) ([]*Delivery, error) {
	return c.redeliver(ctx, ids, 1)
}

// Recount sets how often an entry in work counts as handed out, where an attempt shall not count: [Delivery.Attempt] of
// its next delivery is one more. An entry that another member has taken over is left alone.
func (c *Consumer) Recount(ctx context.Context, id string, deliveries int) error {
	if err := c.run(ctx, recountScript, []any{c.group, c.name, id, deliveries}).Err(); err != nil {
		return fmt.Errorf("recount an entry of stream %q: %w", c.stream, err)
	}
	return nil
}

// TakeAll hands out every entry that is pending in the group, in the order of the stream, whoever has it: for a member
// that knows that it is the only one. It does not count as a delivery: that is for [Consumer.Redeliver] and
// [Consumer.Reread] to do. Their fields may be too many to keep: f gets them batch by batch.
func (c *Consumer) TakeAll(ctx context.Context, f func([]*Delivery)) error {
	if err := c.Ensure(ctx); err != nil {
		return err
	}
	for cursor := "0-0"; ; {
		batch, next, err := c.claimIdle(ctx, scriptIDs, 0, cursor, 0)
		if err != nil {
			return err
		}
		f(batch)
		if cursor = next; cursor == "0-0" {
			return nil
		}
	}
}

func (c *Consumer) redeliver(ctx context.Context, ids []string, count int) ([]*Delivery, error) {
	var batch []*Delivery
	for left := ids; len(left) > 0; {
		args := []any{c.group, c.name, c.maxEntry, replyBytes, count}
		for _, id := range left[:min(len(left), scriptIDs)] {
			args = append(args, id)
		}
		reply, err := c.runFor(ctx, transferTimeout, redeliverScript, args).Slice()
		if hasPrefix(err, "NOGROUP") { // nobody else may notice: what is in work comes before what is new
			if err = c.remake(ctx); err == nil {
				reply, err = c.runFor(ctx, transferTimeout, redeliverScript, args).Slice()
			}
		}
		if err != nil {
			return batch, fmt.Errorf("redeliver entries of stream %q: %w", c.stream, err)
		}
		looked, list := redeliverReply(reply)
		if looked < 1 || looked > len(left) {
			return batch, fmt.Errorf("redeliver entries of stream %q: unexpected reply of %d parts", c.stream, len(reply))
		}
		deliveries, trimmed, err := c.takeOver(list)
		if err != nil {
			return batch, err
		}
		batch = append(batch, deliveries...)
		c.reportTrimmed(trimmed)
		left = left[looked:]
	}
	given := make(map[string]bool, len(batch))
	for _, d := range batch {
		given[d.ID] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		if !given[id] {
			delete(c.held, id)
		}
	}
	return batch, nil
}

func redeliverReply(reply []any) (looked int, list []any) {
	if len(reply) == 2 {
		n, _ := reply[0].(int64)
		list, _ = reply[1].([]any)
		looked = int(n)
	}
	return looked, list
}

// takeOver reads a list of {id, delivery count, entry or its size} and holds the entries.
func (c *Consumer) takeOver(reply []any) (batch []*Delivery, trimmed []string, err error) {
	for _, item := range reply {
		triple, ok := item.([]any)
		if !ok || len(triple) < 2 {
			return nil, nil, fmt.Errorf("read stream %q: unexpected reply of type %T", c.stream, item)
		}
		id, _ := triple[0].(string)
		attempt, _ := triple[1].(int64)
		if len(triple) < 3 || triple[2] == nil {
			trimmed = append(trimmed, id)
			continue
		}
		entry := Entry{Stream: c.stream, ID: id}
		if n, tooLarge := triple[2].(int64); tooLarge {
			entry.oversize = int(n)
		} else if entry, err = parseEntry(c.stream, triple[2]); err != nil {
			return nil, nil, err
		}
		batch = append(batch, &Delivery{Entry: entry, Attempt: int(attempt), consumer: c})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, d := range batch {
		c.held[d.ID] = lease{since: now}
	}
	return batch, trimmed, nil
}

// reclaim takes over up to n entries of members that have been silent for longer than the lease.
func (c *Consumer) reclaim(ctx context.Context, n int) ([]*Delivery, error) {
	batch, cursor, err := c.claimIdle(ctx, n, c.lease, c.cursor, 1)
	if err != nil {
		return nil, err
	}
	if c.cursor = cursor; c.cursor == "0-0" { // one round through the pending list is done
		c.nextReclaim = time.Now().Add(c.reclaimPeriod())
	}
	c.tookOver(len(batch))
	return batch, nil
}

// claimIdle takes over up to n entries that have been idle for that long, from cursor on, and returns where to go on. That
// counts as so many deliveries, 0 or 1.
func (c *Consumer) claimIdle(ctx context.Context, n int, idle time.Duration, cursor string, counts int) ([]*Delivery, string, error) {
	args := []any{c.group, c.name, idle.Milliseconds(), cursor, min(n, scriptIDs), c.maxEntry, replyBytes, counts}
	reply, err := c.runFor(ctx, transferTimeout, reclaimScript, args).Slice()
	if err != nil {
		return nil, "", fmt.Errorf("reclaim: %w", err)
	}
	if len(reply) != 3 {
		return nil, "", fmt.Errorf("reclaim: unexpected reply of %d parts", len(reply))
	}
	next, _ := reply[0].(string)
	list, _ := reply[1].([]any)
	// What this member works on itself is not idle, unless its heartbeat is late: then it must not be worked on twice.
	list = slices.DeleteFunc(list, func(item any) bool {
		triple, _ := item.([]any)
		if len(triple) == 0 {
			return false
		}
		id, _ := triple[0].(string)
		return c.has(id)
	})
	batch, _, err := c.takeOver(list)
	if err != nil {
		return nil, "", err
	}
	c.reportTrimmed(texts(reply[2]))
	return batch, next, nil
}

// reclaimPeriod is short where only this finds the entries of dead members. Where XREADGROUP CLAIM does, which says
// nothing of trimmed entries and leaves them pending, only those are left to find.
func (c *Consumer) reclaimPeriod() time.Duration {
	period := min(max(c.lease/4, 100*time.Millisecond), time.Second)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.claiming {
		period = c.lease
	}
	return period + rand.N(period/2)
}

// unseen returns up to n entries that are pending for this member though it does not work on them: the reply that
// should have brought them was lost with a connection.
func (c *Consumer) unseen(ctx context.Context, n int) ([]*Delivery, error) {
	var ids []string
	for start := "-"; len(ids) < n; {
		pendingCtx, cancel := context.WithTimeout(ctx, commandTimeout)
		page, err := c.client.XPendingExt(pendingCtx, &redis.XPendingExtArgs{
			Stream: c.stream, Group: c.group, Consumer: c.name, Start: start, End: "+", Count: scriptIDs,
		}).Result()
		cancel()
		if err != nil {
			return nil, fmt.Errorf("look for own entries: %w", err)
		}
		for i := range page {
			if !c.has(page[i].ID) && len(ids) < n {
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
	return c.Redeliver(ctx, ids)
}
