package redisstreams

import (
	"context"
	"math/rand/v2"
	"time"
)

// dropConsumerScript removes a member that holds nothing.
//
//	KEYS[1] stream; ARGV[1] group, ARGV[2] consumer, ARGV[3] least idle time in ms
//	returns 1 if it was removed
//
// It is a script because XGROUP DELCONSUMER drops the pending entries of a member for good: nothing may come between
// the check and the removal.
var dropConsumerScript = newScript(`
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local c = {}
  for i = 1, #info, 2 do c[info[i]] = info[i + 1] end
  if c['name'] == ARGV[2] and c['pending'] == 0 and c['idle'] >= tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
    return 1
  end
end
return 0`)

// janitor removes members of the group that are gone and hold nothing. It has no state. Members that were killed stay
// in the list of consumers until another member's janitor removes them.
type janitor struct{ *member }

// tidy removes, from time to time until ctx ends, members that have been silent for ten leases.
func (j janitor) tidy(ctx context.Context) {
	for {
		sleep(ctx, 5*j.lease+rand.N(5*j.lease))
		if ctx.Err() != nil {
			return
		}
		infoCtx, cancel := context.WithTimeout(ctx, commandTimeout)
		members, err := j.client.XInfoConsumers(infoCtx, j.stream, j.group).Result()
		cancel()
		if err != nil {
			continue // the next round will do; the reader logs an outage
		}
		for i := range members {
			if m := &members[i]; m.Name != j.name && m.Pending == 0 && m.Idle > 10*j.lease {
				j.drop(ctx, m.Name, 10*j.lease)
			}
		}
	}
}

// drop removes a member that holds nothing and has been idle for that long.
func (j janitor) drop(ctx context.Context, name string, idle time.Duration) {
	if err := j.runScript(ctx, dropConsumerScript, []any{j.group, name, idle.Milliseconds()}).Err(); err != nil {
		j.log.Debug("cannot remove an idle consumer", "consumer", name, "err", err)
	}
}
