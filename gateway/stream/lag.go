package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Bounds of what is counted where Redis does not know.
const (
	countStep   = 1000   // entries that one script counts
	countBound  = 10_000 // entries of one group; where there are more the lag is "at least"
	countBudget = 100    // scripts of one pass

	deletedPeriod = 10 * time.Second // in which replicas notice the same deletion of a stream
)

// behindScript counts the entries behind an id, without sending them.
//
//	KEYS[1] stream; ARGV[1] id, ARGV[2] how many to count at most
//	returns {number, id of the first, id of the last}
//
// It is a script because Redis has no command that leaves out the fields. It takes them in small steps, so that large
// entries need no large memory.
var behindScript = redis.NewScript(`
local n, from, first = 0, ARGV[1], ''
while n < tonumber(ARGV[2]) do
  local page = redis.call('XRANGE', KEYS[1], '(' .. from, '+', 'COUNT', math.min(20, tonumber(ARGV[2]) - n))
  if #page == 0 then break end
  if n == 0 then first = page[1][1] end
  n, from = n + #page, page[#page][1]
end
return {n, first, from}`)

// unseenScript notes how many entries a group has never seen and will not see, and returns how many that are more than
// any replica has noted.
//
//	KEYS[1] hash; ARGV[1] subscription, ARGV[2] number, ARGV[3] time of the snapshot in ms
//
// It is a script so that of several replicas that see a loss one reports it. The time keeps a replica that is late from
// taking a number back.
var unseenScript = redis.NewScript(`
local old = redis.call('HGET', KEYS[1], ARGV[1])
local number, time = 0, 0
if old then number, time = string.match(old, '^(-?%d+) (%d+)$') end
if tonumber(time) > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
return math.max(0, tonumber(ARGV[2]) - tonumber(number))`)

// tally is what the last pass has found out about a subscription.
type tally struct {
	view   *snapshot // its counters only; gone is what is gone after the keeper's own work
	last   string
	behind int64 // entries not delivered yet
	exact  bool  // behind was counted or follows from ids
	next   string

	trusted bool // when it was counted last, Redis had the right lag

	read        int64 // what the group had read, as Redis said last
	unseen      int64 // entries that the group has never seen and will not see, as noted for all replicas
	unseenKnown bool
}

// measure sets the figures of the subscriptions.
func (m *Maintainer) measure(ctx context.Context, v *snapshot) error {
	m.budget = countBudget
	m.last = &snapshot{added: v.added, gone: v.gone}
	for _, s := range m.readers {
		if err := m.noteDeleted(ctx, v, s); err != nil {
			return err
		}
		g := v.groups[state.GroupName(s.Name)]
		if g == nil {
			continue // it comes back, and then the figures do
		}
		t := m.tallies[s.Name]
		if t == nil {
			t = &tally{}
			m.tallies[s.Name] = t
		}
		if err := m.count(ctx, v, g, t); err != nil {
			return err
		}
		if err := m.noteUnseen(ctx, v, s, g, t); err != nil {
			return err
		}
		oldest, err := m.oldest(ctx, v, g, t)
		if err != nil {
			return err
		}
		t.view, t.last = m.last, g.last
		m.metrics.lag.WithLabelValues(s.Name).Set(float64(t.behind))
		m.metrics.pending.WithLabelValues(s.Name).Set(float64(max(g.pending, 0)))
		m.metrics.oldest.WithLabelValues(s.Name).Set(v.age(oldest))
	}
	return nil
}

// count finds out how many entries the group has before it. What XINFO calls lag is not enough: it is nil for a group
// that was made or set somewhere in the middle, or behind which an entry was deleted, and too large after a trim (Redis
// 7.0 for good, Valkey until the next read) and after a failover (Redis 7.0, for good).
func (m *Maintainer) count(ctx context.Context, v *snapshot, g *groupState, t *tally) error {
	same := t.exact && t.view != nil && t.last == g.last && t.view.gone == v.gone && v.added >= t.view.added && v.added >= 0
	if g.read < t.read || t.view != nil && t.view.gone != v.gone && redisstreams.CompareIDs(v.first, t.last) > 0 {
		t.trusted = false // the number is another server's, or another program has trimmed past where the group was
	}
	exact := true
	switch {
	case v.length == 0 || redisstreams.CompareIDs(g.last, v.last) >= 0:
		t.behind = 0
	case redisstreams.CompareIDs(g.last, v.first) < 0:
		t.behind = v.length
	case same:
		t.behind += v.added - t.view.added
	case g.lag >= 0 && t.trusted:
		t.behind, exact = g.lag, false
	default:
		bound := countBound
		if g.lag > countBound {
			bound = countStep // few, where Redis is wrong; if not, counting them all would say no more
		}
		n, whole, err := m.countBehind(ctx, g, t, int64(bound))
		if err != nil {
			return err
		}
		if exact = whole; !exact {
			n = max(n, min(g.lag, v.length))
		}
		t.behind = n
	}
	if exact || g.lag < 0 {
		t.trusted = g.lag == t.behind
	}
	t.exact = exact
	return nil
}

