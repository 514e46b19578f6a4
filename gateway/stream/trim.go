package stream

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Bounds of removing entries.
const (
	trimStep  = 10_000 // entries that one script removes
	trimCalls = 10     // scripts of one pass
	heldFor   = 2      // passes until a group that holds retention back is named: what is in work at the moment does not count
	maxID     = "18446744073709551615-18446744073709551615"
)

// trimScript removes the oldest entries of a stream, as many as its limits and its groups let go.
//
//	KEYS[1] stream; ARGV[1] the lowest id that a group needs, ARGV[2] the lower of that and the least id that is young
//	  enough, "" without a bound on age, ARGV[3] how many entries to keep, 0 for all, ARGV[4] how many to remove at most,
//	  ARGV[5] how many groups were asked, ARGV[6] the lowest id that some group has not read, "" where the server has no
//	  ACKED or a group forgets, ARGV[7] the lower of that and the least id that is young enough, or ""
//	returns {removed, or -1 if there are other groups now; length, first id or "", entries ever added or -1, length before}
//
// It is a script so that a group that was made in the meantime is not passed over. Redis removes whole nodes, which
// costs next to nothing; only what is too much within the first node is looked at, a hundred entries at most. With
// ACKED (Redis
// 8.2) it also removes what lies behind an entry that is still needed, in nodes of which nothing is.
var trimScript = redis.NewScript(`
local list, s = redis.call('XINFO', 'STREAM', KEYS[1]), {}
for i = 1, #list, 2 do s[list[i]] = list[i + 1] end
local function state(removed)
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  return {removed, redis.call('XLEN', KEYS[1]), first and first[1] or '', s['entries-added'] or -1, s['length']}
end
if (s['groups'] or #redis.call('XINFO', 'GROUPS', KEYS[1])) ~= tonumber(ARGV[5]) then return state(-1) end
local function trim(bound, n)
  if n <= 0 then return 0 end
  local removed, rest = 0, n
  if s['entries-added'] then -- not miniredis, which does not know LIMIT
    removed = redis.call('XTRIM', KEYS[1], 'MINID', '~', bound, 'LIMIT', n)
    rest = math.min(n - removed, 100)
  end
  local page = rest > 0 and redis.call('XRANGE', KEYS[1], '-', '(' .. bound, 'COUNT', rest + 1) or {}
  if #page > rest then bound = page[rest + 1][1] end
  if #page > 0 then removed = removed + redis.call('XTRIM', KEYS[1], 'MINID', '=', bound) end
  return removed
end
local left, keep = tonumber(ARGV[4]), tonumber(ARGV[3])
if keep > 0 then left = left - trim(ARGV[1], math.min(left, s['length'] - keep)) end
if ARGV[2] ~= '' then left = left - trim(ARGV[2], left) end
local function between(bound, n)
  if bound == '' or n <= 0 then return 0 end
  return redis.call('XTRIM', KEYS[1], 'MINID', '~', bound, 'LIMIT', n, 'ACKED')
end
if keep > 0 then left = left - between(ARGV[6], math.min(left, redis.call('XLEN', KEYS[1]) - keep)) end
left = left - between(ARGV[7], left)
return state(tonumber(ARGV[4]) - left)`)

// limits are what a pass may remove.
type limits struct {
	needed string // the lowest id that a group needs
	by     string // that group; "": there is none
	young  string // the least id that is young enough; "": no bound on age
	unread string // the lowest id that some group has not read; "": what is acknowledged cannot be told apart
}

// over returns how many entries there are too many; 1 where it is their age.
func (l *limits) over(v *snapshot, keep int64) int64 {
	if excess := v.length - keep; keep > 0 && excess > 0 {
		return excess
	}
	if l.young != "" && v.first != "" && redisstreams.CompareIDs(v.first, l.young) < 0 {
		return 1
	}
	return 0
}

// trim removes what the limits of the stream and its groups let go. A group of the configuration that does not exist at
// the moment needs everything.
func (m *Maintainer) trim(ctx context.Context, v *snapshot) error {
	r := &m.stream.Retention
	if !r.trims() || v.changed {
		return nil
	}
	l := m.limits(v)
	if err := m.addUnread(ctx, v, &l); err != nil {
		return err
	}
	for range trimCalls {
		if l.over(v, r.MaxLength) == 0 || l.unread == "" && redisstreams.CompareIDs(v.first, l.needed) >= 0 {
			break
		}
		removed, err := m.remove(ctx, v, &l)
		if err != nil {
			return err
		}
		if removed <= 0 {
			break
		}
	}
	held := int64(0)
	if redisstreams.CompareIDs(v.first, l.needed) >= 0 {
		held = l.over(v, r.MaxLength)
	}
	m.holding.note(m, l.by, held)
	return nil
}

