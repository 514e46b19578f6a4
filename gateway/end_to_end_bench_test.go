package gateway_test

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/internal/redistest"
)

// BenchmarkEndToEnd posts 500 events of 1 KB a second to a gateway, which delivers them to a sink; for five seconds
// with the default benchtime of a run (-benchtime 2500x).
//
//	p50-ms, p99-ms  from the beginning of the post to the arrival at the sink
//	cpu-us          CPU time of this process for each event, in and out, those of the poster and the sink included
//
// The simple way beside it is a handler that does one XADD a request, and the reader of BenchmarkDelivery.
func BenchmarkEndToEnd(b *testing.B) {
	b.Run("streamgate", func(b *testing.B) {
		sink := newArrivals()
		url := newServer(b, sink)
		g := start(b, redistest.Start(b).Client(), subscribed(oneStream(benchStream), url, func(c *delivery.Config) {
			c.Concurrency = 32
		}))
		sink.measure(b, g.url+"/"+benchStream)
	})
	b.Run("simple", func(b *testing.B) {
		sink, client := newArrivals(), redistest.Start(b).Client()
		url := newServer(b, sink)
		in := newServer(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			data, _ := io.ReadAll(r.Body)
			h := r.Header
			err := client.Do(r.Context(), "XADD", benchStream, "*", "ce_specversion", "1.0", "ce_id", h.Get("Ce-Id"), "ce_source",
				h.Get("Ce-Source"), "ce_type", h.Get("Ce-Type"), "ce_time", h.Get("Ce-Time"), "content-type", h.Get("Content-Type"), "data", data).Err()
			if err != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.WriteHeader(http.StatusAccepted)
		}))
		stop := startSimpleReader(b, client, benchStream, url)
		defer stop()
		sink.measure(b, in)
	})
}

// arrivals is a sink that notes when each event comes.
type arrivals struct {
	mu   sync.Mutex
	at   map[string]time.Time
	want int
	done chan struct{}
}

func newArrivals() *arrivals {
	return &arrivals{at: make(map[string]time.Time), done: make(chan struct{})}
}

func (s *arrivals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusAccepted)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at[r.Header.Get("Ce-Id")] = now; len(s.at) == s.want {
		close(s.done)
	}
}

func (s *arrivals) measure(b *testing.B, url string) {
	b.Helper()
	const interval = time.Second / 500
	s.want = b.N
	client := benchClient(64)
	defer client.CloseIdleConnections()
	begun := make([]time.Time, b.N)
	var posting sync.WaitGroup
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	b.ResetTimer()
	before := cpuTime(b)
	for i := range b.N {
		<-ticker.C
		begun[i] = time.Now()
		posting.Go(func() {
			event := benchEvent()
			event.Set("id", strconv.Itoa(i))
			if err := postTo(client, url, &event); err != nil {
				b.Error(err)
			}
		})
	}
	posting.Wait()
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		b.Fatalf("%d of %d events have arrived", len(s.at), s.want)
	}
	b.StopTimer()
	took := make([]time.Duration, b.N)
	for i := range took {
		took[i] = s.at[strconv.Itoa(i)].Sub(begun[i])
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[b.N/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[b.N*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us")
	b.ReportMetric(0, "ns/op") // it is paced
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