// countBehind counts the entries behind the group, up to a bound.
func (m *Maintainer) countBehind(ctx context.Context, g *groupState, t *tally, bound int64) (n int64, whole bool, err error) {
	for from := g.last; n < bound && m.budget > 0; {
		found, first, last, err := m.behind(ctx, from, countStep)
		if err != nil {
			return 0, false, err
		}
		if n == 0 {
			t.next = first
		}
		n += found
		if from = last; found < countStep {
			return n, true, nil
		}
	}
	return n, false, nil
}

func (m *Maintainer) behind(ctx context.Context, id string, limit int) (n int64, first, last string, err error) {
	m.budget--
	reply, err := behindScript.Run(ctx, m.client, []string{m.stream.Name}, id, limit).Slice()
	if err != nil || len(reply) != 3 {
		return 0, "", "", fmt.Errorf("count entries of stream %q: %w", m.stream.Name, errors.Join(err, ctx.Err()))
	}
	return number(reply[0]), text(reply[1]), text(reply[2]), nil
}

// noteUnseen finds out whether another program has removed entries before they were delivered. Of the entries that
// there ever were, those that the group has read and those that it has before it must be all; what is missing it will
// not see.
//
// That needs the right number of those read. Redis 7.0 does not tell its replicas (redis/redis#12898): after a failover
// the number is that of the time when the replica copied everything, and goes on from there. Where it has gone back, or
// more are missing than were ever removed, the difference is taken as it is, and only what is added to it counts.
func (m *Maintainer) noteUnseen(ctx context.Context, v *snapshot, s Reader, g *groupState, t *tally) error {
	unseen := v.added - g.read - t.behind
	wrong := g.read < t.read || unseen > v.gone
	if g.read >= 0 {
		t.read = g.read
	}
	if s.Forget || !t.exact || g.read < 0 || v.added < 0 || unseen < 0 || t.unseenKnown && t.unseen == unseen || !t.unseenKnown && unseen == 0 {
		return nil
	}
	lost, err := unseenScript.Run(ctx, m.client, []string{state.UnseenKey(m.stream.Name)}, s.Name, unseen, v.millis).Int64()
	if err != nil {
		return fmt.Errorf("note what was removed from stream %q: %w", m.stream.Name, err)
	}
	t.unseen, t.unseenKnown = unseen, true
	if lost > 0 && !wrong {
		m.metrics.Trimmed.WithLabelValues(s.Name).Add(float64(lost))
		m.log.Error("entries were removed from the stream before they were delivered",
			"subscription", s.Name, "entries", lost, "after", g.last, "before", v.first)
	}
	return nil
}

// noteDeleted finds out whether the stream has begun again since the last pass: then what was not delivered is lost.
func (m *Maintainer) noteDeleted(ctx context.Context, v *snapshot, s Reader) error {
	t := m.tallies[s.Name]
	if t == nil || t.view == nil || v.added < 0 || v.added >= t.view.added {
		return nil
	}
	if t.behind > 0 && !s.Forget {
		first, err := m.client.SetNX(ctx, state.DeletedKey(m.stream.Name, s.Name), 1, deletedPeriod).Result() // one replica reports it
		if err != nil {
			return fmt.Errorf("note that stream %q was deleted: %w", m.stream.Name, err)
		}
		if first {
			m.metrics.Trimmed.WithLabelValues(s.Name).Add(float64(t.behind))
			m.log.Error("the stream was deleted before its entries were delivered", "subscription", s.Name, "entries", t.behind, "after", t.last)
		}
	}
	delete(m.tallies, s.Name)
	return nil
}

// oldest returns the id of the oldest entry that the group has not acknowledged, or "".
func (m *Maintainer) oldest(ctx context.Context, v *snapshot, g *groupState, t *tally) (string, error) {
	switch {
	case g.lowest != "":
		return g.lowest, nil
	case t.behind == 0:
		return "", nil
	case redisstreams.CompareIDs(g.last, v.first) < 0:
		return v.first, nil
	case redisstreams.CompareIDs(t.next, g.last) > 0 && (t.view == nil || t.last == g.last):
		return t.next, nil
	case m.budget <= 0:
		return redisstreams.NextID(g.last), nil // it is not younger
	}
	_, first, _, err := m.behind(ctx, g.last, 1)
	t.next = first
	return first, err
}

// age returns how old an entry is, in seconds by the clock of Redis.
func (v *snapshot) age(id string) float64 {
	text, _, _ := strings.Cut(id, "-")
	millis, err := strconv.ParseInt(text, 10, 64)
	if err != nil || millis > v.millis {
		return 0
	}
	return float64(v.millis-millis) / 1000
}