// limits finds the group that needs the lowest id, foreign ones included: who reads the stream with a group of its own
// loses nothing either.
func (m *Maintainer) limits(v *snapshot) limits {
	l := limits{needed: maxID}
	forgetting := map[string]bool{}
	for _, s := range m.readers {
		name := state.GroupName(s.Name)
		forgetting[name] = s.Forget
		if v.groups[name] == nil && !s.Forget {
			l.needed, l.by = "0-0", name
		}
	}
	for _, g := range v.groups {
		if needs := g.needs(); !forgetting[g.name] && redisstreams.CompareIDs(needs, l.needed) < 0 {
			l.needed, l.by = needs, g.name
		}
	}
	if age := m.stream.Retention.MaxAge.Std().Milliseconds(); age > 0 && v.millis > age {
		l.young = strconv.FormatInt(v.millis-age, 10) + "-0"
	}
	return l
}

// addUnread finds out how far ACKED can remove entries, where the server has it and every group counts.
func (m *Maintainer) addUnread(ctx context.Context, v *snapshot, l *limits) error {
	if len(v.groups) == 0 || l.over(v, m.stream.Retention.MaxLength) == 0 {
		return nil
	}
	for _, s := range m.readers {
		if s.Forget || v.groups[state.GroupName(s.Name)] == nil {
			return nil
		}
	}
	if !m.probed {
		features, err := redisstreams.Probe(ctx, m.client, m.stream.Name)
		if err != nil {
			return err
		}
		m.probed, m.trimsAcknowledged = true, features.TrimAcknowledged
	}
	if m.trimsAcknowledged {
		l.unread = maxID
		for _, g := range v.groups {
			l.unread = redisstreams.MinID(l.unread, redisstreams.NextID(g.last))
		}
	}
	return nil
}

// remove runs trimScript once, and brings the view up to date.
func (m *Maintainer) remove(ctx context.Context, v *snapshot, l *limits) (int64, error) {
	young, youngUnread := l.young, l.young
	if young != "" {
		young = redisstreams.MinID(young, l.needed)
		if youngUnread = ""; l.unread != "" {
			youngUnread = redisstreams.MinID(l.young, l.unread)
		}
	}
	reply, err := trimScript.Run(ctx, m.client, []string{m.stream.Name},
		l.needed, young, m.stream.Retention.MaxLength, trimStep, len(v.groups), l.unread, youngUnread).Slice()
	if err != nil || len(reply) != 5 {
		return 0, fmt.Errorf("remove entries from stream %q: %w", m.stream.Name, err)
	}
	removed := number(reply[0])
	v.length, v.first, v.added = number(reply[1]), text(reply[2]), number(reply[3])
	if removed > 0 {
		m.last.gone += removed // that was not a loss
		m.countForgotten(v, v.added-number(reply[4]))
	}
	return removed, nil
}

// countForgotten counts what was removed before the subscriptions that forget have read it; what they have read and not
// acknowledged their consumers find out. gone is how many entries had been removed before.
func (m *Maintainer) countForgotten(v *snapshot, gone int64) {
	for _, s := range m.readers {
		t := m.tallies[s.Name]
		if !s.Forget || t == nil || t.view == nil || v.added < 0 {
			continue
		}
		read := t.view.added - t.behind // entries that there ever were up to where it is
		if n := v.added - v.length - max(read, gone); n > 0 {
			m.metrics.Forgotten.WithLabelValues(s.Name).Add(float64(n))
		}
	}
}

// holding is the group that holds retention back.
type holding struct {
	group  string // named in the metric; "": none
	passes int
}

// note names the group that holds entries back in the metric and the log, when it begins and when it ends.
func (h *holding) note(m *Maintainer, group string, entries int64) {
	if entries == 0 {
		h.passes, group = 0, ""
	} else if h.passes = min(h.passes+1, math.MaxInt32); h.passes < heldFor {
		return
	}
	if h.group != "" && h.group != group {
		m.metrics.retained.DeleteLabelValues(m.stream.Name, h.group)
		m.log.Info("a consumer group no longer holds retention back", "group", h.group)
	}
	if group != "" && h.group != group {
		m.log.Warn("a consumer group holds retention back: entries stay until it acknowledges them; let it catch up, destroy it if it is not needed, or set forget: true on its subscription",
			"group", group, "entries", entries)
	}
	h.group = group
	if group != "" {
		m.metrics.retained.WithLabelValues(m.stream.Name, group).Set(float64(entries))
	}
}
