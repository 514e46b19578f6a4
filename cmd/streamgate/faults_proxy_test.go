package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/streamgate/streamgate/internal/redistest"
)

// TestFaultProxy breaks the connections between the gateways and Redis for 20 s, in every way that the proxy offers.
func TestFaultProxy(t *testing.T) {
	needFaults(t)
	t.Parallel()
	const seed = 20261123
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server.Addr())
	r := newRig(t, rigConfig{redis: "redis://" + proxy.Addr(), client: server.Client()})
	stop := r.produce(200)
	faults := breakConnections(r, proxy, seed, 20*time.Second)
	r.during(3 * time.Second)
	stop()
	r.notes = append(r.notes, fmt.Sprintf("%d faults, seed %d", faults, seed))
	r.check("proxy drops and cuts replies, drops commands, closes, delays", "200/s", allowance{duplicates: 2 * inWork})
}

// TestFaultBlackHole stops all traffic between the gateways and Redis for 5 s, three times. Commands that were sent
// meanwhile arrive afterwards, including those whose caller has given up.
func TestFaultBlackHole(t *testing.T) {
	needFaults(t)
	t.Parallel()
	const holes = 3
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server.Addr())
	r := newRig(t, rigConfig{redis: "redis://" + proxy.Addr(), client: server.Client()})
	stop := r.produce(200)
	for range holes {
		r.during(3 * time.Second)
		proxy.Blackhole(true)
		r.during(5 * time.Second)
		proxy.Blackhole(false)
	}
	r.during(3 * time.Second)
	stop()
	// Commands arrive after their leases have expired, so the order is not guaranteed (docs/delivery.md).
	r.check("black hole between the gateways and Redis, 3 times 5 s", "200/s",
		allowance{duplicates: holes * inWork, disorder: true})
}

// breakConnections causes a fault every 100 to 300 ms, as the seed determines, and returns their number.
func breakConnections(r *rig, proxy *redistest.Proxy, seed uint64, d time.Duration) int {
	random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // the faults must be reproducible
	n := 0
	for end := time.Now().Add(d); time.Now().Before(end); n++ {
		switch random.IntN(6) {
		case 0:
			proxy.DropReplies(1 + random.IntN(3))
		case 1:
			proxy.DropReplies(1, "XADD", "EVALSHA", "XACK", "XREADGROUP")
		case 2:
			proxy.CutMidReply(1 + random.IntN(40))
		case 3:
			proxy.CloseAll()
		case 4:
			proxy.DropCommands(1 + random.IntN(3))
		case 5:
			proxy.Latency(time.Duration(random.IntN(300)) * time.Millisecond)
			r.during(500 * time.Millisecond)
			proxy.Latency(0)
		}
		r.during(time.Duration(100+random.IntN(200)) * time.Millisecond)
	}
	return n
}
