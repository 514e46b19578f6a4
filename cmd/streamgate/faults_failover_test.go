package main

import (
	"strings"
	"testing"
	"time"

	"github.com/streamgate/streamgate/internal/redistest"
)

// TestFaultFailover kills the master with kill -9, lets the sentinels promote its replica, and starts the old one
// again.
func TestFaultFailover(t *testing.T) {
	needFaults(t)
	t.Parallel()
	for name, stream := range map[string]string{"replicated": ", durability: replicated, replicas: 1", "memory": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.StartSentinel(t)
			r := newRig(t, rigConfig{
				redis:  "redis+sentinel://" + strings.Join(s.Addrs(), ",") + "/" + s.MasterName(),
				client: clientFor(t, s.Options()), stream: stream,
			})
			stop := r.produce(200)
			var kills []time.Time
			for range 2 {
				r.during(5 * time.Second)
				former := s.Master()
				kills = append(kills, time.Now())
				former.Kill()
				s.AwaitMaster(t, former)
				former.Restart()
				redistest.Eventually(t, "the old master is a replica", func() bool {
					info, err := former.Client().Info(t.Context(), "replication").Result()
					return err == nil && strings.Contains(info, "master_link_status:up")
				})
			}
			r.during(5 * time.Second)
			stop()
			allow := allowance{duplicates: len(kills) * inWork}
			if stream == "" {
				allow.lost, allow.disorder = withinLastSecond(kills), true
			}
			r.check("kill -9 of the master, Sentinel failover, twice, durability "+name, "200/s", allow)
		})
	}
}

// TestFaultSlotMoves moves the slot of the stream from master to master of a Cluster, under load.
func TestFaultSlotMoves(t *testing.T) {
	needFaults(t)
	t.Parallel()
	const moves = 12
	c := redistest.StartCluster(t, 3)
	r := newRig(t, rigConfig{redis: "redis+cluster://" + strings.Join(c.Addrs(), ","),
		client: clientFor(t, c.Options())})
	stop := r.produce(200)
	nodes := c.Nodes()
	for i := range moves {
		r.during(time.Second)
		to := nodes[i%len(nodes)]
		if c.Owner("STREAM") == to {
			continue
		}
		m := c.BeginMove("STREAM", to)
		if m == nil {
			t.FailNow()
		}
		r.during(200 * time.Millisecond) // both masters serve the slot for a while
		m.MoveKeys()
		r.during(200 * time.Millisecond)
		m.Finish()
	}
	r.during(2 * time.Second)
	stop()
	r.check("the slot moves in a Cluster, about 12 times", "200/s", allowance{duplicates: inWork})
}
