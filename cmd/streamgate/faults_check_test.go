package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// allowance is what a scenario tolerates.
type allowance struct {
	duplicates int                    // per subscription, in addition to events that are stored twice
	lost       func(v *verdict) error // checks which events were lost; nil means that none may be
	disorder   bool                   // the order of keys is not checked
}

// verdict counts what happened to the accepted events in one subscription.
type verdict struct {
	subscription                               string
	accepted, delivered, dead, lost, reported  int
	duplicates, storedTwice, bound, otherBytes int
	lostAt                                     []time.Time // when they were accepted
}

// settle waits until every group has acknowledged all entries and no more deliveries arrive.
func (r *rig) settle() {
	r.t.Helper()
	const quiet = 3 * time.Second
	seen, since := -1, time.Now()
	for range 3 { // the backlog of an outage may take longer than one wait
		done := false
		deadline := time.Now().Add(50 * time.Second)
		redistest.Eventually(r.t, "quiet", func() bool {
			if n := r.sink.total(); n != seen {
				seen, since = n, time.Now()
			}
			done = time.Since(since) > quiet && r.acknowledged()
			return done || time.Now().After(deadline)
		})
		if done {
			return
		}
	}
	groups, err := r.client.XInfoGroups(context.Background(), "STREAM").Result()
	r.t.Errorf("deliveries do not end: %+v, %v", groups, err)
}

func (r *rig) acknowledged() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	groups, err := r.client.XInfoGroups(ctx, "STREAM").Result()
	if err != nil || len(groups) < len(r.names) {
		return false
	}
	last, err := r.client.XRevRangeN(ctx, "STREAM", "+", "-", 1).Result()
	if err != nil || len(last) == 0 {
		return false
	}
	// The lag of XINFO GROUPS is not used: Redis 7.0 reports a wrong one after a failover.
	return !slices.ContainsFunc(groups, func(g redis.XInfoGroup) bool {
		return g.Pending > 0 || redisstreams.CompareIDs(g.LastDeliveredID, last[0].ID) < 0
	})
}

// check settles, compares the records of the producers with those of the sink, and logs a line of figures.
func (r *rig) check(fault, load string, allow allowance) {
	r.t.Helper()
	r.settle()
	entries, err := r.client.XRange(context.Background(), "STREAM", "-", "+").Result()
	if err != nil {
		r.t.Errorf("read the stream: %v", err)
	}
	twice, firsts := storedTwice(entries)
	verdicts := make([]verdict, len(r.names))
	for i, name := range r.names {
		v := r.judge(name)
		v.storedTwice, v.bound = twice, allow.duplicates+twice
		for _, complaint := range v.complaints(allow) {
			r.t.Errorf("%s: %s", name, complaint)
		}
		if name == ordered && !allow.disorder {
			r.checkOrder(firsts)
		}
		verdicts[i] = v
	}
	r.report(fault, load, verdicts)
	r.end()
}

// report logs the line of docs/reliability.md.
func (r *rig) report(fault, load string, verdicts []verdict) {
	r.t.Helper()
	column := func(number func(v verdict) int) string {
		var b strings.Builder
		for i, v := range verdicts {
			if i > 0 {
				b.WriteByte('/')
			}
			fmt.Fprint(&b, number(v))
		}
		return b.String()
	}
	r.sink.mu.Lock()
	delivering := longestPause(r.sink.bookOf(plain).at)
	r.sink.mu.Unlock()
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	if n := r.ledger.offered - len(r.ledger.accepted); n > 0 {
		r.t.Errorf("%d events were never accepted", n)
	}
	var accepting []time.Time
	for _, a := range r.ledger.accepted {
		accepting = append(accepting, a.at)
	}
	r.t.Logf("FIGURES %s; %s, subscriptions %s: accepted %d, refused or unanswered and sent again %d %v, stored twice "+
		"%d, lost %s, reported %s, dead letters %s, "+
		"duplicates %s (allowed %d), longest pause of 202 %s, of deliveries %s %s", fault, load,
		strings.Join(r.names, "/"),
		len(r.ledger.accepted), r.ledger.reposts, r.ledger.answers, verdicts[0].storedTwice,
		column(func(v verdict) int { return v.lost }),
		column(func(v verdict) int { return v.reported }), column(func(v verdict) int { return v.dead }),
		column(func(v verdict) int { return v.duplicates }), verdicts[0].bound,
		longestPause(accepting).Round(time.Millisecond),
		delivering.Round(time.Millisecond), strings.Join(r.notes, " "))
}

// longestPause returns the longest time between two consecutive times.
func longestPause(times []time.Time) (pause time.Duration) {
	slices.SortFunc(times, time.Time.Compare)
	for i := 1; i < len(times); i++ {
		pause = max(pause, times[i].Sub(times[i-1]))
	}
	return pause
}

func (r *rig) judge(name string) verdict {
	r.t.Helper()
	dead := r.deadLetters(name)
	v := verdict{subscription: name, reported: r.reported(name)}
	r.sink.mu.Lock()
	defer r.sink.mu.Unlock()
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	b := r.sink.bookOf(name)
	v.accepted, v.duplicates = len(r.ledger.accepted), b.times-len(b.taken)
	for id, a := range r.ledger.accepted {
		got := b.taken[id]
		switch {
		case got != nil:
			v.delivered++
			if !got.sums[a.sum] || len(got.sums) != 1 {
				v.otherBytes++
			}
		case dead[id]:
			v.dead++
		default:
			v.lost++
			v.lostAt = append(v.lostAt, a.at)
		}
	}
	return v
}

