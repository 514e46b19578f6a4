package redisstreams

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrGroupLost is for the function of [WithLostGroup]: the group has existed, and must not be created again.
var ErrGroupLost = errors.New("the consumer group has disappeared")

// restoreScript makes entries pending for this consumer that are not pending.
//
//	KEYS[1] stream; ARGV[1] group, ARGV[2] consumer, ARGV[3...] ids
//
// It is a script because between the check and XCLAIM FORCE another member might take the entry.
var restoreScript = newScript(`
for i = 3, #ARGV do
  if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1) == 0 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'FORCE', 'JUSTID')
  end
end
return 0`)

// groupCreator creates the consumer group, and creates it again after it was lost (FLUSHALL, a failover, XGROUP
// DESTROY), together with what this member had in work. It has no state: the position is with the leases.
//
// A kill -9 loses the position, and with it the knowledge where a group that is lost afterwards goes on;
// [WithLostGroup] is for programs that keep positions elsewhere. A kill between the creation of the group and the
// restoring of the entries in work loses those entries of this member to the new group.
type groupCreator struct {
	*member
	start  string                                                     // where a new group begins
	onLost func(ctx context.Context, position string) (string, error) // nil: a lost group goes on at the position
	hub    *Hub                                                       // nil: it asks Redis about the group by itself
	leases *leases
	acks   *acknowledger
}

// origin is where a group begins.
type origin struct {
	exists bool   // the group exists
	lost   bool   // it has existed before
	start  string // the position to create it at
	begin  string // the same as an entry id
}

// ensure creates the group, and the stream, if they do not exist.
func (g *groupCreator) ensure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	position := g.leases.position()
	o, err := g.findOrigin(ctx, position)
	if err != nil {
		return fmt.Errorf("find out where group %q on stream %q begins: %w", g.group, g.stream, err)
	}
	if !o.exists {
		err = g.client.XGroupCreateMkStream(ctx, g.stream, g.group, o.start).Err()
	}
	switch {
	case o.exists:
	case err == nil && o.lost:
		g.reportRecreated(o.start)
	case IsReply(err, ReplyBusyGroup),
		IsReply(err, ReplyOOM) && g.listed(ctx): // refused even if there is nothing to create; reading needs no memory
		if position == "" {
			if o.begin, err = g.lastDelivered(ctx); err != nil {
				return err
			}
		}
	case err != nil:
		return fmt.Errorf("create group %q on stream %q: %w", g.group, g.stream, err)
	}
	g.leases.setPosition(o.begin)
	return nil
}

// recreate creates a lost group again, unless another member has done so, with what this member has in work.
func (g *groupCreator) recreate(ctx context.Context) error {
	if err := g.ensure(ctx); err != nil {
		return err
	}
	return g.restore(ctx)
}

// restore makes the entries in work pending again after the group was created again: its new pending list is empty.
// Other members restore the entries that they have in work; those of a member that died with the group are lost.
//
// The queue of acknowledgements is read before the leases, and the acknowledger ends leases before it shortens the
// queue: so an entry that was acknowledged before this call is never restored.
func (g *groupCreator) restore(ctx context.Context) error {
	finished := g.acks.waiting()
	for ids := range slices.Chunk(g.leases.ids(finished), scriptIDs) {
		if err := g.runScript(ctx, restoreScript, appendStrings([]any{g.group, g.name}, ids)).Err(); err != nil {
			return fmt.Errorf("restore entries in work: %w", err)
		}
		g.leases.noteUnlisted(ids, nil)
	}
	return nil
}

// findOrigin determines where to create the group if it must be created. position is how far this member has read.
func (g *groupCreator) findOrigin(ctx context.Context, position string) (o origin, err error) {
	if g.onLost != nil {
		if o.exists, err = g.exists(ctx); err != nil {
			return o, err
		}
		if o.exists && position == "" {
			o.begin, err = g.lastDelivered(ctx)
			return o, err
		}
		if !o.exists {
			if position, err = g.onLost(ctx, position); err != nil {
				return o, err
			}
		}
	}
	o.start, o.begin, o.lost = g.start, g.start, position != ""
	switch {
	case position != "" && position != "$": // it existed, and was read up to there: the group was lost
		o.start, err = g.resumeAt(ctx, position)
		o.begin = o.start
	case position == "$" || g.start == "$":
		// Asked before the group is created, so that the position does not pass entries that the group has not read.
		o.start = "$"
		o.begin, err = lastIDScript.run(ctx, g.client, []string{g.stream}, nil).Text()
	}
	return o, err
}

// exists asks about this group alone: listing all groups of the stream, for each of them, would take too long.
func (g *groupCreator) exists(ctx context.Context) (bool, error) {
	err := g.client.XPending(ctx, g.stream, g.group).Err()
	if IsReply(err, ReplyNoGroup) {
		return false, nil
	}
	return err == nil, err
}

// listed reports whether the group exists, on a server that is out of memory.
func (g *groupCreator) listed(ctx context.Context) bool {
	groups, err := readGroups(ctx, g.client, g.stream)
	_, found := groups[g.group]
	return err == nil && found
}

// lastDelivered returns the position of the group in Redis.
func (g *groupCreator) lastDelivered(ctx context.Context) (string, error) {
	if g.hub != nil { // one request for all members
		groups, err := g.hub.groupsSince(ctx, hubGroupPeriod)
		if info, found := groups[g.group]; err != nil || found {
			return info.lastDelivered, err
		}
	}
	groups, err := readGroups(ctx, g.client, g.stream)
	return groups[g.group].lastDelivered, err
}

// resumeAt returns where a lost group begins again: at the position, or at the beginning if the stream was lost too and
// began again with lower ids (FLUSHALL, a failover to a server whose clock is behind): all of its entries may be new.
func (g *groupCreator) resumeAt(ctx context.Context, position string) (string, error) {
	info, err := g.client.XInfoStream(ctx, g.stream).Result()
	switch {
	case IsReply(err, ReplyNoKey):
		return "0-0", nil
	case err != nil:
		return "", fmt.Errorf("look up stream %q: %w", g.stream, err)
	case CompareIDs(info.LastGeneratedID, position) < 0:
		return "0-0", nil
	default:
		return position, nil
	}
}
