package main

import (
	"math/rand/v2"
	"time"

	"github.com/streamgate/streamgate/internal/redistest"
)

// breakConnections does something to the connections every 100 to 300 ms, as the seed says, and returns how often.
func breakConnections(r *rig, proxy *redistest.Proxy, seed uint64, d time.Duration) int {
	random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // what happens is to be repeatable
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
