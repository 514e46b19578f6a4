package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/streamgate/streamgate/internal/redistest"
)

// TestFaultKillNine kills one of two gateways with kill -9 at random instants under load, and starts it again: every
// event that was answered with 202 reaches the sinks. Without STREAMGATE_FAULTS it runs with fewer kills.
func TestFaultKillNine(t *testing.T) {
	t.Parallel()
	const rate = 300
	kills := 4
	if allFaults() {
		kills = 50
	}
	server := redistest.Start(t)
	r := newRig(t, rigConfig{redis: server.URL(), client: server.Client()})
	r.sink.setSlow("", 5*time.Millisecond)
	stop := r.produce(rate)
	for range kills {
		before := r.ledger.count()
		more := 20 + rand.IntN(200)
		redistest.Eventually(t, "more events are accepted", func() bool { return r.ledger.count() > before+more })
		i := rand.IntN(len(r.replicas))
		r.replica(i).kill()
		r.launch(i)
	}
	stop()
	// A kill repeats deliveries in progress, and as many whose acknowledgement was not sent yet.
	r.check(fmt.Sprintf("kill -9 of a gateway, %d times", kills), fmt.Sprintf("%d/s", rate),
		allowance{duplicates: kills * 2 * faultConcurrency})
}
