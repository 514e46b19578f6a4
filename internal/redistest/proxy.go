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

// maxProxied is how many connections a proxy keeps; a client beyond that is hung up on.
const maxProxied = 256

// Proxy stands between clients and a server and breaks what passes through it, as networks do. It understands RESP, so
// that a fault hits a certain command and not whatever happens to be in a packet. TLS passes through it unread: there
// [Proxy.Blackhole], [Proxy.Latency] and [Proxy.CloseAll] work, the other faults do not. Pub/sub passes unread too, from
// the SUBSCRIBE of a connection on.
//
// Its methods are safe for concurrent use. Faults may be combined. Only [StartProxy] makes one.
type Proxy struct {
	tb       testing.TB
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	links   map[*link]struct{}
	hole    chan struct{} // not nil while nothing passes; closed when things pass again
	held    int
	latency time.Duration
	faults  []*fault
}

// fault waits for the commands that it is meant for.
type fault struct {
	commands []string // none means every one but those with which clients open a connection
	left     int      // how many commands it has still to meet
	open     int      // how many it has to hit until done is closed
	done     chan struct{}
	keep     int  // bytes of the reply that get through
	request  bool // the command does not even reach the server
}

// handshake are the commands that client libraries send by themselves.
func handshake() []string { return []string{"AUTH", "CLIENT", "HELLO", "SELECT"} }

// StartProxy runs a proxy on a free port of 127.0.0.1 in front of the server at target, which need not be there yet. All
// of its goroutines (two for each connection) are gone when t has ended. It must be called from the goroutine of t.
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
		accepting.Wait() // then no connection comes after the last one that is closed here
		p.CloseAll()
		p.wg.Wait()
	})
	return p
}

// Addr returns the host and port at which the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// DropReplies loses the replies of the next n commands: the server carries each one out, and then the connection is
// closed without its reply. Names restrict it to these commands; without names it is every command but AUTH, CLIENT,
// HELLO and SELECT, with which clients open a connection. The channel is closed when the n-th reply is lost.
func (p *Proxy) DropReplies(n int, commands ...string) <-chan struct{} {
	return p.addFault(&fault{commands: commands, left: n})
}

// DropCommands closes the connection at each of the next n commands, which the server does not get to see. For names and
// the channel see [Proxy.DropReplies].
func (p *Proxy) DropCommands(n int, commands ...string) <-chan struct{} {
	return p.addFault(&fault{commands: commands, left: n, request: true})
}

// CutMidReply closes the connection after the first bytes of the reply to the next command, and always before its last
// byte. For names and the channel see [Proxy.DropReplies].
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

// Blackhole holds back, while on, all that either side sends, and opens no connection to the server; the proxy goes on to
// accept connections and keeps those that it has. What was held back is delivered when it is switched off, also that of
// a client which has left meanwhile: the network had it already.
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

// Held returns how many new connections, commands and replies [Proxy.Blackhole] holds back now, at most one for each
// direction of a connection. A test waits for it with [Eventually] to know that its command is in there.
func (p *Proxy) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

// Latency delays from now on each reply by d; 0 ends that. Replies of one connection wait one after the other.
func (p *Proxy) Latency(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

// CloseAll closes all connections and returns when nothing of them is left; new ones are welcome.
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

// Connections returns how many clients are connected now.
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
				p.tb.Errorf("redistest: proxy accepts no more: %v", err)
			}
			return
		}
		ctx, cancel := context.WithCancel(context.Background()) // that of the test ends before the cleanup of its clients
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

// pass returns when nothing is held back any more; it is false if ctx ends before that.
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

// delay waits for the latency; it is false if ctx ends before that.
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

// meet returns the fault that a command meets, or nil.
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

// strike notes that f has hit.
func (p *Proxy) strike(f *fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.open--; f.open == 0 {
		close(f.done)
	}
}
