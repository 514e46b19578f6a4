package delivery

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/sink"
)

// engineModel is a session without Redis and HTTP: one dispatcher, workers that answer at once, new entries before
// waiting ones where the circuit probes, and waiting ones before new ones where it is closed.
type engineModel struct {
	t        *testing.T
	circuit  *circuit
	delivery Spec
	answer   func(id string) int

	fresh   []string
	waiting []retryEntry
	counts  map[string]int // attempts that count, by event
	tries   map[string]int
	done    map[string]time.Time
	dead    map[string]time.Time
	opened  time.Time // when the circuit was first open
	late    int       // attempts that counted while it was open
}

func newEngineModel(t *testing.T, retry int, answer func(id string) int) *engineModel {
	t.Helper()
	d := NewConfig().Delivery
	d.Retry = retry
	return &engineModel{
		t: t, circuit: newCircuit(retry), delivery: d, answer: answer,
		counts: map[string]int{}, tries: map[string]int{}, done: map[string]time.Time{}, dead: map[string]time.Time{},
	}
}

// next takes the event that the dispatcher would take, as [session.entries] does.
func (m *engineModel) next(probe bool) string {
	slices.SortFunc(m.waiting, func(a, b retryEntry) int { return a.at.Compare(b.at) })
	isDue := len(m.waiting) > 0 && !m.waiting[0].at.After(time.Now())
	switch {
	case len(m.fresh) > 0 && (probe || !isDue):
		id := m.fresh[0]
		m.fresh = m.fresh[1:]
		return id
	case isDue, probe && len(m.waiting) > 0:
		id := m.waiting[0].id
		m.waiting = m.waiting[1:]
		return id
	}
	return ""
}

// step makes one attempt, or waits. It reports false when there is nothing left to do.
func (m *engineModel) step() bool {
	if len(m.fresh)+len(m.waiting) == 0 {
		return false
	}
	n, probe, wait := m.circuit.admit(1)
	if n == 0 {
		backoff.Sleep(m.t.Context(), min(wait, time.Second))
		return true
	}
	id := m.next(probe)
	if id == "" {
		backoff.Sleep(m.t.Context(), time.Until(m.waiting[0].at))
		return true
	}
	m.attempt(id, probe)
	return true
}

// attempt is [session.work] and [session.settle].
func (m *engineModel) attempt(id string, probe bool) {
	wasOpen := m.circuit.current() != circuitClosed
	o := sink.Outcome{Code: m.answer(id)}
	counts, _ := m.circuit.settle(id, &o, probe)
	if m.circuit.current() != circuitClosed && m.opened.IsZero() {
		m.opened = time.Now()
	}
	m.tries[id]++
	attempt := m.counts[id] + 1
	if counts {
		m.counts[id] = attempt
		if wasOpen && o.Verdict() == sink.Retryable {
			m.late++
		}
	}
	switch {
	case o.Verdict() == sink.Delivered:
		m.done[id] = time.Now()
	case counts && attempt > m.delivery.Retry:
		m.dead[id] = time.Now()
	default:
		m.waiting = append(m.waiting, retryEntry{id: id, at: time.Now().Add(m.delivery.delay(attempt, 0))})
	}
}

// TestOutageOfTwoHours: with retry: 3 nothing is dead-lettered, no attempt counts once the circuit is open, and when
// the sink is back everything is delivered within the longest pause.
func TestOutageOfTwoHours(t *testing.T) {
	t.Parallel()
	for _, status := range []int{sink.NoResponse, 503, 500} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const events, outage = 1000, 2 * time.Hour
				back := time.Now().Add(outage)
				m := newEngineModel(t, 3, func(string) int {
					if time.Now().Before(back) {
						return status
					}
					return 202
				})
				for i := range events {
					m.fresh = append(m.fresh, fmt.Sprint(i))
				}
				for m.step() {
				}
				if len(m.dead) != 0 || len(m.done) != events || m.late != 0 {
					t.Errorf("%d dead-lettered, %d delivered, %d attempts counted while it was open", len(m.dead), len(m.done), m.late)
				}
				var last time.Time
				for _, at := range m.done {
					last = slices.MaxFunc([]time.Time{last, at}, time.Time.Compare)
				}
				if took := last.Sub(back); took > maxCircuitPause {
					t.Errorf("everything was delivered %s after the sink was back", took)
				}
				probes := 0
				for _, n := range m.tries {
					probes += n
				}
				if most := events + int(outage/(maxCircuitPause/2)) + 20; probes > most {
					t.Errorf("%d attempts, want at most %d", probes, most)
				}
			})
		})
	}
}

// TestPoisonBesideTraffic: events that always fail are dead-lettered after their attempts, whatever else is delivered,
// and never keep those others waiting for long.
func TestPoisonBesideTraffic(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{10 * time.Millisecond, time.Second, time.Minute} {
		t.Run(every.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newEngineModel(t, 10, func(id string) int {
					if id[0] == 'p' {
						return 500
					}
					return 202
				})
				m.fresh = []string{"p1", "p2"}
				published := map[string]time.Time{}
				began := time.Now()
				for i, next := 0, time.Now(); len(m.dead) < 2; {
					if time.Since(began) > 24*time.Hour {
						t.Fatalf("after a day only %d are dead-lettered", len(m.dead))
					}
					for ; !next.After(time.Now()); i, next = i+1, next.Add(every) {
						id := fmt.Sprint("g", i)
						m.fresh, published[id] = append(m.fresh, id), next
					}
					if !m.step() {
						time.Sleep(time.Until(next))
					} else if len(m.fresh) == 0 {
						time.Sleep(time.Millisecond)
					}
				}
				for m.step() {
				}
				if m.counts["p1"] != 11 || m.counts["p2"] != 11 {
					t.Errorf("%v attempts counted, want 11 of each", m.counts)
				}
				for id, at := range published {
					if waited := cmp.Or(m.done[id], time.Now()).Sub(at); waited > maxCircuitPause+m.delivery.MaxDelay.Std() {
						t.Fatalf("%s waited %s", id, waited)
					}
				}
			})
		})
	}
}

// TestPoisonAlone: an event that always fails is dead-lettered also where nothing else comes.
func TestPoisonAlone(t *testing.T) {
	t.Parallel()
	for _, retry := range []int{0, 1, 3, 10, 100} {
		synctest.Test(t, func(t *testing.T) {
			m := newEngineModel(t, retry, func(string) int { return 500 })
			m.fresh = []string{"p"}
			for m.step() {
			}
			if m.tries["p"] != retry+1 || len(m.dead) != 1 || !m.opened.IsZero() {
				t.Errorf("retry %d: %d attempts, %d dead letters, opened %s", retry, m.tries["p"], len(m.dead), m.opened)
			}
		})
	}
}
