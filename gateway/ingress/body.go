package ingress

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// Bounds of bodies.
const (
	maxBodies = 512 << 20 // the memory for all of them at once
	smallBody = 64 << 10  // is not counted
	firstRead = 4 << 10   // the memory for a body that has not begun to arrive

	bodyGrace   = 10 * time.Second
	minBodyRate = 1 << 10 // bytes a second that a body must arrive with, after the grace
)

var (
	errTooLarge = errors.New("too large")
	errNoRoom   = errors.New("no room")
	errSlow     = errors.New("too slow")
)

// readBody reads no more than limit bytes. The buffer grows with what arrives: what a client only announces takes no
// memory. Small bodies are bounded by the number of connections; larger ones are charged to the memory that all share.
// The body must arrive within bodyGrace, plus the time that it takes at minBodyRate.
func (in *Handler) readBody(w http.ResponseWriter, r *http.Request, limit int) (body []byte, charged int64, err error) {
	if r.ContentLength == 0 {
		return nil, 0, nil
	}
	if r.ContentLength > int64(limit) {
		return nil, 0, errTooLarge
	}
	reader := progress{body: r.Body, in: in, w: w}
	if r.ContentLength > 0 && r.ContentLength <= firstRead {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(&reader, body)
		return body, 0, err
	}
	if r.Header.Get("Expect") != "" {
		r.Header.Del("Expect") // the client is told to go on with the first read
	}
	body = make([]byte, 0, firstRead)
	for {
		n, err := reader.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if len(body) > limit {
			return nil, charged, errTooLarge
		}
		if errors.Is(err, io.EOF) {
			return body, charged, nil
		}
		if err != nil {
			return nil, charged, err
		}
		if len(body) < cap(body) {
			continue
		}
		grown := 2 * cap(body)
		if grown < smallBody {
			grown *= 2 // fewer copies, while it is little
		}
		if r.ContentLength > 0 { // one more byte finds the end
			grown = min(grown, int(r.ContentLength)+1)
		}
		if grown > smallBody {
			step := int64(grown - max(cap(body), smallBody))
			charged += step
			if in.reading.Add(step) > in.budget {
				return nil, charged, errNoRoom
			}
		}
		body = append(make([]byte, 0, grown), body...)
	}
}

// progress reads a body, and moves the deadline of its connection with what has arrived. The first one is the server's
// ReadTimeout, so that a body which arrives at once costs nothing.
type progress struct {
	body    io.Reader
	in      *Handler
	w       http.ResponseWriter
	started time.Time // zero: nothing has arrived yet
	arrived int64
	moved   int64 // what had arrived when the deadline was moved
}

// Read implements io.Reader. It returns errSlow when the deadline has passed.
func (p *progress) Read(b []byte) (int, error) {
	if p.arrived-p.moved >= minBodyRate {
		p.extend()
	}
	n, err := p.body.Read(b)
	p.arrived += int64(n)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = errSlow
	}
	return n, err
}

func (p *progress) extend() {
	if p.started.IsZero() {
		p.started = time.Now()
	}
	p.moved = p.arrived
	atRate := time.Duration(p.arrived) * time.Second / minBodyRate
	_ = http.NewResponseController(p.w).SetReadDeadline(p.started.Add(p.in.bodyGrace + atRate)) // not all servers can
}
