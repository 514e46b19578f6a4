package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// allowance is what a scenario permits.
type allowance struct {
	duplicates int                    // for each subscription, beside events that are stored twice
	lost       func(v *verdict) error // what may be lost; nil: nothing
	disorder   bool                   // the stream was lost, and its order with it
}

// verdict is what became of the accepted events in one subscription.
type verdict struct {
	subscription                                string
	accepted, delivered, dead, lost, reported   int
	duplicates, storedTwice, bound, notAccepted int
	lostAt                                      []time.Time // when they were accepted
}

// settle waits until every group has delivered and acknowledged all that there is, and nothing comes any more.
func (r *rig) settle() {
	r.t.Helper()
	const quiet = 3 * time.Second
	seen, since := -1, time.Now()
	for range 3 { // an outage that piles up may take longer than one wait
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
	r.t.Errorf("it does not become quiet: %+v, %v", groups, err)
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
	// Not by lag: Redis 7.0 has a wrong one after a failover.
	return !slices.ContainsFunc(groups, func(g redis.XInfoGroup) bool {
		return g.Pending > 0 || redisstreams.CompareIDs(g.LastDeliveredID, last[0].ID) < 0
	})
}

// check settles, compares the books of producers and sink, and reports a row for each subscription.
func (r *rig) check(fault, load string, allow allowance) {
	r.t.Helper()
	r.settle()
	entries, err := r.client.XRange(context.Background(), "STREAM", "-", "+").Result()
	if err != nil {
		r.t.Errorf("read the stream: %v", err)
	}
	twice, firsts := storedTwice(entries)
	for _, name := range r.names {
		v := r.judge(name)
		v.storedTwice, v.bound = twice, allow.duplicates+twice
		r.complain(&v, allow)
		if name == ordered && !allow.disorder {
			r.checkOrder(firsts)
		}
		r.t.Logf("ROW | %s | %s, %s | %d | %d | %d | %d (%d + %d) | %d, reported %d |%s", fault, load, name,
			v.accepted, v.delivered, v.dead, v.duplicates, allow.duplicates, twice, v.lost, v.reported, strings.Join(r.notes, " "))
	}
	r.ledger.mu.Lock()
	r.t.Logf("offered %d, posted again %d, answers %v", r.ledger.offered, r.ledger.reposts, r.ledger.answers)
	r.ledger.mu.Unlock()
	r.end()
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
				r.t.Errorf("%s: event %s has arrived with other bytes", name, id)
			}
		case dead[id]:
			v.dead++
		default:
			v.lost++
			v.lostAt = append(v.lostAt, a.at)
		}
	}
	for id := range b.taken {
		if _, ok := r.ledger.accepted[id]; !ok {
			v.notAccepted++
		}
	}
	return v
}

func (r *rig) complain(v *verdict, allow allowance) {
	r.t.Helper()
	if v.duplicates > v.bound {
		r.t.Errorf("%s: %d duplicates, more than %d", v.subscription, v.duplicates, v.bound)
	}
	if v.dead > 0 {
		r.t.Errorf("%s: %d dead letters", v.subscription, v.dead)
	}
	if v.accepted == 0 {
		r.t.Errorf("%s: nothing was accepted", v.subscription)
	}
	if allow.lost != nil {
		if err := allow.lost(v); err != nil {
			r.t.Errorf("%s: %v", v.subscription, err)
		}
		return
	}
	if v.lost > 0 || v.reported > 0 {
		r.t.Errorf("%s: %d accepted events are lost, %d reported", v.subscription, v.lost, v.reported)
	}
}

// checkOrder compares, for each key, the order of first deliveries with that of the stream.
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
		r.t.Errorf("key %s: delivered in another order than stored, from the %d. event: %v, stored %v", key, at,
			got[key][at:min(at+8, len(got[key]))], want[at:min(at+8, len(want))])
	}
}

// storedTwice returns how many entries repeat an event, because a producer did not hear that it was stored; and the ids
// of each key in the order in which they were stored first.
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

// quantile returns what the given part of the durations does not exceed.
func quantile(d []time.Duration, part float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[min(int(float64(len(sorted))*part), len(sorted)-1)]
}
