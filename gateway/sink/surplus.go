package sink

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// watchSurplus returns a function that dials as dial does, for HTTP without TLS, and watches for a fault of servers
// that net/http would report by itself, with the server's bytes and without saying which subscription it concerns: a
// body behind a status that cannot have one.
func watchSurplus(dial dialFunc, log *slog.Logger) dialFunc {
	reported := new(atomic.Bool)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &watchedConn{Conn: conn, log: log, reported: reported}, nil
	}
}

// watchedConn is a connection for HTTP/1.1 without TLS. The transport writes and reads in two goroutines, but it writes
// a request only after it has read the answer to the one before.
type watchedConn struct {
	net.Conn

	log      *slog.Logger
	reported *atomic.Bool // by any connection of the sink
	asked    atomic.Bool  // a request was written, and no answer was read since
	bare     atomic.Bool  // the last answer ended with its headers, and nothing was written since
	broken   atomic.Bool  // surplus bytes came: nothing that follows can be understood
}

// Write implements [net.Conn].
func (c *watchedConn) Write(p []byte) (int, error) {
	c.bare.Store(false)
	c.asked.Store(true)
	return c.Conn.Write(p)
}

// Read implements [net.Conn]. Surplus bytes end the connection, as they do in net/http.
func (c *watchedConn) Read(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	if n == 0 {
		return n, err
	}
	if c.bare.Load() {
		c.broken.Store(true)
		if !bytes.HasPrefix(p[:n], []byte("HTTP/1.1 408 ")) { // a polite way to close an idle connection
			c.report()
		}
		return 0, io.EOF
	}
	if !c.asked.Swap(false) || !hasNoBody(p[:n]) {
		return n, err
	}
	end := bytes.Index(p[:n], []byte("\r\n\r\n"))
	if end < 0 {
		return n, err
	}
	end += len("\r\n\r\n")
	if end < n {
		c.broken.Store(true)
		c.report()
		return end, nil
	}
	c.bare.Store(true)
	return n, err
}

// hasNoBody reports whether an answer begins with a status that has no body by definition (RFC 9110 section 6.4.1).
func hasNoBody(answer []byte) bool {
	return bytes.HasPrefix(answer, []byte("HTTP/1.1 204 ")) || bytes.HasPrefix(answer, []byte("HTTP/1.1 304 "))
}

func (c *watchedConn) report() {
	if !c.reported.Swap(true) {
		c.log.Warn("the sink sends a body with a status that has none, like 204; its connections cannot be used again")
	}
}
