package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

const (
	producers  = 32               // most requests in flight
	faultKeys  = 40               // of partitionkey
	persistent = 90 * time.Second // how long producers keep trying after the load has ended
)

// acceptance records an event that was answered with 2xx.
type acceptance struct {
	at  time.Time
	sum [sha256.Size]byte
}

// ledger records what the producers have sent.
type ledger struct {
	mu       sync.Mutex
	accepted map[string]acceptance
	offered  int
	// requests without a 2xx: their events may be stored, and were sent again
	reposts int
	answers map[int]int // by status; 0 means no answer
	took    []time.Duration
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted)
}

func (l *ledger) answered(status int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers[status]
}

func (l *ledger) note(id string, body []byte, status int, took time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.answers == nil {
		l.answers = map[int]int{}
	}
	l.answers[status]++
	if status/100 != 2 {
		l.reposts++
		return false
	}
	l.accepted[id] = acceptance{at: time.Now(), sum: sha256.Sum256(body)}
	l.took = append(l.took, took)
	return true
}

// produce sends rate events per second to the replicas in turn, and repeats what is not answered with 2xx. stop ends
// the load and returns when every event is accepted, or when the producers have tried for too long.
func (r *rig) produce(rate int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	todo := make(chan int, producers)
	var working sync.WaitGroup
	giveUp := make(chan struct{})
	for range producers {
		working.Go(func() {
			for n := range todo {
				r.offer(n, giveUp)
			}
		})
	}
	var offering sync.WaitGroup
	offering.Go(func() {
		defer close(todo)
		r.pace(ctx, rate, todo)
	})
	return sync.OnceFunc(func() {
		cancel()
		timer := time.AfterFunc(persistent, func() { close(giveUp) })
		offering.Wait()
		working.Wait()
		timer.Stop()
	})
}

// pace hands out the numbers of events at the given rate. While all workers are busy, because no gateway answers, no
// number is handed out.
func (r *rig) pace(ctx context.Context, rate int, todo chan<- int) {
	const tick = 10 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	due := 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for due += float64(rate) * tick.Seconds(); due >= 1; due-- {
			r.ledger.mu.Lock()
			n := r.ledger.offered
			r.ledger.mu.Unlock()
			select {
			case todo <- n:
				r.ledger.mu.Lock()
				r.ledger.offered++
				r.ledger.mu.Unlock()
			default:
			}
		}
	}
}

// offer posts one event until a gateway accepts it.
func (r *rig) offer(n int, giveUp <-chan struct{}) {
	id, body := fmt.Sprintf("e%06d", n), faultBody()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for attempt := n; ; attempt++ {
		begin := time.Now()
		status := r.post(r.replica(attempt).events, id, fmt.Sprintf("k%d", n%faultKeys), body)
		if r.ledger.note(id, body, status, time.Since(begin)) {
			return
		}
		select {
		case <-giveUp:
			return
		case <-again.C:
		}
	}
}

// faultBody returns the current time, to measure the latency, and up to 2 KiB of random bytes.
func faultBody() []byte {
	body := make([]byte, 8+rand.IntN(2048))
	binary.BigEndian.PutUint64(body, uint64(time.Now().UnixNano())) //nolint:gosec // not before 1970
	for i := 8; i < len(body); i++ {
		body[i] = byte(rand.Uint32())
	}
	return body
}

func (r *rig) post(url, id, key string, body []byte) int {
	e := rawevent.New(id, "/fault", "com.example.fault")
	if key != "" {
		e.Set("partitionkey", key)
	}
	e.DataContentType = "application/octet-stream"
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0
	}
	e.WriteHTTP(request.Header)
	response, err := r.http.Do(request)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode
}
