package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// faultSink is the sink of all subscriptions of a rig, each at its own path. It records what it receives.
type faultSink struct {
	*httptest.Server

	mu       sync.Mutex
	books    map[string]*book
	refusing map[string]http.HandlerFunc // answers in place of accepting, by subscription
	slow     map[string]time.Duration    // delay of answers by subscription; "" is for all others
}

// book records the deliveries to one subscription.
type book struct {
	taken    map[string]*taking
	first    []string    // ids, in the order of their first deliveries
	at       []time.Time // times of the first deliveries
	took     []time.Duration
	times    int // deliveries
	attempts int // requests, including those that were refused
}

// taking records the deliveries of one event.
type taking struct {
	times int
	sums  map[[sha256.Size]byte]bool
}

func newFaultSink(t testing.TB) *faultSink {
	s := &faultSink{books: map[string]*book{}, refusing: map[string]http.HandlerFunc{},
		slow: map[string]time.Duration{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *faultSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // its gateway was killed
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	s.mu.Lock()
	b := s.bookOf(name)
	b.attempts++
	refuse, slow := s.refusing[name], cmp.Or(s.slow[name], s.slow[""])
	if refuse == nil {
		b.take(r.Header.Get("Ce-Id"), body)
	}
	s.mu.Unlock()
	if refuse != nil {
		refuse(w, r)
		return
	}
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-r.Context().Done(): // the gateway was killed; the sink has the event
		}
	}
	w.WriteHeader(http.StatusAccepted)
}

// refuse makes the sink of a subscription answer with a handler; nil ends that.
func (s *faultSink) refuse(subscription string, answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusing[subscription] = answer
}

// setSlow makes the sink of a subscription, or "" all others, answer after d.
func (s *faultSink) setSlow(subscription string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow[subscription] = d
}

func (s *faultSink) bookOf(name string) *book {
	if s.books[name] == nil {
		s.books[name] = &book{taken: map[string]*taking{}}
	}
	return s.books[name]
}

// total returns the number of deliveries to all subscriptions.
func (s *faultSink) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := 0
	for _, b := range s.books {
		sum += b.times
	}
	return sum
}

// latencies returns the latencies of the first deliveries to a subscription, from the creation of each event, beginning
// with the given one.
func (s *faultSink) latencies(subscription string, from int) []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bookOf(subscription).took[from:])
}

func (b *book) take(id string, body []byte) {
	b.times++
	known := b.taken[id]
	if known == nil {
		known = &taking{sums: map[[sha256.Size]byte]bool{}}
		b.taken[id] = known
		b.first, b.at = append(b.first, id), append(b.at, time.Now())
		if len(body) >= 8 {
			sent := time.Unix(0, int64(binary.BigEndian.Uint64(body))) //nolint:gosec // the test has written it
			b.took = append(b.took, time.Since(sent))
		}
	}
	known.times++
	known.sums[sha256.Sum256(body)] = true
}
