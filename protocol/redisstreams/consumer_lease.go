package redisstreams

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// heartbeatScript renews the lease of entries that this member still owns, or ends it.
//
//	KEYS[1] stream; ARGV[1] group, ARGV[2] consumer, ARGV[3] idle time to set in ms, ARGV[4...] ids
//	returns {ids that are pending for another consumer, ids of trimmed entries, ids that are pending for nobody}
//
// It is a script because a bare XCLAIM would take an entry back from the member that has taken it over in the meantime.
// XCLAIM drops an entry that was trimmed from the pending list, so that nobody else could report it.
var heartbeatScript = newScript(`
local lost, trimmed, astray = {}, {}, {}
for i = 4, #ARGV do
  local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  if #p == 1 and p[1][2] == ARGV[2] then
    local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', ARGV[3], 'JUSTID')
    if #claimed == 0 then trimmed[#trimmed + 1] = ARGV[i] end
  elseif #p == 1 then
    lost[#lost + 1] = ARGV[i]
  else
    astray[#astray + 1] = ARGV[i]
  end
end
return {lost, trimmed, astray}`)

// restoreScript makes entries pending for this consumer that are pending for nobody.
//
//	KEYS[1] stream; ARGV[1] group, ARGV[2] consumer, ARGV[3...] ids
//
// It is a script because between a look and XCLAIM FORCE another member might take the entry.
var restoreScript = newScript(`
for i = 3, #ARGV do
  if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1) == 0 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'FORCE', 'JUSTID')
  end
end
return 0`)

// dropConsumerScript removes a member that holds nothing.
//
//	KEYS[1] stream; ARGV[1] group, ARGV[2] consumer, ARGV[3] least idle time in ms
//	returns 1 if it was removed
//
// It is a script because XGROUP DELCONSUMER drops the pending entries of a member for good: nothing may come between
// the look and the removal.
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

// lease is what is known of an entry in work.
type lease struct {
	since  time.Time // when it was handed out; it may have been renewed since
	astray bool      // at the last heartbeat it was pending for nobody
}

// Run keeps the entries in work leased, sends acknowledgements, and removes members that are gone and hold nothing. It
// blocks until ctx ends; then it sends what is left to acknowledge, gives up what is still in work so that others get it
// at once, and returns nil with all its goroutines gone, within a few seconds also when Redis is away.
func (c *Consumer) Run(ctx context.Context) error {
	if c.hub != nil {
		c.hub.join(c)
		defer c.hub.part(c)
	}
	var group sync.WaitGroup
	group.Go(func() { c.sendAcks(ctx) })
	group.Go(func() { c.tidy(ctx) })
	c.beat(ctx)
	group.Wait()
	c.leave()
	return nil
}

func (c *Consumer) beat(ctx context.Context) {
	ticker := time.NewTicker(c.lease / 3)
	defer ticker.Stop()
	down := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := c.setIdle(ctx, 0)
		if hasPrefix(err, "NOGROUP") { // nobody may be reading at the moment who would notice
			err = c.remake(ctx)
		}
		if err != nil && !down && ctx.Err() == nil && !errors.Is(err, ErrGroupLost) { // those who read say that
			c.log.Warn("cannot renew the lease of entries in work, trying again", "err", err)
		}
		down = err != nil
	}
}

// setIdle sets the idle time of every entry in work: 0 renews the lease, more shortens it.
func (c *Consumer) setIdle(ctx context.Context, idle time.Duration) error {
	begun := time.Now()
	c.mu.Lock()
	ids := make([]any, 0, len(c.held))
	for id := range c.held {
		ids = append(ids, id)
	}
	c.mu.Unlock()
	for chunk := range slices.Chunk(ids, scriptIDs) {
		args := append([]any{c.group, c.name, idle.Milliseconds()}, chunk...)
		reply, err := c.run(ctx, heartbeatScript, args).Slice()
		if err != nil {
			return fmt.Errorf("renew leases: %w", err)
		}
		if len(reply) != 3 {
			return fmt.Errorf("renew leases: unexpected reply of %d parts", len(reply))
		}
		c.noteHeartbeat(texts(reply[0]), texts(reply[1]))
		c.noteAstray(chunk, texts(reply[2]))
	}
	if idle == 0 {
		c.mu.Lock()
		c.renewed = begun
		c.mu.Unlock()
	}
	return nil
}

