package source

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/state"
)

// Bounds of what is kept of the health of a source.
const (
	healthEvery   = 5 * time.Second // between two writes, unless the source begins or ceases to fail
	healthTimeout = 2 * time.Second
	maxErrorText  = 500 // bytes
)

// Health is whether a source can do its job. The replica that runs the source keeps it in Redis, so that all replicas
// and commands tell the same. It outlives restarts and takeovers; only the replica with the lease writes it.
type Health struct {
	// LastSuccess is when a search, read or poll last succeeded as a whole; zero for never.
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
	// Items is what that one has found, whether or not it was new.
	Items int `json:"items"`
	// Next is when the source tries again; zero if it waits for what others send.
	Next time.Time `json:"next,omitzero"`
	// LastError says what failed last, and LastErrorAt when; a success does not erase them.
	LastError   string    `json:"lastError,omitempty"`
	LastErrorAt time.Time `json:"lastErrorAt,omitzero"`
	// Failures counts the requests, reads and searches that have failed since the last success, TotalFailures all of
	// them.
	Failures      int64 `json:"failures"`
	TotalFailures int64 `json:"totalFailures"`
	// Due is when the source should have succeeded again; zero if that depends on others.
	Due time.Time `json:"due,omitzero"`
}

// Staleness returns by how much the next success is overdue; 0 if it is not.
func (h *Health) Staleness(now time.Time) time.Duration {
	if h.Due.IsZero() || now.Before(h.Due) {
		return 0
	}
	return now.Sub(h.Due)
}

// Monitor keeps the [Health] of a source that runs on this replica. A nil Monitor does nothing. It is safe for
// concurrent use.
type Monitor struct {
	link    *link
	changed func(h Health, isFailure bool)

	mu      sync.Mutex
	health  Health
	written time.Time
	failing bool // as it was written last
}

// newMonitor returns a monitor. changed is told each success and failure.
func newMonitor(at *link, changed func(h Health, isFailure bool)) *Monitor {
	return &Monitor{link: at, changed: changed}
}

// load takes over what the replica before has kept. A failure to read it costs only the counts.
func (m *Monitor) load(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	saved, err := m.link.client.Get(ctx, state.HealthKey(m.link.stream, m.link.source)).Bytes()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		_ = json.Unmarshal(saved, &m.health) // only a replica writes it
	}
	m.failing = m.health.Failures > 0
	m.health.Due, m.health.Next = time.Now().UTC(), time.Time{}
	m.changed(m.health, false)
}

// Succeeded notes that a search, read or poll has succeeded as a whole and found so many items. next is when the source
// tries again; zero if it waits for what others send. It blocks for at most two seconds.
func (m *Monitor) Succeeded(ctx context.Context, items int, next time.Time) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	h := &m.health
	h.LastSuccess, h.Items, h.Next, h.Due, h.Failures = time.Now().UTC(), items, next.UTC(), next.UTC(), 0
	m.changed(*h, false)
	m.write(ctx)
}

// Failed notes that a request, read or search has failed and is repeated. next is when; zero if that is not known. It
// blocks for at most two seconds. The text of err must hold no credentials.
func (m *Monitor) Failed(ctx context.Context, err error, next time.Time) {
	if m == nil || ctx.Err() != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	h, now := &m.health, time.Now().UTC()
	h.LastError, h.LastErrorAt = shortened(err.Error()), now
	h.Failures++
	h.TotalFailures++
	if !next.IsZero() {
		h.Next = next.UTC()
	}
	if h.Due.IsZero() {
		h.Due = now
	}
	m.changed(*h, true)
	m.write(ctx)
}

func shortened(text string) string {
	if len(text) <= maxErrorText {
		return text
	}
	end := maxErrorText
	for end > 0 && text[end]&0xC0 == 0x80 { // not in the middle of a character
		end--
	}
	return text[:end] + " ..."
}

// healthScript keeps the health of a source.
//
//	KEYS[1] lease, KEYS[2] health; ARGV[1] token, ARGV[2] health
//	returns 1, or 0 if the token is not the lease's
//
// It is a script because a replica that has lost its lease must not overwrite what its successor keeps.
var healthScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1`)

// write writes the health, from time to time, and at once where the source begins or ceases to fail. What is lost when
// Redis does not answer is written the next time.
func (m *Monitor) write(ctx context.Context) {
	now, isFailing := time.Now(), m.health.Failures > 0
	if isFailing == m.failing && now.Sub(m.written) < healthEvery && !m.written.IsZero() {
		return
	}
	data, err := json.Marshal(m.health)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	keys := []string{m.link.leaseKey(), state.HealthKey(m.link.stream, m.link.source)}
	if err := healthScript.Run(ctx, m.link.client, keys, m.link.token, data).Err(); err != nil {
		m.link.log.Debug("could not keep the health of the source", "err", err)
		return
	}
	m.written, m.failing = now, isFailing
}
