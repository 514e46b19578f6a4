package delivery

import (
	"math/bits"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/streamgate/streamgate/gateway/sink"
	"github.com/streamgate/streamgate/gateway/state"
)

// Bounds of a circuit.
const (
	circuitFailures = 5  // failed attempts in a row that open it; fewer where retry is less
	circuitRecent   = 64 // attempts by which the failure rate is measured
	circuitRate     = 48 // failures of the sink among them that open it
	minCircuitPause = time.Second
	maxCircuitPause = 30 * time.Second
)

// circuitState is what a circuit lets through.
type circuitState int

const (
	circuitClosed   circuitState = iota // everything
	circuitHalfOpen                     // one attempt, as a probe
	circuitOpen                         // nothing
)

// circuit tells an outage of a sink from the failure of an event. While it is not closed, reading pauses and failed
// attempts are not counted against their events, so that an outage of any length uses up no retries.
//
// What opens it is a row of failures without a success between them. That the sink cannot be reached or says that it is
// unavailable (no response, 429, 502, 503, 504) is its own failure, whichever event meets it. Any other failure (500,
// say) may be the event's: a row of them opens the circuit only if more than one event is in it, because a single event
// that always fails must become a dead letter in the end. A sink that still takes some opens it, too, when three
// quarters of the last attempts were its own failures.
//
// A circuit that is open lets a probe through after a pause that doubles from 1 s to 30 s, or as long as the sink asks
// for.
type circuit struct {
	threshold int

	mu sync.Mutex
	circuitRow
	asked    time.Time // until when the sink has asked every sender to wait; a success does not shorten that
	recent   uint64    // which of the last attempts were failures of the sink's own, a bit each
	measured int       // how many attempts recent tells of, up to circuitRecent
}

// circuitRow is what has happened since the last success.
type circuitRow struct {
	state    circuitState
	probing  bool // the one attempt of circuitHalfOpen is under way
	down     int  // failures in a row of the sink's own
	failures int  // failures in a row
	first    string
	several  bool // more than one event is in the row
	pause    time.Duration
	until    time.Time
	openedBy string // how the attempt failed that opened it
	outage   bool   // it was opened by failures of the sink's own
}

func newCircuit(retry int) *circuit { return &circuit{threshold: max(1, min(circuitFailures, retry))} }

// admit says how many attempts may begin, at most n, or else how long to wait before asking again. A probe must be
// answered with settle, or given back with release.
func (c *circuit) admit(n int) (admitted int, probe bool, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := time.Until(c.asked); left > 0 {
		return 0, false, left
	}
	if c.state == circuitClosed {
		return n, false, 0
	}
	if c.state == circuitOpen {
		if left := time.Until(c.until); left > 0 {
			return 0, false, left
		}
		c.state = circuitHalfOpen
	}
	if c.probing {
		return 0, false, minCircuitPause / 4
	}
	c.probing = true
	return 1, true, 0
}

// release gives a probe back that was not made: there was no event for it.
func (c *circuit) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probing = false
}

// settle notes how an attempt with an event ended. It reports whether a failure counts against the event, and whether
// the circuit has opened or closed by it.
func (c *circuit) settle(event string, o *sink.Outcome, probe bool) (counts, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if probe {
		c.probing = false
	}
	if o.Verdict() != sink.Retryable { // also a refusal shows that the sink is there
		if changed = c.state != circuitClosed; changed {
			c.recent, c.measured = 0, 0
		}
		c.measure(false)
		c.circuitRow = circuitRow{}
		return true, changed
	}
	c.note(event, o)
	switch {
	case c.state == circuitClosed && (c.down >= c.threshold || c.failures >= c.threshold && c.several || c.failsMostly()):
		c.open(o.RetryAfter)
		c.openedBy = o.Describe()
		return true, true
	case c.state == circuitClosed:
		return true, false
	case probe:
		c.open(o.RetryAfter)
	}
	return !o.SinkIsDown() && !c.several, false
}

// ask holds back every attempt for d, because the sink has asked for that. It reports whether that is news.
func (c *circuit) ask(d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := time.Until(c.asked) <= 0
	if until := time.Now().Add(d); until.After(c.asked) {
		c.asked = until
	}
	return news
}

// askedFor returns how long the sink has asked to wait from now on, 0 or less if not.
func (c *circuit) askedFor() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Until(c.asked)
}

// snapshot returns what a replica that starts should know: an outage of the sink. A row of failures that may be those
// of the events opens the circuit, too, but does not make a restarted replica begin with an open one.
func (c *circuit) snapshot() state.Pause {
	c.mu.Lock()
	defer c.mu.Unlock()
	return state.Pause{
		Open: c.state != circuitClosed && c.outage, Left: max(time.Until(c.until), 0), Reason: c.openedBy,
	}
}

// restore opens a closed circuit as a snapshot says. It reports whether the circuit was closed.
func (c *circuit) restore(from state.Pause) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != circuitClosed {
		return false
	}
	c.state, c.until, c.pause = circuitOpen, time.Now().Add(from.Left), minCircuitPause
	c.outage, c.openedBy = true, from.Reason
	return true
}

// measure notes an attempt for the failure rate.
func (c *circuit) measure(down bool) {
	c.recent <<= 1
	if down {
		c.recent |= 1
	}
	c.measured = min(c.measured+1, circuitRecent)
}

func (c *circuit) failsMostly() bool {
	return c.measured == circuitRecent && bits.OnesCount64(c.recent) >= circuitRate
}

func (c *circuit) note(event string, o *sink.Outcome) {
	c.failures++
	c.measure(o.SinkIsDown())
	if o.SinkIsDown() {
		c.down++
	} else {
		c.down = 0
	}
	if c.first == "" {
		c.first = event
	}
	c.several = c.several || c.first != event
}

// open opens the circuit after a failure for a pause, of which the upper half is random.
func (c *circuit) open(retryAfter time.Duration) {
	c.outage = c.outage || c.down > 0
	c.pause = min(max(2*c.pause, minCircuitPause), maxCircuitPause)
	c.state, c.until = circuitOpen, time.Now().Add(max(c.pause/2+rand.N(c.pause/2), retryAfter))
}

func (c *circuit) current() circuitState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// describe writes the state of the circuit into a status.
func (c *circuit) describe(status *Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if asked := c.asked; time.Until(asked) > 0 {
		status.RetryAt = &asked
	}
	switch c.state {
	case circuitClosed:
		status.Circuit = "closed"
		return
	case circuitHalfOpen:
		status.Circuit = "half-open"
	case circuitOpen:
		until := c.until
		if c.asked.After(until) {
			until = c.asked
		}
		status.Circuit, status.RetryAt = "open", &until
	}
	status.OpenedBy = c.openedBy
}
