package redistest

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// maxProxied is the most connections of a proxy; it closes further ones at once.
const maxProxied = 256

// Proxy stands between clients and a server and injects network faults. It parses RESP, so that a fault hits a chosen
// command and not whatever a packet contains. TLS passes through unparsed: [Proxy.Blackhole], [Proxy.Latency] and
// [Proxy.CloseAll] work with it, the other faults do not. A connection also becomes unparsed with its first SUBSCRIBE.
//
// [StartProxy] returns it. Its methods are safe for concurrent use, and faults can be combined.
type Proxy struct {
	tb       testing.TB
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	links   map[*link]struct{}
	hole    chan struct{} // not nil during a blackhole, at whose end it is closed
	held    int
	latency time.Duration
	faults  []*fault
}

// fault is injected into the commands that it selects.
type fault struct {
	commands []string // empty means all except those of handshake
	left     int      // commands still to select
	open     int      // commands still to hit until done is closed
	done     chan struct{}
	keep     int  // bytes of the reply that pass
	request  bool // the command does not reach the server
}

// handshake returns the commands that client libraries send on their own.
func handshake() []string { return []string{"AUTH", "CLIENT", "HELLO", "SELECT"} }

// StartProxy runs a proxy on a free port of 127.0.0.1 in front of the server at target, which need not run yet. All of
// its goroutines, two per connection, end with t. It must be called from the goroutine of t.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("redistest: start proxy: %v", err)
	}
	p := &Proxy{tb: t, target: target, listener: listener, links: make(map[*link]struct{})}
	var accepting sync.WaitGroup
	accepting.Go(p.accept)
	t.Cleanup(func() {
		if err := p.listener.Close(); err != nil {
			t.Errorf("redistest: close proxy: %v", err)
		}
		accepting.Wait() // now no connection can follow the last one that is closed here
		p.CloseAll()
		p.wg.Wait()
	})
	return p
}

// Addr returns the host and port on which the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// DropReplies drops the replies of the next n commands: the server executes each command, and then its connection is
// closed without the reply. Names select the commands; without names they are all except AUTH, CLIENT, HELLO and
// SELECT, with which clients open a connection. The channel is closed when the n-th reply is dropped.
func (p *Proxy) DropReplies(n int, commands ...string) <-chan struct{} {
	return p.addFault(&fault{commands: commands, left: n})
}

// DropCommands closes the connection at each of the next n commands, before the server receives it. For names and the
// channel see [Proxy.DropReplies].
func (p *Proxy) DropCommands(n int, commands ...string) <-chan struct{} {
	return p.addFault(&fault{commands: commands, left: n, request: true})
}

// CutMidReply closes the connection after the given number of bytes of the next reply, and always before its last byte.
// For names and the channel see [Proxy.DropReplies].
func (p *Proxy) CutMidReply(bytes int, commands ...string) <-chan struct{} {
	return p.addFault(&fault{commands: commands, left: 1, keep: bytes})
}

func (p *Proxy) addFault(f *fault) <-chan struct{} {
	f.open, f.done = f.left, make(chan struct{})
	f.commands = slices.Clone(f.commands)
	for i, name := range f.commands {
		f.commands[i] = strings.ToUpper(name)
	}
	if f.left <= 0 {
		close(f.done)
		return f.done
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, f)
	return f.done
}

// Blackhole holds back, while on, everything that either side sends and opens no connection to the server. The proxy
// still accepts connections and keeps the existing ones. When it is switched off, everything that was held back is
// delivered, even if its client has closed the connection: in a real network it would be on its way as well.
func (p *Proxy) Blackhole(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case on && p.hole == nil:
		p.hole = make(chan struct{})
	case !on && p.hole != nil:
		close(p.hole)
		p.hole = nil
	}
}

// Held returns how many new connections, commands and replies [Proxy.Blackhole] holds back, at most one per direction
// of a connection. With [Eventually], a test can wait until its command is held.
func (p *Proxy) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

// Latency delays each later reply by d; 0 ends the delay. The replies of one connection are delayed one after the
// other.
func (p *Proxy) Latency(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

// CloseAll closes all connections and blocks until their goroutines have ended. New connections are still accepted.
func (p *Proxy) CloseAll() {
	p.mu.Lock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	p.mu.Unlock()
	for _, l := range links {
		l.close()
	}
	for _, l := range links {
		<-l.gone
	}
}

// Connections returns the number of connected clients.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// accept takes connections until the listener is closed.
func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				p.tb.Errorf("redistest: the proxy stopped accepting connections: %v", err)
			}
			return
		}
		// the context of the test ends before the cleanup of its clients
		ctx, cancel := context.WithCancel(context.Background())
		l := &link{proxy: p, client: conn, cancel: cancel, gone: make(chan struct{})}
		if !p.register(l) {
			l.close()
			continue
		}
		p.wg.Go(func() { l.run(ctx) })
	}
}

func (p *Proxy) register(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.links) >= maxProxied {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) forget(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// pass blocks during a blackhole. It reports false if ctx ends first.
func (p *Proxy) pass(ctx context.Context) bool {
	for {
		p.mu.Lock()
		hole := p.hole
		if hole != nil {
			p.held++
		}
		p.mu.Unlock()
		if hole == nil {
			return ctx.Err() == nil
		}
		select {
		case <-hole:
		case <-ctx.Done():
		}
		p.mu.Lock()
		p.held--
		p.mu.Unlock()
		if ctx.Err() != nil {
			return false
		}
	}
}

// delay waits for the latency. It reports false if ctx ends first.
func (p *Proxy) delay(ctx context.Context) bool {
	p.mu.Lock()
	d := p.latency
	p.mu.Unlock()
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// meet returns the fault for a command, or nil.
func (p *Proxy) meet(command string) *fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, f := range p.faults {
		meant := slices.Contains(f.commands, command)
		if len(f.commands) == 0 {
			meant = !slices.Contains(handshake(), command)
		}
		if !meant {
			continue
		}
		if f.left--; f.left == 0 {
			p.faults = slices.Delete(p.faults, i, i+1)
		}
		return f
	}
	return nil
}

// strike records that f was injected.
func (p *Proxy) strike(f *fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.open--; f.open == 0 {
		close(f.done)
	}
}
