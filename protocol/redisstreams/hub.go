package redisstreams

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Bounds of a hub.
const (
	hubPipelines   = 4        // pipelines under way at once
	hubCommands    = 500      // commands of one pipeline
	hubBytes       = 16 << 20 // what the replies of one pipeline should hold at most
	hubWait        = 5 * time.Second
	hubGroupPeriod = time.Second
)

// Hub reads one stream for many consumers of a process ([WithHub]). Of the consumers that wait for entries none blocks a
// connection: the hub waits for all of them with one XREAD, and when something comes they read without blocking, many in
// one pipeline. Redis serves a blocked reader in the time of the XADD that wakes it, so that thousands of them would make
// every addition slow (measured: 3,000 make it take 83 ms; a sweep over 10,000 groups in pipelines takes 21 ms).
//
// It is safe for concurrent use. Consumers work as long as Run runs; without it they find new entries within five seconds.
type Hub struct {
	client redis.UniversalClient
	stream string

	mu       sync.Mutex
	queue    []*hubCommand // invariant: empty unless flushing == hubPipelines
	flushing int
	news     chan struct{} // closed when there may be new entries
	members  map[*Consumer]struct{}
	waiting  int           // members that wait for news
	waited   chan struct{} // capacity 1: somebody has begun to wait

	groupsMu sync.Mutex // held over a look at the groups, so that many askers make one
	groups   map[string]groupInfo
	lookedAt time.Time
}

// groupInfo is what XINFO GROUPS says of a group.
type groupInfo struct {
	lastDelivered string
	pending       int
}

type hubCommand struct {
	cmd   redis.Cmder
	bytes int
	done  chan struct{}
}

// NewHub returns a hub for the stream. It does no I/O. The client stays the caller's.
func NewHub(client redis.UniversalClient, stream string) *Hub {
	return &Hub{
		client: client, stream: stream, news: make(chan struct{}), members: make(map[*Consumer]struct{}),
		waited: make(chan struct{}, 1),
	}
}

// WithHub lets a consumer read through a hub of its stream, which is for programs with many groups on one stream.
func WithHub(h *Hub) ConsumerOption {
	return func(c *Consumer) { c.hub = h }
}

// Run watches the stream until ctx ends, and returns nil. Errors are retried with backoff; the consumers log them.
func (h *Hub) Run(ctx context.Context) error {
	var groups sync.WaitGroup
	groups.Go(func() { h.watchGroups(ctx) })
	backoff := minBackoff
	for last := ""; ctx.Err() == nil; {
		if last != "" && !h.somebodyWaits(ctx) {
			break
		}
		next, err := h.watch(ctx, last)
		if err != nil {
			wait(ctx, backoff/2+rand.N(backoff/2))
			backoff = min(2*backoff, maxBackoff)
			continue
		}
		backoff = minBackoff
		if next != last {
			h.announce()
		}
		last = next
	}
	groups.Wait()
	return nil
}

// lastIDScript returns the id of the last entry without its fields.
//
//	KEYS[1] stream
var lastIDScript = newScript(`
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
return last and last[1] or '0-0'`)

// watch waits up to a second for an entry behind last, and returns the id of the last entry then. It is lower than before
// where the stream has begun anew.
func (h *Hub) watch(ctx context.Context, last string) (string, error) {
	if last != "" {
		ctx, cancel := context.WithTimeout(ctx, blockTime+commandTimeout)
		_, err := ReadAfter(ctx, h.client, h.stream, last, 1, blockTime)
		cancel()
		if err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	return lastIDScript.run(ctx, h.client, []string{h.stream}, nil).Text()
}

// somebodyWaits returns true when a member waits for news, or false when ctx ends.
func (h *Hub) somebodyWaits(ctx context.Context) bool {
	for {
		h.mu.Lock()
		waiting := h.waiting
		h.mu.Unlock()
		if waiting > 0 {
			return true
		}
		select {
		case <-h.waited:
		case <-ctx.Done():
			return false
		}
	}
}

func (h *Hub) announce() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.news)
	h.news = make(chan struct{})
}

