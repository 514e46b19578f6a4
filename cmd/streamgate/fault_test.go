package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// countingSink counts how often it has received each event.
type countingSink struct {
	mu    sync.Mutex
	taken map[string]int
}

func (s *countingSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	s.taken[r.Header.Get("Ce-Id")]++
	s.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
}

func (s *countingSink) missing(accepted map[string]bool) (missing []string, duplicates int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range accepted {
		if s.taken[id] == 0 {
			missing = append(missing, id)
		}
		duplicates += max(s.taken[id]-1, 0)
	}
	return missing, duplicates
}

func faultConfig(redis, sink string) string {
	return freePorts + fmt.Sprintf(`redis: { url: '%s' }
streams: [{ name: STREAM }]
subscriptions:
  - { name: sub, stream: STREAM, startFrom: earliest, concurrency: 8, leaseDuration: 1s,
      sink: { uri: '%s' }, delivery: { backoffDelay: 100ms } }
`, redis, sink)
}

func postEvent(url, id string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	e := rawevent.New(id, "/fault", "com.example.fault")
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(""))
	if err != nil {
		return 0
	}
	e.WriteHTTP(r.Header)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// TestRedisDownAtStart: without Redis the gateway warns once, is alive and not ready; it works as soon as Redis
// answers.
func TestRedisDownAtStart(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	sink := &countingSink{taken: map[string]int{}}
	sinkServer := httptest.NewServer(sink)
	t.Cleanup(sinkServer.Close)
	server.Kill()
	p := startProcess(t, "serve", "--config", writeFile(t, faultConfig(server.URL(), sinkServer.URL)))
	events, operators := p.addresses()
	p.await(`redis cannot be reached`)
	if code := status(t, operators+"/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d", code)
	}
	if code := status(t, operators+"/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d", code)
	}
	if code := postEvent(events, "early"); code != http.StatusServiceUnavailable {
		t.Errorf("an event: %d", code)
	}
	server.Restart()
	back := time.Now()
	awaitReady(t, operators)
	if code := postEvent(events, "late"); code != http.StatusAccepted {
		t.Errorf("an event: %d", code)
	}
	redistest.Eventually(t, "the event is delivered", func() bool {
		missing, _ := sink.missing(map[string]bool{"late": true})
		return len(missing) == 0
	})
	if took := time.Since(back); took > 5*time.Second {
		t.Errorf("the event took %s to arrive", took)
	}
	if n := strings.Count(p.text(), "redis cannot be reached"); n != 1 {
		t.Errorf("warned %d times that Redis cannot be reached, want once", n)
	}
	if code := status(t, operators+"/metrics"); code != http.StatusOK {
		t.Errorf("/metrics: %d", code)
	}
	if code := p.end(syscall.SIGTERM); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

func status(t testing.TB, url string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// TestOriginsReader: the two kinds of readers that exist already, a notebook that decodes every field as UTF-8 and a
// sensor that looks for values.href, find the fields that they expect.
func TestOriginsReader(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := startProcess(t, "serve", "--config", writeFile(t, freePorts+fmt.Sprintf(`redis: { url: '%s' }
streams: [{ name: STREAM, mirror: [subject, producer, href] }]
`, server.URL())))
	url, _ := p.addresses()
	if _, stderr, code := call(t, "", "send", "--url", url, "--href", "https://example.com/items/a", "--producer",
		"project-a"); code != exitDone {
		t.Fatal(stderr)
	}
	entries, err := server.Client().XRange(context.Background(), "STREAM", "-", "+").Result()
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	values := entries[0].Values
	if values["subject"] != "https://example.com/items/a" || values["producer"] != "project-a" ||
		values["href"] != "https://example.com/items/a" {
		t.Errorf("%v", values)
	}
}
