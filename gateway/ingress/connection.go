package ingress

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// connection is one connection of a client. It refuses ambiguous requests, bounds the time of a write, and knows what
// it waits for, so that [connections] can tell which one is worth the least.
//
// Read is called by one goroutine at a time, as net/http does; the other methods may be called at any time.
type connection struct {
	net.Conn
	group   netip.Prefix
	owner   *connections
	started time.Time // the base of the times below

	framing framing
	poison  []byte // read in place of what the client sends after an ambiguous request
	wrong   string // what is ambiguous

	inAll, inGroup int // where it stands in the lists of its owner, under the owner's lock; -1: nowhere

	received atomic.Int64 // bytes
	mark     atomic.Int64 // of received, when the current phase began
	since    atomic.Int64 // when the current phase began
	writing  atomic.Int64 // when the current write began; 0: none
	open     atomic.Int32 // requests in the handler
	busy     atomic.Int32 // those of them whose body has arrived
	served   atomic.Bool  // a request has been answered
}

const (
	writePiece = 32 << 10         // is written at once, and must be taken within writeTime
	writeTime  = 10 * time.Second // so the slowest reader takes 3.2 KiB/s
)

type connectionKey struct{}

// connectionOf returns the connection of a request, or nil if the handler belongs to another server.
func connectionOf(r *http.Request) *connection {
	c, _ := r.Context().Value(connectionKey{}).(*connection)
	return c
}

func withConnection(ctx context.Context, conn net.Conn) context.Context {
	if c, ok := conn.(*connection); ok {
		return context.WithValue(ctx, connectionKey{}, c)
	}
	return ctx
}

func (c *connection) now() int64 { return int64(time.Since(c.started)) + 1 }

// begin notes that a request is in the handler, which reads its body next.
func (c *connection) begin() {
	if c != nil {
		c.open.Add(1)
		c.next()
	}
}

// arrived notes that the body of a request has arrived.
func (c *connection) arrived() {
	if c != nil {
		c.busy.Add(1)
	}
}

// end notes that a request is answered; arrived says whether its body had arrived.
func (c *connection) end(arrived bool) {
	if c == nil {
		return
	}
	if arrived {
		c.busy.Add(-1)
	}
	c.open.Add(-1)
	c.served.Store(true)
	c.next()
}

func (c *connection) next() {
	c.mark.Store(c.received.Load())
	c.since.Store(c.now())
}

// phase is what a connection waits for.
type phase uint8

const (
	working    phase = iota // for the gateway
	idle                    // for the next request
	unfinished              // for the rest of a request, or for the client to take an answer
)

// waits returns what the connection waits for, and for how long, less a credit for what has arrived: a client that
// sends at healthyRate or faster is never the slowest.
func (c *connection) waits() (phase, time.Duration) {
	now := c.now()
	if began := c.writing.Load(); began != 0 {
		return unfinished, time.Duration(now - began)
	}
	if c.busy.Load() > 0 {
		return working, 0
	}
	arrived := c.received.Load() - c.mark.Load()
	waited := time.Duration(now - c.since.Load())
	if c.open.Load() == 0 && c.served.Load() && arrived == 0 {
		return idle, waited
	}
	return unfinished, waited - time.Duration(arrived)*time.Second/healthyRate
}

// healthyRate is the rate, in bytes a second, above which a request is not a slow one.
const healthyRate = 64 << 10

// Read implements net.Conn.
func (c *connection) Read(p []byte) (int, error) {
	if c.wrong != "" {
		n := copy(p, c.poison)
		if c.poison = c.poison[n:]; n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.received.Add(int64(n))
	}
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) && c.open.Load() == 0 {
		if waits, _ := c.waits(); waits == unfinished {
			c.owner.metrics.closed.WithLabelValues(closedSlow).Inc() // in the middle of a header
		}
	}
	passed, wrong := c.framing.follow(p[:n])
	if wrong == "" {
		return n, err
	}
	// net/http answers 400 to a field without a name, in its turn after the requests before this one; Write explains
	// it.
	c.wrong, c.poison = wrong, []byte("\n:\r\n\r\n")
	if wrong == foldedLine {
		c.poison = c.poison[1:] // the line before has its end
	}
	if passed == 0 {
		return c.Read(p)
	}
	return passed, nil
}

// How the refusals begin and go on that net/http writes by itself.
const (
	refusedByServer = "HTTP/1.1 "
	serverHeader    = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
)

// Write implements net.Conn. A client has a time to take each piece. Refusals that net/http writes by itself, in plain
// text, become problem documents.
func (c *connection) Write(p []byte) (int, error) {
	c.writing.Store(c.now())
	defer c.writing.Store(0)
	if len(p) < 512 && bytes.HasPrefix(p, []byte(refusedByServer)) {
		if status, text, isRefusal := bytes.Cut(p, []byte(serverHeader)); isRefusal {
			return len(p), c.refuse(status, string(text))
		}
	}
	written := 0
	for {
		piece := p[written:min(len(p), written+writePiece)]
		if err := c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(piece)
		written += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.owner.metrics.closed.WithLabelValues(closedSlow).Inc()
		}
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// refuse writes the refusal of a request that net/http could not read, and reads on for a moment: a connection that is
// closed while the client is still sending is reset, and the client never sees the answer.
func (c *connection) refuse(statusLine []byte, detail string) error {
	if c.wrong != "" {
		detail = c.wrong
	}
	status, _ := strconv.Atoi(string(statusLine[len(refusedByServer):min(len(statusLine), len(refusedByServer)+3)]))
	c.owner.metrics.refused.WithLabelValues(strconv.Itoa(status)).Inc()
	if err := c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	if _, err := c.Conn.Write(rawRefusal(status, detail, "")); err != nil {
		return err
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(discardAfterHeader))
		_, _ = io.CopyN(io.Discard, c.Conn, maxDiscard) // until the client closes, or its time is over
	}
	return nil
}

// discardAfterHeader is how long a client that has not sent a readable header may go on sending.
const discardAfterHeader = 2 * time.Second

// rawRefusal returns a whole answer, for where net/http writes none.
func rawRefusal(status int, detail, header string) []byte {
	body, _ := json.Marshal(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
	head := "HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) + "\r\n" + header +
		"Content-Type: application/problem+json\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n" +
		"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	return append([]byte(head), body...)
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.owner.remove(c)
	return c.Conn.Close()
}
