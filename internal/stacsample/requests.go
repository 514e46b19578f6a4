package stacsample

import (
	"net/http"
	"sync"
	"time"
)

const (
	keptRequests = 1024
	keptBody     = 64 << 10
)

// Request is one request that a [Catalog] received.
type Request struct {
	Method string
	Path   string      // decoded
	Query  string      // as it was sent
	Header http.Header // a copy
	Body   []byte      // its first 64 KiB
	Time   time.Time   // when it arrived
	Status int         // of the answer; 0 if the client went away before it
}

// requestLog is a ring of the last keptRequests requests. The zero value is ready to use.
type requestLog struct {
	mu   sync.Mutex
	ring []Request
	next int // index of the oldest request, once the ring is full
}

func (l *requestLog) add(r Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) < keptRequests {
		l.ring = append(l.ring, r)
		return
	}
	l.ring[l.next] = r
	l.next = (l.next + 1) % keptRequests
}

func (l *requestLog) all() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Request, 0, len(l.ring))
	out = append(out, l.ring[l.next:]...)
	return append(out, l.ring[:l.next]...)
}
