package redisstreams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// heartbeatScript renews the lease of entries that this member still owns, or ends it.
//
//	KEYS[1] stream; ARGV[1] group, ARGV[2] consumer, ARGV[3] idle time to set in ms, ARGV[4...] ids
//	returns {ids that are pending for another consumer, ids of trimmed entries, ids that are not pending}
//
// It is a script because a bare XCLAIM would take an entry back from the member that has taken it over in the meantime.
// XCLAIM drops a trimmed entry from the pending list, after which no other member could report it.
var heartbeatScript = newScript(`
local lost, trimmed, unlisted = {}, {}, {}
for i = 4, #ARGV do
  local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  if #p == 1 and p[1][2] == ARGV[2] then
    local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', ARGV[3], 'JUSTID')
    if #claimed == 0 then trimmed[#trimmed + 1] = ARGV[i] end
  elseif #p == 1 then
    lost[#lost + 1] = ARGV[i]
  else
    unlisted[#unlisted + 1] = ARGV[i]
  end
end
return {lost, trimmed, unlisted}`)

// heartbeat renews the leases of the entries in work in Redis, three times a lease. It has no state of its own. When it
// stops, by a kill -9 or because the host is frozen, the idle times grow and the leases expire.
type heartbeat struct {
	*member
	leases  *leases
	acks    *acknowledger
	creator *groupCreator
}

// beat renews the leases until ctx ends.
func (h *heartbeat) beat(ctx context.Context) {
	ticker := time.NewTicker(h.lease / 3)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := h.setIdle(ctx, 0)
		if IsReply(err, ReplyNoGroup) { // a member that is not reading right now would not notice otherwise
			err = h.creator.recreate(ctx)
		}
		if err != nil && !failing && ctx.Err() == nil && !errors.Is(err, ErrGroupLost) { // the reader logs a lost group
			h.log.Warn("cannot renew the lease of entries in work, trying again", "err", err)
		}
		failing = err != nil
	}
}

// setIdle sets the idle time of every entry in work: 0 renews the lease, more shortens it.
func (h *heartbeat) setIdle(ctx context.Context, idle time.Duration) error {
	began := time.Now()
	for ids := range slices.Chunk(h.leases.ids(nil), scriptIDs) {
		args := appendStrings([]any{h.group, h.name, idle.Milliseconds()}, ids)
		reply, err := h.runScript(ctx, heartbeatScript, args).Slice()
		if err != nil {
			return fmt.Errorf("renew leases: %w", err)
		}
		if len(reply) != 3 {
			return fmt.Errorf("renew leases: unexpected reply of %d parts", len(reply))
		}
		h.leases.remove(stringsOf(reply[0])...)
		h.leases.noteUnlisted(ids, stringsOf(reply[2]))
		h.reportTrimmed(h.unfinished(stringsOf(reply[1])))
	}
	if idle == 0 {
		h.leases.noteRenewal(began)
	}
	return nil
}

// unfinished removes the ids of entries that are only waiting for their XACK: nothing is lost when those are trimmed.
// The handlers of the others may still succeed, but no other member can take those entries over.
func (h *heartbeat) unfinished(ids []string) []string {
	if len(ids) == 0 {
		return nil
	}
	finished := h.acks.waiting()
	return slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(finished, id) })
}
