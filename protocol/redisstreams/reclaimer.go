package redisstreams

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// reclaimScript takes over entries whose member has been silent, with their delivery counts.
//
//	KEYS[1] stream; ARGV[1] group, ARGV[2] consumer, ARGV[3] idle time in ms, ARGV[4] cursor, ARGV[5] count,
//	ARGV[6] largest entry in bytes, ARGV[7] bytes after which to stop, ARGV[8] '0' to leave the delivery counts as they are
//	returns {next cursor, list of {id, delivery count, entry or its size}, ids of trimmed entries}
//
// It is a script because XAUTOCLAIM does not return the counts, which must be those of the same moment. It claims one
// entry at a time, so that it never claims one that does not fit into the reply; a call of XAUTOCLAIM examines ten.
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

// firstID begins a pass through a pending list, and is the cursor that XAUTOCLAIM returns at its end.
const firstID = "0-0"

// reclaimer takes over the entries of members that have been silent for longer than the lease, and finds those that
// were trimmed. It passes through the pending list page by page; where the server supports XREADGROUP CLAIM, the
// reader's command takes entries over the moment that their lease ends, and the passes only find trimmed ones.
//
// Its state belongs to the reader's current attempt, or between attempts to the caller of Poll: no lock. claimIdle and
// takeAll do not use the state and are safe for concurrent use. After a kill -9 the entries taken over are pending for
// this member, and the next one takes them over when their lease ends.
type reclaimer struct {
	*member
	intake *intake

	nextPass   time.Time // when to begin the next pass
	cursor     string    // where the pass goes on; firstID: none is under way
	claimAfter time.Time // when XREADGROUP may take over entries
	noClaim    bool      // the server has refused XREADGROUP CLAIM

	ownAttempts bool // see WithOwnAttempts; does not change
}

// due reports whether to go on with a pass, or to begin one.
func (r *reclaimer) due() bool { return time.Now().After(r.nextPass) }

// midway reports whether a pass is under way.
func (r *reclaimer) midway() bool { return r.cursor != firstID }

// postpone is called when Redis has been away or silent: living members renew their leases before anyone takes over.
func (r *reclaimer) postpone() {
	r.nextPass = time.Now().Add(r.lease)
	r.claimAfter = r.nextPass
}

// appendClaim appends the option CLAIM to the arguments of XREADGROUP, if it is time to take entries over.
func (r *reclaimer) appendClaim(args []any) []any {
	if r.noClaim || r.ownAttempts || !time.Now().After(r.claimAfter) {
		return args
	}
	return append(args, "claim", r.lease.Milliseconds())
}

// refuseClaim notes that the server does not support CLAIM, and reports whether that is news. The next pass is due.
func (r *reclaimer) refuseClaim() bool {
	if r.noClaim {
		return false
	}
	r.noClaim, r.nextPass = true, time.Now()
	return true
}

// step takes over up to n entries: one page of a pass.
func (r *reclaimer) step(ctx context.Context, n int) ([]*Delivery, error) {
	counts := 1
	if r.ownAttempts {
		counts = 0
	}
	batch, cursor, err := r.claimIdle(ctx, n, r.lease, r.cursor, counts)
	if err != nil {
		return nil, err
	}
	if r.cursor = cursor; !r.midway() {
		r.nextPass = time.Now().Add(r.period())
	}
	r.reportReclaimed(len(batch))
	return batch, nil
}

// period is short where only the passes find the entries of dead members. XREADGROUP CLAIM does not report trimmed
// entries and leaves them pending, so that a slow pass is still needed for those.
func (r *reclaimer) period() time.Duration {
	period := r.lease
	if r.noClaim || r.ownAttempts {
		period = min(max(r.lease/4, 100*time.Millisecond), time.Second)
	}
	return period + rand.N(period/2)
}

// takeAll hands out everything that is pending in the group; see [Consumer.TakeAll].
func (r *reclaimer) takeAll(ctx context.Context, f func([]*Delivery)) error {
	for cursor := firstID; ; {
		batch, next, err := r.claimIdle(ctx, scriptIDs, 0, cursor, 0)
		if err != nil {
			return err
		}
		f(batch)
		if cursor = next; cursor == firstID {
			return nil
		}
	}
}

// claimIdle takes over up to n entries that have been idle for that long, from cursor on, and returns where to go on.
// That counts as so many deliveries, 0 or 1.
func (r *reclaimer) claimIdle(
	ctx context.Context, n int, idle time.Duration, cursor string, counts int,
) (batch []*Delivery, next string, err error) {
	args := []any{
		r.group, r.name, idle.Milliseconds(), cursor, min(n, scriptIDs), r.intake.maxEntry, replyBytes, counts,
	}
	reply, err := r.runScriptFor(ctx, transferTimeout, reclaimScript, args).Slice()
	if err != nil {
		return nil, "", fmt.Errorf("reclaim: %w", err)
	}
	if len(reply) != 3 {
		return nil, "", fmt.Errorf("reclaim: unexpected reply of %d parts", len(reply))
	}
	next, _ = reply[0].(string)
	list, _ := reply[1].([]any)
	// Entries in work here are idle only if the heartbeat is late. They must not be handed out a second time.
	list = slices.DeleteFunc(list, func(item any) bool {
		id, _, _, ok := claimedItem(item)
		return ok && r.intake.leases.has(id)
	})
	if batch, err = r.intake.claimed(list); err != nil {
		return nil, "", err
	}
	r.reportTrimmed(stringsOf(reply[2]))
	return batch, next, nil
}
