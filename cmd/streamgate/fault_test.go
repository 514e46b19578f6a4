package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
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

// countingSink counts how often it has taken each event.
type countingSink struct {
	mu    sync.Mutex
	taken map[string]int
	slow  time.Duration
}

func (s *countingSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if s.slow > 0 {
		select {
		case <-time.After(s.slow):
		case <-r.Context().Done(): // the gateway was killed: it will not hear of it, but a sink may have taken the event
		}
	}
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
	return fmt.Sprintf(`redis: { url: '%s' }
server: { address: '127.0.0.1:0' }
admin: { address: '127.0.0.1:0' }
streams: [{ name: STREAM }]
subscriptions:
  - { name: sub, stream: STREAM, startFrom: earliest, concurrency: 8, leaseDuration: 1s, sink: { uri: '%s' }, delivery: { backoffDelay: 100ms } }
`, redis, sink)
}

// TestKillNineLosesNothing kills two replicas with kill -9 at random instants under load: every event that was answered
// with 202 reaches the sink.
func TestKillNineLosesNothing(t *testing.T) {
	t.Parallel()
	const kills, replicas = 8, 2
	server := redistest.Start(t)
	sink := &countingSink{taken: map[string]int{}, slow: 5 * time.Millisecond}
	sinkServer := httptest.NewServer(sink)
	t.Cleanup(sinkServer.Close)
	file := writeFile(t, faultConfig(server.URL(), sinkServer.URL))

	var mu sync.Mutex
	urls := make([]string, replicas)
	processes := make([]*process, replicas)
	launch := func(i int) {
		p := startProcess(t, "serve", "--config", file)
		url := p.await(`events in +POST (http://\S+)/\{stream\}`)
		mu.Lock()
		defer mu.Unlock()
		processes[i], urls[i] = p, url
	}
	for i := range replicas {
		launch(i)
	}

	stopProducing := make(chan struct{})
	accepted := map[string]bool{}
	var producing sync.WaitGroup
	for w := range 4 {
		producing.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stopProducing:
					return
				default:
				}
				mu.Lock()
				url := urls[rand.IntN(replicas)]
				mu.Unlock()
				id := fmt.Sprintf("%d-%d", w, n)
				if postEvent(url, id) == http.StatusAccepted {
					mu.Lock()
					accepted[id] = true
					mu.Unlock()
				}
			}
		})
	}
	for range kills {
		mu.Lock()
		before := len(accepted)
		mu.Unlock()
		redistest.Eventually(t, "some events more are accepted", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(accepted) > before+50+rand.IntN(100)
		})
		i := rand.IntN(replicas)
		processes[i].kill()
		launch(i)
	}
	close(stopProducing)
	producing.Wait()

	redistest.Eventually(t, "everything accepted is delivered", func() bool {
		missing, _ := sink.missing(accepted)
		return len(missing) == 0
	})
	redistest.Eventually(t, "everything is acknowledged", func() bool {
		groups, err := server.Client().XInfoGroups(context.Background(), "STREAM").Result()
		return err == nil && len(groups) == 1 && groups[0].Pending == 0 && groups[0].Lag == 0
	})
	_, duplicates := sink.missing(accepted)
	t.Logf("accepted %d, missing 0, delivered twice %d, after %d kills", len(accepted), duplicates, kills)
	if bound := kills * 8 * 2; duplicates > bound { // what was in work at a kill, and acknowledged but not yet noted
		t.Errorf("%d duplicates, more than the %d that were in work when a replica was killed", duplicates, bound)
	}
	for _, p := range processes {
		if code := p.end(syscall.SIGTERM); code != exitDone {
			t.Errorf("exit code %d", code)
		}
	}
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

// TestRedisDownAtStart: the gateway waits for Redis, says so, is alive and not ready, and works when Redis is there.
func TestRedisDownAtStart(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	sink := &countingSink{taken: map[string]int{}}
	sinkServer := httptest.NewServer(sink)
	t.Cleanup(sinkServer.Close)
	server.Kill()
	p := startProcess(t, "serve", "--config", writeFile(t, faultConfig(server.URL(), sinkServer.URL)))
	events, operators := p.await(`events in +POST (http://\S+)/\{stream\}`), p.await(`operators +(http://\S+)/healthz`)
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
	redistest.Eventually(t, "the gateway is ready", func() bool { return status(t, operators+"/readyz") == http.StatusOK })
	if code := postEvent(events, "late"); code != http.StatusAccepted {
		t.Errorf("an event: %d", code)
	}
	redistest.Eventually(t, "the event is delivered", func() bool {
		missing, _ := sink.missing(map[string]bool{"late": true})
		return len(missing) == 0
	})
	if took := time.Since(back); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if n := strings.Count(p.text(), "redis cannot be reached"); n != 1 {
		t.Errorf("said %d times that Redis cannot be reached", n)
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

// TestOriginsReader: the subscriber of the notebook, which decodes every field as UTF-8 and prints it, and a sensor that
// looks for values.href, find what they found before.
func TestOriginsReader(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := startProcess(t, "serve", "--config", writeFile(t, fmt.Sprintf(`redis: { url: '%s' }
server: { address: '127.0.0.1:0' }
admin: { address: '127.0.0.1:0' }
streams: [{ name: STREAM, mirror: [subject, producer, href] }]
`, server.URL())))
	url := p.await(`events in +POST (http://\S+)/\{stream\}`)
	if _, stderr, code := call(t, "", "send", "--url", url, "--href", "https://example.com/items/a", "--producer", "project-a"); code != exitDone {
		t.Fatal(stderr)
	}
	entries, err := server.Client().XRange(context.Background(), "STREAM", "-", "+").Result()
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	values := entries[0].Values
	if values["subject"] != "https://example.com/items/a" || values["producer"] != "project-a" || values["href"] != "https://example.com/items/a" {
		t.Errorf("%v", values)
	}
}
