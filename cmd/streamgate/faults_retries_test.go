package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/streamgate/streamgate/internal/redistest"
)

// retrySink refuses every event once with a Retry-After, and takes it when that is over.
type retrySink struct {
	*httptest.Server
	after time.Duration

	mu    sync.Mutex
	times map[string][]time.Time // of the requests, by path and event id
}

func newRetrySink(t testing.TB, after time.Duration) *retrySink {
	t.Helper()
	s := &retrySink{after: after, times: map[string][]time.Time{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler. Events named good are taken at once, so that failures in a row do not look like an
// outage; with concurrency 1 they alternate.
func (s *retrySink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.URL.Path + " " + r.Header.Get("Ce-Id")
	s.times[key] = append(s.times[key], time.Now())
	if len(s.times[key]) > 1 || strings.HasPrefix(r.Header.Get("Ce-Id"), "good") {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Retry-After", fmt.Sprint(int(s.after.Seconds())))
	w.WriteHeader(http.StatusInternalServerError)
}

func (s *retrySink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.times)
}

// TestFaultRestartsWhileRetriesWait restarts one of two gateways again and again, by kill -9 and SIGTERM in turn, while
// retries wait: none is early, none is lost, and each event has exactly the attempts that it needs. The time is that
// which the sink has asked for, because a delay of the policy is random.
func TestFaultRestartsWhileRetriesWait(t *testing.T) {
	t.Parallel()
	needFaults(t)
	const events, restarts = 1000, 50
	sink, server := newRetrySink(t, 2*time.Minute), redistest.Start(t)
	delivery := "{ retry: 3, backoffDelay: 1s }"
	more := fmt.Sprintf("  - { name: waiting, stream: STREAM, startFrom: earliest, concurrency: 1, leaseDuration: 1s, sink: { uri: '%s/a' }, delivery: %s }\n",
		sink.URL, delivery) +
		fmt.Sprintf("  - { name: inorder, stream: STREAM, startFrom: earliest, order: byKey, concurrency: 1, leaseDuration: 1s, sink: { uri: '%s/b' }, delivery: %s }\n",
			sink.URL, delivery)
	r := newRig(t, rigConfig{redis: server.URL(), client: server.Client(), more: more})
	for i := range events {
		postNamed(t, r, fmt.Sprintf("good-%d", i))
		postNamed(t, r, fmt.Sprintf("bad-%d", i))
	}
	redistest.Eventually(t, "every event was tried", func() bool { return sink.count() == 4*events })
	for i := range restarts {
		if i%2 == 0 {
			r.replica(i / 2).kill()
		} else {
			r.replica(i / 2).end(syscall.SIGTERM)
		}
		r.launch(i / 2 % len(r.replicas))
	}
	for range 4 { // one wait is a minute
		deadline := time.Now().Add(50 * time.Second)
		redistest.Eventually(t, "all is delivered", func() bool { return r.acknowledged() || time.Now().After(deadline) })
	}
	sink.check(t)
	if n := server.Client().XLen(context.Background(), "streamgate:{STREAM}:deadletters").Val(); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	r.end()
}

func (s *retrySink) check(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	early, wrong, latest := 0, 0, time.Duration(0)
	for key, times := range s.times {
		if strings.Contains(key, " good") {
			continue
		}
		if len(times) != 2 {
			wrong++
			continue
		}
		wait := times[1].Sub(times[0])
		if wait < s.after-time.Second {
			early++
		}
		latest = max(latest, wait-s.after)
	}
	t.Logf("FIGURES restarts while retries wait: %d events, early %d, with another number of attempts %d, at most %s late", len(s.times)/2, early, wrong, latest)
	if early > 0 || wrong > 0 {
		t.Errorf("%d retries were early, %d events have another number of attempts than 2", early, wrong)
	}
}

// postNamed posts an event until it is accepted.
func postNamed(t *testing.T, r *rig, id string) {
	t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, r.replica(0).events+"/STREAM", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Ce-Specversion", "1.0")
	request.Header.Set("Ce-Id", id)
	request.Header.Set("Ce-Source", "/faults")
	request.Header.Set("Ce-Type", "com.example.retry")
	request.Header.Set("Ce-Subject", id)
	response, err := r.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		t.Fatalf("event %s: status %d", id, response.StatusCode)
	}
}