// noteHeartbeat takes note of entries that others have taken over, and of those that were trimmed. Their handler may still
// succeed, but nobody will get them after it.
func (c *Consumer) noteHeartbeat(lost, trimmed []string) {
	c.mu.Lock()
	for _, id := range lost {
		delete(c.held, id)
	}
	trimmed = slices.DeleteFunc(trimmed, func(id string) bool { return slices.Contains(c.acks, id) }) // done, and nothing is lost
	c.mu.Unlock()
	c.reportTrimmed(trimmed)
}

// noteAstray takes note of which of the entries are pending for nobody. Either another member has taken them over and
// finished them, or the group has been made again and nobody has read or restored them yet: they stay in work, so that
// they are not worked on twice when they are read, but this member does not claim to have them.
func (c *Consumer) noteAstray(ids []any, astray []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		id, _ := id.(string)
		if l, ok := c.held[id]; ok {
			l.astray = slices.Contains(astray, id)
			c.held[id] = l
		}
	}
}

// texts returns the strings of a list in a reply.
func texts(reply any) []string {
	list, _ := reply.([]any)
	var all []string
	for _, item := range list {
		if s, ok := item.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// remake makes a lost group again, unless somebody has done so, with what this member has in work.
func (c *Consumer) remake(ctx context.Context) error {
	if err := c.Ensure(ctx); err != nil {
		return err
	}
	return c.restore(ctx)
}

// restore makes the entries in work pending again after the group was lost and made anew: its new pending list is empty.
// Entries that other members had in work are theirs to restore; those of a member that died with the group are lost.
func (c *Consumer) restore(ctx context.Context) error {
	c.mu.Lock()
	ids := make([]any, 0, len(c.held))
	for id := range c.held {
		if !slices.Contains(c.acks, id) {
			ids = append(ids, id)
		}
	}
	c.mu.Unlock()
	for chunk := range slices.Chunk(ids, scriptIDs) {
		if err := c.run(ctx, restoreScript, append([]any{c.group, c.name}, chunk...)).Err(); err != nil {
			return fmt.Errorf("restore entries in work: %w", err)
		}
		c.noteAstray(chunk, nil)
	}
	return nil
}

func (c *Consumer) run(ctx context.Context, script *script, args []any) *redis.Cmd {
	return c.runFor(ctx, commandTimeout, script, args)
}

func (c *Consumer) runFor(ctx context.Context, timeout time.Duration, script *script, args []any) *redis.Cmd {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return script.run(ctx, c.client, []string{c.stream}, args)
}

// Held reports whether the entry is still leased to this member. It is not when the member was silent for longer than
// the lease: then another one may have taken the entry over.
func (c *Consumer) Held(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok := c.held[id]
	if c.renewed.After(l.since) {
		l.since = c.renewed
	}
	return ok && !l.astray && time.Since(l.since) < c.lease
}

// has reports whether the entry is in work here.
func (c *Consumer) has(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.held[id]
	return ok
}

func (c *Consumer) release(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, id)
}

func (c *Consumer) reportTrimmed(ids []string) {
	if len(ids) == 0 {
		return
	}
	c.log.Error("entries were removed from the stream before they were acknowledged", "entries", len(ids), "first", ids[0])
	c.hooks.trimmed(ids)
}

// tidy removes members of the group that have been silent for ten leases and hold nothing.
func (c *Consumer) tidy(ctx context.Context) {
	for {
		wait(ctx, 5*c.lease+rand.N(5*c.lease))
		if ctx.Err() != nil {
			return
		}
		infoCtx, cancel := context.WithTimeout(ctx, commandTimeout)
		members, err := c.client.XInfoConsumers(infoCtx, c.stream, c.group).Result()
		cancel()
		if err != nil {
			continue // the next round will do; an outage is reported by those who lose by it
		}
		for i := range members {
			if m := &members[i]; m.Name != c.name && m.Pending == 0 && m.Idle > 10*c.lease {
				c.drop(ctx, m.Name, 10*c.lease)
			}
		}
	}
}

func (c *Consumer) drop(ctx context.Context, name string, idle time.Duration) {
	if err := c.run(ctx, dropConsumerScript, []any{c.group, name, idle.Milliseconds()}).Err(); err != nil {
		c.log.Debug("cannot remove an idle consumer", "consumer", name, "err", err)
	}
}

// leave gives up what is still in work, so that others get it at once, and removes this member if it holds nothing.
func (c *Consumer) leave() {
	c.awaitAttempt()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	if err := c.setIdle(ctx, 2*c.lease); err != nil {
		c.log.Warn("cannot hand over entries in work; others get them when the lease is over", "err", err)
		return
	}
	c.drop(ctx, c.name, 0)
}
