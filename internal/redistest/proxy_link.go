package redistest

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"sync"
)

// tlsHandshake is the first byte of every TLS connection, and of no RESP command.
const tlsHandshake = 0x16

// link is one connection through a proxy.
type link struct {
	proxy  *Proxy
	client net.Conn
	cancel context.CancelFunc // of the context of run
	gone   chan struct{}      // closed when its goroutines have ended

	mu      sync.Mutex
	server  net.Conn // nil until it is dialled
	pending []*fault // the faults of expected replies, in the order of the commands; nil means none
	unread  bool     // replies cannot be assigned to commands
}

// run carries the connection until either side or [link.close] ends it, and returns when both directions have ended.
func (l *link) run(ctx context.Context) {
	defer close(l.gone)
	defer l.proxy.forget(l)
	defer l.close()
	if !l.proxy.pass(ctx) || !l.dial(ctx) {
		return
	}
	var replies sync.WaitGroup
	replies.Go(func() {
		defer l.close()
		l.carryReplies(ctx)
	})
	l.carryCommands(ctx)
	l.close()
	replies.Wait()
}

func (l *link) dial(ctx context.Context) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", l.proxy.target)
	if err != nil {
		return false // the client sees the end of the connection, and tests check the client
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = conn
	if ctx.Err() != nil { // closed meanwhile
		_ = conn.Close()
		return false
	}
	return true
}

// close ends both directions; it may be called more than once.
func (l *link) close() {
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.client.Close()
	if l.server != nil {
		_ = l.server.Close()
	}
}

func (l *link) carryCommands(ctx context.Context) {
	r := bufio.NewReader(l.client)
	if first, err := r.Peek(1); err != nil {
		return
	} else if first[0] == tlsHandshake {
		l.stopReading()
	}
	for {
		if l.isUnread() {
			l.carryUnread(ctx, r, l.server, false)
			return
		}
		f, err := readFrame(r)
		if err != nil {
			return
		}
		name := f.command()
		hit := l.proxy.meet(name)
		if hit != nil && hit.request {
			l.close()
			l.proxy.strike(hit)
			return
		}
		l.expect(name, hit)
		if !l.proxy.pass(ctx) {
			return
		}
		if _, err := l.server.Write(f.raw); err != nil {
			return
		}
	}
}

// expect records that a reply will come, and its fault. SUBSCRIBE and similar commands have one reply per channel, and
// none in RESP3, so after them replies can no longer be assigned to commands.
func (l *link) expect(command string, hit *fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = append(l.pending, hit)
	if strings.HasSuffix(command, "SUBSCRIBE") || command == "MONITOR" {
		l.unread = true
	}
}

func (l *link) stopReading() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unread = true
}

func (l *link) isUnread() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unread
}

func (l *link) carryReplies(ctx context.Context) {
	r := bufio.NewReader(l.server)
	for {
		// Whether to parse replies is known when the first one comes, because the client always speaks first.
		if _, err := r.Peek(1); err != nil {
			return
		}
		if l.isUnread() {
			l.carryUnread(ctx, r, l.client, true)
			return
		}
		f, err := readFrame(r)
		if err != nil {
			// A reply that the server cut off is passed to the client as it is.
			_, _ = l.client.Write(f.raw)
			return
		}
		hit := l.reply(f)
		if !l.proxy.pass(ctx) || !l.proxy.delay(ctx) {
			return
		}
		if hit != nil {
			_, _ = l.client.Write(f.raw[:max(0, min(hit.keep, len(f.raw)-1))])
			l.close()
			l.proxy.strike(hit)
			return
		}
		if _, err := l.client.Write(f.raw); err != nil {
			return
		}
	}
}

// reply returns the fault of a reply. Push messages are not replies to a command.
func (l *link) reply(f frame) *fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.kind == '>' || len(l.pending) == 0 {
		return nil
	}
	hit := l.pending[0]
	l.pending = l.pending[1:]
	return hit
}

// carryUnread passes bytes on without parsing them.
func (l *link) carryUnread(ctx context.Context, r io.Reader, to io.Writer, reply bool) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := r.Read(buffer)
		if n > 0 {
			if !l.proxy.pass(ctx) || reply && !l.proxy.delay(ctx) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
