package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// snapshotScript tells of one moment of a stream, without the entries that XINFO STREAM sends along.
//
//	KEYS[1] stream, KEYS[2] hash of positions
//	returns nothing where there is no stream, else {length, last generated id, entries ever added or -1,
//	  first id or "", time in ms, number of positions, XINFO GROUPS}
//
// It is a script because the numbers must be those of the same moment: a difference between them means a loss.
var snapshotScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
local list, s, now = redis.call('XINFO', 'STREAM', KEYS[1]), {}, redis.call('TIME')
for i = 1, #list, 2 do s[list[i]] = list[i + 1] end
local first = s['first-entry']
if not s['entries-added'] then -- miniredis
  first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
end
return {
  s['length'], s['last-generated-id'], s['entries-added'] or -1, first and first[1] or '',
  now[1] * 1000 + math.floor(now[2] / 1000), redis.call('HLEN', KEYS[2]),
  redis.call('XINFO', 'GROUPS', KEYS[1])}`)

// snapshot is one moment of a stream.
type snapshot struct {
	length    int64
	last      string // the greatest id that there ever was
	added     int64  // entries that there ever were; -1: the server does not say
	gone      int64  // of these, how many are not there any more
	first     string // the first entry; "": there is none
	millis    int64  // the clock of Redis
	positions int
	groups    map[string]*groupState
	changed   bool // a group disappeared while the others were looked at
}

// groupState is a consumer group in a snapshot.
type groupState struct {
	name    string
	last    string // last delivered
	pending int64
	read    int64  // entries read, as Redis counts; -1: it does not know
	lag     int64  // -1: Redis does not know
	lowest  string // the lowest pending id; "": none
}

// done returns the id up to which the group has acknowledged everything.
func (g *groupState) done() string {
	if g.lowest != "" {
		return redisstreams.PreviousID(g.lowest)
	}
	return g.last
}

// needs returns the lowest id that the group still needs, whether there is such an entry or not.
func (g *groupState) needs() string {
	if g.lowest != "" {
		return g.lowest
	}
	return redisstreams.NextID(g.last)
}

// takeSnapshot runs one script, and then asks for the lowest pending entry of each group that has any. What a group
// acknowledges in between only makes the snapshot older than it is.
func (m *Maintainer) takeSnapshot(ctx context.Context) (*snapshot, error) {
	reply, err := snapshotScript.Run(ctx, m.client, []string{m.stream.Name, state.PositionsKey(m.stream.Name)}).Slice()
	if err != nil {
		return nil, fmt.Errorf("look at stream %q: %w", m.stream.Name, err)
	}
	v := parseSnapshot(reply)
	var pending []*groupState
	for _, g := range v.groups {
		if g.pending > 0 && (m.stream.Retention.trims() || m.ours[g.name]) {
			pending = append(pending, g)
		}
	}
	for chunk := range slices.Chunk(pending, pipelineLength) {
		pipe := m.client.Pipeline()
		summaries := make([]*redis.XPendingCmd, len(chunk))
		for i, g := range chunk {
			summaries[i] = pipe.XPending(ctx, m.stream.Name, g.name)
		}
		_, _ = pipe.Exec(ctx) // each command has its error
		for i, g := range chunk {
			summary, err := summaries[i].Result()
			switch {
			case err == nil:
				g.lowest = summary.Lower
			case redisstreams.IsReply(err, redisstreams.ReplyNoGroup):
				v.changed = true
				delete(v.groups, g.name)
			case !errors.Is(err, redis.Nil):
				return nil, fmt.Errorf("look up what is pending in stream %q: %w", m.stream.Name, err)
			}
		}
	}
	return v, nil
}

// parseSnapshot reads the reply of snapshotScript.
func parseSnapshot(reply []any) *snapshot {
	v := &snapshot{last: "0-0", groups: map[string]*groupState{}}
	if len(reply) < 7 {
		return v
	}
	v.length, v.last, v.added = number(reply[0]), text(reply[1]), number(reply[2])
	v.gone = v.added - v.length
	v.first, v.millis, v.positions = text(reply[3]), number(reply[4]), int(number(reply[5]))
	list, _ := reply[6].([]any)
	for _, item := range list {
		pairs, _ := item.([]any)
		g := &groupState{read: -1, lag: -1, last: "0-0"}
		for i := 0; i+1 < len(pairs); i += 2 {
			value := pairs[i+1]
			switch text(pairs[i]) {
			case "name":
				g.name = text(value)
			case "last-delivered-id":
				g.last = text(value)
			case "pending":
				g.pending = number(value)
			case "entries-read":
				g.read = number(value)
			case "lag":
				g.lag = number(value)
			}
		}
		v.groups[g.name] = g
	}
	return v
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

// number returns -1 for what is none.
func number(value any) int64 {
	n, ok := value.(int64)
	if !ok {
		return -1
	}
	return n
}