// complaints lists what the scenario does not tolerate.
func (v *verdict) complaints(allow allowance) (all []string) {
	complain := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if v.duplicates > v.bound {
		complain("%d duplicates, more than %d", v.duplicates, v.bound)
	}
	if v.dead > 0 {
		complain("%d dead letters", v.dead)
	}
	if v.accepted == 0 {
		complain("nothing was accepted")
	}
	if v.otherBytes > 0 {
		complain("%d events arrived with different bytes", v.otherBytes)
	}
	if allow.lost == nil && (v.lost > 0 || v.reported > 0) {
		complain("%d accepted events are lost, %d reported", v.lost, v.reported)
	}
	if allow.lost != nil {
		if err := allow.lost(v); err != nil {
			complain("%v", err)
		}
	}
	return all
}

// checkOrder compares, for each key, the order of first deliveries with the order in the stream.
func (r *rig) checkOrder(stream map[string][]string) {
	r.t.Helper()
	r.sink.mu.Lock()
	defer r.sink.mu.Unlock()
	got := map[string][]string{}
	keys := map[string]string{}
	for key, ids := range stream {
		for _, id := range ids {
			keys[id] = key
		}
	}
	for _, id := range r.sink.bookOf(ordered).first {
		if key, ok := keys[id]; ok {
			got[key] = append(got[key], id)
		}
	}
	for key, want := range stream {
		if slices.Equal(got[key], want) {
			continue
		}
		at := 0
		for at < min(len(want), len(got[key])) && want[at] == got[key][at] {
			at++
		}
		r.t.Errorf("key %s: the order of deliveries differs from that of the stream at event %d: %v, stored %v", key,
			at,
			got[key][at:min(at+8, len(got[key]))], want[at:min(at+8, len(want))])
	}
}

// storedTwice returns how many entries repeat an event, because its producer got no answer and sent it again, and the
// ids of each key in the order in which they were first stored.
func storedTwice(entries []redis.XMessage) (twice int, firsts map[string][]string) {
	seen := map[string]bool{}
	firsts = map[string][]string{}
	for _, e := range entries {
		id, key := fmt.Sprint(e.Values["ce_id"]), fmt.Sprint(e.Values["ce_partitionkey"])
		if seen[id] {
			twice++
			continue
		}
		seen[id] = true
		firsts[key] = append(firsts[key], id)
	}
	return twice, firsts
}

func (r *rig) deadLetters(subscription string) map[string]bool {
	r.t.Helper()
	entries, err := r.client.XRange(context.Background(), "streamgate:{STREAM}:deadletters", "-", "+").Result()
	if err != nil {
		r.t.Errorf("read the dead letters: %v", err)
	}
	found := map[string]bool{}
	for _, e := range entries {
		if strings.HasSuffix(fmt.Sprint(e.Values["ce_knativeerrordest"]), "/"+subscription) {
			found[fmt.Sprint(e.Values["ce_id"])] = true
		}
	}
	return found
}

// quantile returns the duration that the given part of d does not exceed.
func quantile(d []time.Duration, part float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[min(int(float64(len(sorted))*part), len(sorted)-1)]
}

// TestFaultVerdicts: the checker notices a loss, a false report of a loss, a dead letter, changed bytes and too many
// duplicates.
func TestFaultVerdicts(t *testing.T) {
	t.Parallel()
	kill := time.Now()
	good := verdict{accepted: 10, delivered: 10, duplicates: 2, bound: 2}
	for name, c := range map[string]struct {
		change func(v *verdict)
		lost   func(v *verdict) error
		want   int
	}{
		"good":       {func(*verdict) {}, nil, 0},
		"lost":       {func(v *verdict) { v.lost = 1 }, nil, 1},
		"reported":   {func(v *verdict) { v.reported = 1 }, nil, 1},
		"dead":       {func(v *verdict) { v.dead = 1 }, nil, 1},
		"nothing":    {func(v *verdict) { v.accepted = 0 }, nil, 1},
		"bytes":      {func(v *verdict) { v.otherBytes = 1 }, nil, 1},
		"duplicates": {func(v *verdict) { v.duplicates = 3 }, nil, 1},
		"at the kill": {func(v *verdict) { v.lostAt = []time.Time{kill.Add(-time.Second / 2)} },
			withinLastSecond([]time.Time{kill}), 0},
		"long before it": {func(v *verdict) { v.lostAt = []time.Time{kill.Add(-2 * time.Second)} },
			withinLastSecond([]time.Time{kill}), 1},
		"after it": {func(v *verdict) { v.lostAt = []time.Time{kill.Add(2 * time.Second)} },
			before([]time.Time{kill}), 1},
	} {
		v := good
		c.change(&v)
		if got := v.complaints(allowance{lost: c.lost}); len(got) != c.want {
			t.Errorf("%s: %q, want %d complaints", name, got, c.want)
		}
	}
}