// next returns what is closed at the next sign of new entries. Take it before reading, so that nothing is missed between.
func (h *Hub) next() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.news
}

// await waits until news is closed, the member is poked, d is over, or ctx ends.
func (h *Hub) await(ctx context.Context, c *Consumer, news <-chan struct{}, d time.Duration) {
	h.mu.Lock()
	h.waiting++
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.waiting--
		h.mu.Unlock()
	}()
	select {
	case h.waited <- struct{}{}:
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-news:
	case <-c.poked:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// process runs one command, in a pipeline with those of others that come at the same time. bytes is what its reply may
// hold. It returns when the command has its result.
func (h *Hub) process(cmd redis.Cmder, bytes int) {
	own := &hubCommand{cmd: cmd, bytes: bytes, done: make(chan struct{})}
	h.mu.Lock()
	h.queue = append(h.queue, own)
	lead := h.flushing < hubPipelines
	if lead {
		h.flushing++
	}
	h.mu.Unlock()
	if lead {
		h.flush()
	}
	<-own.done
}

// flush runs pipelines until nothing is queued.
func (h *Hub) flush() {
	for {
		batch := h.take()
		if len(batch) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), transferTimeout)
		commands := make([]redis.Cmder, len(batch))
		for i := range batch {
			commands[i] = batch[i].cmd
		}
		run(ctx, h.client, commands)
		cancel()
		for i := range batch {
			close(batch[i].done)
		}
	}
}

// take removes the commands of the next pipeline from the queue; none ends the caller's turn.
func (h *Hub) take() []*hubCommand {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, bytes := 0, 0
	for n < len(h.queue) && n < hubCommands && (n == 0 || bytes+h.queue[n].bytes <= hubBytes) {
		bytes += h.queue[n].bytes
		n++
	}
	batch := h.queue[:n:n]
	if h.queue = h.queue[n:]; len(h.queue) == 0 {
		h.queue = nil
	}
	if n == 0 {
		h.flushing--
	}
	return batch
}

func (h *Hub) join(c *Consumer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.members[c] = struct{}{}
}

func (h *Hub) part(c *Consumer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.members, c)
}

// watchGroups pokes the members in whose group more is pending than they have in work: a dead member's entries, perhaps.
func (h *Hub) watchGroups(ctx context.Context) {
	for period := hubGroupPeriod; ctx.Err() == nil; wait(ctx, period+rand.N(period/4)) {
		h.mu.Lock()
		members := len(h.members)
		h.mu.Unlock()
		if members == 0 {
			continue
		}
		started := time.Now()
		groups, err := h.look(ctx, 0)
		if err != nil {
			continue // those who read notice, too
		}
		period = max(hubGroupPeriod, min(20*time.Since(started), 2*hubGroupPeriod)) // at most 5 % of the time, but in time
		h.mu.Lock()
		for c := range h.members {
			if groups[c.group].pending > c.inWork() {
				c.poke()
			}
		}
		h.mu.Unlock()
	}
}

// look returns what is known of the groups, not older than maxAge.
func (h *Hub) look(ctx context.Context, maxAge time.Duration) (map[string]groupInfo, error) {
	h.groupsMu.Lock()
	defer h.groupsMu.Unlock()
	if h.groups != nil && time.Since(h.lookedAt) < maxAge {
		return h.groups, nil
	}
	groups, err := lookUpGroups(ctx, h.client, h.stream)
	if err != nil {
		return nil, err
	}
	h.groups, h.lookedAt = groups, time.Now()
	return groups, nil
}

func lookUpGroups(ctx context.Context, client redis.UniversalClient, stream string) (map[string]groupInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	list, err := client.XInfoGroups(ctx, stream).Result()
	if hasPrefix(err, "ERR no such key") {
		return map[string]groupInfo{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up the groups of stream %q: %w", stream, err)
	}
	groups := make(map[string]groupInfo, len(list))
	for i := range list {
		groups[list[i].Name] = groupInfo{lastDelivered: list[i].LastDeliveredID, pending: int(list[i].Pending)}
	}
	return groups, nil
}
