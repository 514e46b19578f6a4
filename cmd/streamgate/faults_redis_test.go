package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/streamgate/streamgate/internal/redistest"
)

// inWork is how many deliveries of both replicas may be unacknowledged when Redis, or the connection to it, is lost:
// those of the workers, and as many that wait for their XACK.
const inWork = 2 * 2 * faultConcurrency

// TestFaultRedisStops freezes Redis for half a minute with SIGSTOP. Without STREAMGATE_FAULTS it is two seconds.
func TestFaultRedisStops(t *testing.T) {
	t.Parallel()
	load, stopped := time.Second, 2*time.Second
	if allFaults() {
		load, stopped = 5*time.Second, 30*time.Second
	}
	server := redistest.Start(t)
	r := newRig(t, rigConfig{redis: server.URL(), client: server.Client()})
	stop := r.produce(200)
	r.during(load)
	server.Pause()
	r.during(stopped)
	server.Resume()
	r.during(load)
	stop()
	r.check(fmt.Sprintf("SIGSTOP of Redis for %s", stopped), "200/s", allowance{duplicates: inWork})
}

// TestFaultRedisKilled kills Redis with kill -9 and starts it again after a second, three times.
func TestFaultRedisKilled(t *testing.T) {
	needFaults(t)
	t.Parallel()
	for name, c := range map[string]struct {
		options    []redistest.Option
		durability string
		lost       func(kills []time.Time) func(v *verdict) error
	}{
		"fsync always":   {options: []redistest.Option{redistest.WithAOF("always")}, durability: ", durability: fsync"},
		"fsync everysec": {options: []redistest.Option{redistest.WithAOF("everysec")}, lost: withinLastSecond},
		"no file":        {lost: before},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, c.options...)
			r := newRig(t, rigConfig{redis: server.URL(), client: server.Client(), stream: c.durability})
			r.sink.setSlow("", 100*time.Millisecond) // this builds a backlog, which Redis must not lose
			stop := r.produce(200)
			var kills []time.Time
			for range 3 {
				r.during(5 * time.Second)
				kills = append(kills, time.Now())
				server.Kill()
				r.during(time.Second)
				server.Restart()
			}
			r.sink.setSlow("", 0)
			r.during(5 * time.Second)
			stop()
			allow := allowance{duplicates: 3 * inWork, disorder: c.lost != nil}
			if c.lost != nil {
				allow.lost = c.lost(kills)
			}
			if len(c.options) == 0 {
				allow.duplicates += r.ledger.reposts // the stream is gone, so duplicates in it cannot be counted
			}
			r.check("kill -9 of Redis, 3 times, "+name+c.durability, "200/s", allow)
		})
	}
}

// withinLastSecond tolerates the loss of events that were accepted within the second before a kill.
func withinLastSecond(kills []time.Time) func(v *verdict) error {
	return func(v *verdict) error {
		for _, at := range v.lostAt {
			ok := false
			for _, kill := range kills {
				ok = ok || !at.After(kill.Add(time.Second)) && at.After(kill.Add(-time.Second))
			}
			if !ok {
				return fmt.Errorf("lost an event that was accepted at %s; Redis was killed at %s", at, kills)
			}
		}
		return nil
	}
}

// before tolerates the loss of events that were accepted before the last kill, as long as it is reported.
func before(kills []time.Time) func(v *verdict) error {
	return func(v *verdict) error {
		for _, at := range v.lostAt {
			if at.After(kills[len(kills)-1].Add(time.Second)) {
				return fmt.Errorf("lost an event that was accepted at %s; Redis was killed at %s", at, kills)
			}
		}
		if v.lost > 0 && v.reported == 0 {
			return fmt.Errorf("%d lost, none reported", v.lost)
		}
		return nil
	}
}

// TestFaultFlushAll empties Redis under load, with a sink that cannot keep up: undelivered events are lost and
// reported, and later events are delivered.
func TestFaultFlushAll(t *testing.T) {
	needFaults(t)
	t.Parallel()
	server := redistest.Start(t)
	r := newRig(t, rigConfig{redis: server.URL(), client: server.Client()})
	r.sink.setSlow("", 100*time.Millisecond)
	stop := r.produce(300)
	r.during(8 * time.Second)
	if err := server.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	flushed := time.Now()
	r.sink.setSlow("", 0)
	r.during(8 * time.Second)
	stop()
	r.check("FLUSHALL", "300/s, backlog", allowance{duplicates: inWork + r.ledger.reposts, disorder: true,
		lost: func(v *verdict) error {
			if v.lost == 0 || v.reported == 0 {
				return fmt.Errorf("%d lost, %d reported; the sink could not keep up, so there was a backlog", v.lost,
					v.reported)
			}
			for _, at := range v.lostAt {
				if at.After(flushed.Add(time.Second)) {
					return fmt.Errorf("lost an event that was accepted %s after FLUSHALL", at.Sub(flushed))
				}
			}
			// The report comes from the last scan of the stream, up to 2.5 s old: it misses events that were added
			// since, and includes those that were delivered since.
			if off := v.lost - v.reported; max(off, -off) > 300*5/2+inWork {
				return fmt.Errorf("%d lost, %d reported", v.lost, v.reported)
			}
			return nil
		}})
}

// TestFaultRedisFull fills a Redis that does not evict keys: producers get 503 until it has memory again.
func TestFaultRedisFull(t *testing.T) {
	needFaults(t)
	t.Parallel()
	server := redistest.Start(t, redistest.WithArgs("--maxmemory", "8mb", "--maxmemory-policy", "noeviction"))
	r := newRig(t, rigConfig{redis: server.URL(), client: server.Client()})
	stop := r.produce(400)
	redistest.Eventually(t, "producers get 503", func() bool { return r.ledger.answered(503) > 500 })
	r.during(5 * time.Second)
	full := r.ledger.count()
	if err := server.Client().ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, "producers get 202 again", func() bool { return r.ledger.count() > full+1000 })
	stop()
	r.notes = append(r.notes, fmt.Sprintf("503: %d", r.ledger.answered(503)))
	r.check("Redis out of memory (maxmemory, noeviction)", "400/s", allowance{duplicates: inWork})
}
