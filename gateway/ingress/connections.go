package ingress

import (
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// connections is the listener of a [Server]. It bounds the number of connections, of all clients together and of each
// address. At a bound, a new connection takes the place of the one that has been slowest with its request or, if there
// is none such, has been idle longest. So a client that holds as many connections as it can get does not keep the
// others out, wherever it comes from.
type connections struct {
	net.Listener
	max, maxPerAddress int
	metrics            *metrics
	log                *slog.Logger

	mu     sync.Mutex // guards what follows, and is not held during I/O, except to close one connection
	all    []*connection
	groups map[netip.Prefix][]*connection
	logged time.Time // when the last line was logged
	closed int       // since then
}

// Reasons why a connection is closed before its request is answered.
const (
	closedSlow    = "slow"          // the client sends or reads too slowly
	closedAddress = "address-bound" // another connection of its address took its place
	closedTotal   = "total-bound"   // another connection took its place
	closedRefused = "refused"       // all others were at work
)

const (
	sampled     = 64 // connections are compared to find the one that is closed
	logInterval = time.Minute
)

func newConnections(listener net.Listener, c *Config, m *metrics, log *slog.Logger) *connections {
	return &connections{
		Listener: listener, max: c.MaxConnections, maxPerAddress: c.MaxConnectionsPerAddress,
		metrics: m, log: log, groups: map[netip.Prefix][]*connection{},
	}
}

// Accept implements net.Listener.
func (l *connections) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &connection{Conn: conn, group: groupOf(conn.RemoteAddr()), owner: l, started: time.Now(), inAll: -1}
		if l.admit(c) {
			return c, nil
		}
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // of a new connection, whose buffer is empty
		_, _ = conn.Write(rawRefusal(http.StatusServiceUnavailable,
			"all connections are in use; send the event again later", "Retry-After: 1\r\n"))
		_ = conn.Close()
	}
}

// groupOf returns the address of a client, of which IPv6 gives each a whole network of 64 bits.
func groupOf(address net.Addr) netip.Prefix {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	group, _ := ip.Prefix(bits) // the number of bits is valid
	return group
}

// admit adds a new connection, and closes another one if there are too many. It reports false if none can be closed.
func (l *connections) admit(c *connection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ok := l.free(l.groups[c.group], l.maxPerAddress, closedAddress, c) && l.free(l.all, l.max, closedTotal, c)
	if !ok {
		l.metrics.closed.WithLabelValues(closedRefused).Inc()
		return false
	}
	l.add(c)
	return true
}

// free makes room for one more connection in a list that may hold limit of them.
func (l *connections) free(list []*connection, limit int, reason string, c *connection) bool {
	if limit == 0 || len(list) < limit {
		return true
	}
	slowest := pick(list)
	l.report(reason, c, len(list), limit)
	if slowest == nil {
		return false
	}
	l.metrics.closed.WithLabelValues(reason).Inc()
	l.drop(slowest)
	_ = slowest.Conn.Close() // ends its goroutine, too
	return true
}

// pick returns the connection that is worth the least, of some that are chosen at random; nil if all of them are at
// work.
func pick(list []*connection) *connection {
	var worst *connection
	var worstPhase phase
	var worstTime time.Duration
	for range min(sampled, len(list)) {
		c := list[rand.IntN(len(list))] //nolint:gosec // nothing depends on it being hard to guess
		phase, waited := c.waits()
		if phase != working && (worst == nil || phase > worstPhase || phase == worstPhase && waited > worstTime) {
			worst, worstPhase, worstTime = c, phase, waited
		}
	}
	return worst
}

// report logs once a minute, at most, that connections are closed to make room.
func (l *connections) report(reason string, c *connection, open, limit int) {
	l.closed++
	if time.Since(l.logged) < logInterval {
		return
	}
	l.log.Warn("too many connections for events; the slowest ones are closed to make room for new ones",
		"reason", reason, "address", c.group.Addr(), "open", open, "limit", limit, "closed", l.closed)
	l.logged, l.closed = time.Now(), 0
}

func (l *connections) add(c *connection) {
	group := l.groups[c.group]
	c.inAll, c.inGroup = len(l.all), len(group)
	l.all, l.groups[c.group] = append(l.all, c), append(group, c)
	l.metrics.open.Set(float64(len(l.all)))
}

// remove forgets a connection that is closed.
func (l *connections) remove(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.inAll >= 0 {
		l.drop(c)
	}
}

// drop takes a connection out of the lists: the last one takes its place.
func (l *connections) drop(c *connection) {
	last := l.all[len(l.all)-1]
	l.all[c.inAll], last.inAll = last, c.inAll
	l.all[len(l.all)-1] = nil
	l.all = l.all[:len(l.all)-1]

	group := l.groups[c.group]
	last = group[len(group)-1]
	group[c.inGroup], last.inGroup = last, c.inGroup
	group[len(group)-1] = nil
	if group = group[:len(group)-1]; len(group) == 0 {
		delete(l.groups, c.group)
	} else {
		l.groups[c.group] = group
	}
	c.inAll = -1
	l.metrics.open.Set(float64(len(l.all)))
}
