package delivery

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgate/streamgate/gateway/sink"
)

func status(code int) *sink.Outcome { return &sink.Outcome{Code: code} }

// settleN settles n attempts with different events and returns how many counted.
func settleN(c *circuit, n, code int) (counted int) {
	for i := range n {
		if counts, _ := c.settle(string(rune('a'+i%20)), status(code), false); counts {
			counted++
		}
	}
	return counted
}

func TestCircuitOpensAndCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCircuit(10)
		if counted := settleN(c, 4, 503); counted != 4 || c.current() != circuitClosed {
			t.Fatalf("after 4 failures: %d counted, state %d", counted, c.current())
		}
		if counts, changed := c.settle("e", status(sink.NoResponse), false); !counts || !changed || c.current() != circuitOpen {
			t.Fatalf("the fifth: counts %v, changed %v, state %d", counts, changed, c.current())
		}
		if counted := settleN(c, 10, 503); counted != 0 {
			t.Errorf("%d attempts that were under way count", counted)
		}
		n, _, wait := c.admit(16)
		if n != 0 || wait > minCircuitPause {
			t.Fatalf("%d admitted, wait %s", n, wait)
		}
		var pauses []time.Duration
		for range 10 { // probes that fail: the pause grows to its bound
			_, _, wait := c.admit(16)
			time.Sleep(wait)
			n, probe, _ := c.admit(16)
			if again, _, _ := c.admit(16); n != 1 || !probe || again != 0 {
				t.Fatalf("%d admitted, probe %v, and %d beside it", n, probe, again)
			}
			if counts, _ := c.settle("probe", status(503), true); counts {
				t.Error("a failed probe counts")
			}
			pauses = append(pauses, wait)
		}
		if last := pauses[9]; last < maxCircuitPause/2 || last > maxCircuitPause {
			t.Errorf("pauses %v", pauses)
		}
		_, _, wait = c.admit(16)
		time.Sleep(wait)
		if n, probe, _ := c.admit(16); n != 1 || !probe {
			t.Fatal("no probe")
		}
		if counts, changed := c.settle("probe", status(202), true); !counts || !changed || c.current() != circuitClosed {
			t.Error("a success does not close it")
		}
		if n, probe, _ := c.admit(16); n != 16 || probe {
			t.Errorf("closed, and admits %d", n)
		}
	})
}

// TestCircuitTellsAnEventFromAnOutage.
func TestCircuitTellsAnEventFromAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCircuit(10)
		for range 100 {
			if counts, _ := c.settle("poison", status(500), false); !counts || c.current() != circuitClosed {
				t.Fatal("a single event that fails opens the circuit, or is not counted")
			}
		}
		if _, changed := c.settle("another", status(500), false); !changed {
			t.Error("a second event fails like it, and the circuit is closed")
		}
		c = newCircuit(10)
		for range 100 { // two bad events among good ones
			settleN(c, 2, 500)
			if counts, _ := c.settle("good", status(200), false); !counts || c.current() != circuitClosed {
				t.Fatal("open although others are delivered")
			}
		}
		c = newCircuit(10)
		for range 100 {
			settleN(c, 2, 503)
			c.settle("refused", status(http.StatusBadRequest), false) // the sink is there
		}
		if c.current() != circuitClosed {
			t.Error("a refusal counts as an outage")
		}
		c = newCircuit(3)
		if settleN(c, 3, 503); c.current() != circuitOpen {
			t.Error("with retry 3 a single event is used up before the circuit opens")
		}
		c = newCircuit(0)
		if settleN(c, 1, 503); c.current() != circuitOpen {
			t.Error("with retry 0 it never opens")
		}
	})
}

// TestCircuitOpensByRate: a sink that takes one event in five uses up the retries of the others.
func TestCircuitOpensByRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCircuit(10)
		counted := 0
		for range 100 {
			if counted += settleN(c, 4, 503); c.current() != circuitClosed {
				break
			}
			c.settle("good", status(200), false)
		}
		if counted > circuitRecent {
			t.Errorf("%d failures count before it opens", counted)
		}
		c = newCircuit(10)
		for range 100 {
			settleN(c, 4, 500) // they may be the events' own
			if c.settle("good", status(200), false); c.current() != circuitClosed {
				t.Fatal("failures that may be those of the events open it")
			}
		}
	})
}

func TestCircuitWaitsAsLongAsTheSinkAsksFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCircuit(1)
		c.settle("a", &sink.Outcome{Code: 503, RetryAfter: 10 * time.Minute}, false)
		if n, _, wait := c.admit(1); n != 0 || wait != 10*time.Minute {
			t.Errorf("%d admitted, wait %s", n, wait)
		}
		time.Sleep(10 * time.Minute)
		if n, probe, _ := c.admit(1); n != 1 || !probe {
			t.Error("no probe")
		}
		c.release() // there was no event
		if n, probe, _ := c.admit(1); n != 1 || !probe {
			t.Error("no second probe after the first was given back")
		}
	})
}
