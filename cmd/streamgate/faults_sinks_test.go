package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/streamgate/streamgate/internal/redistest"
)

// badSinks are subscriptions whose sinks are slow, hang, or alternate between available and unavailable.
const badSinks = `
  - { name: slow, stream: STREAM, startFrom: earliest, concurrency: 8, leaseDuration: 1s,
      sink: { uri: 'SINK/slow' }, delivery: { timeout: 5s } }
  - { name: hole, stream: STREAM, startFrom: earliest, concurrency: 8, leaseDuration: 1s,
      sink: { uri: 'SINK/hole' }, delivery: { timeout: 5s } }
  - { name: flap, stream: STREAM, startFrom: earliest, concurrency: 8, leaseDuration: 1s,
      sink: { uri: 'SINK/flap' }, delivery: { timeout: 5s, backoffDelay: 100ms } }
`

func unavailable(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusServiceUnavailable)
}

// TestFaultBadSinks compares the latency of a healthy sink with and without bad ones beside it. It runs alone, because
// it measures.
func TestFaultBadSinks(t *testing.T) { //nolint:paralleltest // other tests would disturb the measurement
	needFaults(t)
	const rate, warm, measured = 150, 3 * time.Second, 15 * time.Second
	measure := func(r *rig, meanwhile func()) []time.Duration {
		stop := r.produce(rate)
		defer stop()
		r.during(warm)
		from := len(r.sink.latencies(plain, 0))
		end := time.Now().Add(measured)
		for time.Now().Before(end) {
			meanwhile()
		}
		return r.sink.latencies(plain, from)
	}
	server := redistest.Start(t)
	// The base line has the same subscriptions, all healthy: only their state may make a difference, not their number.
	r := newRig(t, rigConfig{redis: server.URL(), client: server.Client(), more: badSinks,
		names: []string{"slow", "hole", "flap"}})
	without := measure(r, func() { r.during(time.Second) })
	r.check("no fault", fmt.Sprintf("%d/s", rate), allowance{duplicates: 0})

	server = redistest.Start(t)
	r = newRig(t, rigConfig{redis: server.URL(), client: server.Client(), more: badSinks,
		names: []string{"slow", "hole", "flap"}})
	r.sink.setSlow("slow", 2*time.Second)
	r.sink.refuse("hole", func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() })
	with := measure(r, func() {
		r.sink.refuse("flap", unavailable)
		r.during(time.Second)
		r.sink.refuse("flap", nil)
		r.during(time.Second)
	})
	r.sink.setSlow("slow", 0)
	r.sink.refuse("hole", nil)
	ratio := float64(quantile(with, 0.99)) / float64(quantile(without, 0.99))
	r.notes = append(r.notes, fmt.Sprintf("p50 %s and %s, p99 %s and %s, without and with the bad sinks, ratio %.2f",
		millis(quantile(without, 0.5)),
		millis(quantile(with, 0.5)), millis(quantile(without, 0.99)), millis(quantile(with, 0.99)), ratio))
	r.check("a slow, a hanging and a flapping sink", fmt.Sprintf("%d/s", rate), allowance{duplicates: 0})
	if ratio > 1.5 && quantile(with, 0.99)-quantile(without, 0.99) > 5*time.Millisecond { // below that it is noise
		t.Errorf("p99 of the healthy sink is %s, and %s without the bad ones", quantile(with, 0.99),
			quantile(without, 0.99))
	}
}

// TestFaultSinkDown keeps a sink down for a minute, with few retries: no event is dead-lettered, and all are delivered.
func TestFaultSinkDown(t *testing.T) {
	needFaults(t)
	t.Parallel()
	server := redistest.Start(t)
	listener := listenLow(t)
	addr := listener.Addr().String()
	r := newRig(t, rigConfig{redis: server.URL(), client: server.Client(), names: []string{"away"}, more: fmt.Sprintf(
		"  - { name: away, stream: STREAM, startFrom: earliest, leaseDuration: 1s, sink: { uri: 'http://%s/away' }, "+
			"delivery: { retry: 3, backoffDelay: 100ms } }\n", addr)})
	serve := func(l net.Listener) *http.Server {
		s := &http.Server{Handler: r.sink, ReadHeaderTimeout: time.Minute}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.Serve(l)
		}()
		t.Cleanup(func() {
			_ = s.Close()
			<-done
		})
		return s
	}
	sink := serve(listener)
	stop := r.produce(100)
	r.during(3 * time.Second)
	_ = sink.Close()
	r.during(30 * time.Second)
	r.sink.refuse("away", unavailable)
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	serve(listener)
	r.during(30 * time.Second)
	r.sink.refuse("away", nil)
	back := time.Now()
	r.during(30 * time.Second) // an open circuit probes its sink after 30 s at most
	stop()
	r.settle()
	r.notes = append(r.notes, r.sink.recovery("away", back))
	r.check("a sink refuses connections for 30 s, answers 503 for 30 s, retry: 3", "100/s",
		allowance{duplicates: inWork})
}

// listenLow takes a port below the range of outgoing connections: a client that keeps dialling a closed port of that
// range may be given the same port as its own, and connect to itself.
func listenLow(t *testing.T) net.Listener {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000))))
		if err == nil {
			return l
		}
	}
	t.Fatal("no free port")
	return nil
}

// recovery returns how long after its return a sink received the first event, and the last event of the backlog.
func (s *faultSink) recovery(subscription string, back time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bookOf(subscription)
	var first, last time.Duration
	for i, at := range b.at {
		after := at.Sub(back)
		if after > 0 && first == 0 {
			first = after
		}
		if after > b.took[i] {
			continue // the event was created later
		}
		last = max(last, after)
	}
	return fmt.Sprintf("first delivery %s after it was back, backlog delivered after %s", millis(first), millis(last))
}

func millis(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }
