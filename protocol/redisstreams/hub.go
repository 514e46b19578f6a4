package redisstreams

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
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

// Hub reads one stream for many consumers of a process ([WithHub]). None of its consumers blocks a connection while it
// waits for entries: the hub waits for all of them with one XREAD, and when an entry arrives they read without
// blocking, many in one pipeline. Redis serves all blocked readers within the XADD that wakes them, so thousands of
// them would slow down every addition (measured: 3,000 make it take 83 ms; a sweep over 10,000 groups in pipelines
// takes 21 ms).
//
// It is safe for concurrent use. Run must be running; without it consumers find new entries within five seconds.
//
// mu guards everything above groupsMu; it is never held during a command. groupsMu is held during one, and never
// together with mu. A hub keeps nothing that a kill -9 could lose.
type Hub struct {
	client redis.UniversalClient
	stream string

	mu        sync.Mutex
	queue     []*hubCommand // invariant: empty unless flushing == hubPipelines
	flushing  int           // pipelines under way
	arrival   chan struct{} // closed when there may be new entries
	readers   map[*hubReader]struct{}
	waiting   int           // readers that wait for an arrival
	waitBegun chan struct{} // capacity 1: a reader has begun to wait

	groupsMu sync.Mutex // held while the groups are requested, so that many callers share one request
	groups   map[string]groupInfo
	groupsAt time.Time // when they were requested
}

// groupInfo is what XINFO GROUPS says about a group.
type groupInfo struct {
	lastDelivered string
	pending       int
}

// hubReader is a consumer as its hub sees it.
type hubReader struct {
	group  string
	leases *leases
	// searchRequested: more entries are pending in the group than the consumer has in work, perhaps those of a dead
	// member.
	searchRequested atomic.Bool
	wake            chan struct{} // capacity 1: ends the wait for an arrival
}

func newHubReader(group string, l *leases) *hubReader {
	return &hubReader{group: group, leases: l, wake: make(chan struct{}, 1)}
}

// requestSearch makes the consumer search for entries of dead members.
func (r *hubReader) requestSearch() {
	r.searchRequested.Store(true)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// NewHub returns a hub for the stream. It does no I/O. The client stays the caller's.
func NewHub(client redis.UniversalClient, stream string) *Hub {
	return &Hub{
		client: client, stream: stream, arrival: make(chan struct{}), readers: make(map[*hubReader]struct{}),
		waitBegun: make(chan struct{}, 1),
	}
}

// Run watches the stream until ctx ends, and returns nil. Errors are retried with backoff; the consumers log them.
func (h *Hub) Run(ctx context.Context) error {
	var groups sync.WaitGroup
	groups.Go(func() { h.watchGroups(ctx) })
	pauses := outageBackoff()
	for last := ""; ctx.Err() == nil; {
		if last != "" && !h.awaitReader(ctx) {
			break
		}
		next, err := h.watch(ctx, last)
		if err != nil {
			pauses.pause(ctx)
			continue
		}
		pauses.reset()
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

// watch waits up to a second for an entry after last, and returns the id of the last entry then. It is lower than
// before if the stream has begun again.
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

// awaitReader returns true when a reader waits for an arrival, or false when ctx ends.
func (h *Hub) awaitReader(ctx context.Context) bool {
	for {
		h.mu.Lock()
		waiting := h.waiting
		h.mu.Unlock()
		if waiting > 0 {
			return true
		}
		select {
		case <-h.waitBegun:
		case <-ctx.Done():
			return false
		}
	}
}

func (h *Hub) announce() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.arrival)
	h.arrival = make(chan struct{})
}

// nextArrival returns a channel that is closed when new entries may have arrived. Call it before reading, so that an
// entry that arrives in between is noticed.
func (h *Hub) nextArrival() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.arrival
}

// await waits until arrival is closed, the reader is woken, d is over, or ctx ends.
func (h *Hub) await(ctx context.Context, r *hubReader, arrival <-chan struct{}, d time.Duration) {
	h.mu.Lock()
	h.waiting++
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.waiting--
		h.mu.Unlock()
	}()
	select {
	case h.waitBegun <- struct{}{}:
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-arrival:
	case <-r.wake:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (h *Hub) join(r *hubReader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readers[r] = struct{}{}
}

func (h *Hub) leave(r *hubReader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, r)
}

// joined returns the consumers that run.
func (h *Hub) joined() []*hubReader {
	h.mu.Lock()
	defer h.mu.Unlock()
	readers := make([]*hubReader, 0, len(h.readers))
	for r := range h.readers {
		readers = append(readers, r)
	}
	return readers
}

// watchGroups makes consumers search whose group has more pending entries than they have in work.
func (h *Hub) watchGroups(ctx context.Context) {
	for period := hubGroupPeriod; ctx.Err() == nil; sleep(ctx, period+rand.N(period/4)) {
		readers := h.joined()
		if len(readers) == 0 {
			continue
		}
		started := time.Now()
		groups, err := h.groupsSince(ctx, 0)
		if err != nil {
			continue // the readers notice, too
		}
		// At most 5 % of the time, and often enough.
		period = max(hubGroupPeriod, min(20*time.Since(started), 2*hubGroupPeriod))
		for _, r := range readers {
			if groups[r.group].pending > r.leases.count() {
				r.requestSearch()
			}
		}
	}
}

// groupsSince returns the groups of the stream as they were at most maxAge ago.
func (h *Hub) groupsSince(ctx context.Context, maxAge time.Duration) (map[string]groupInfo, error) {
	h.groupsMu.Lock()
	defer h.groupsMu.Unlock()
	if h.groups != nil && time.Since(h.groupsAt) < maxAge {
		return h.groups, nil
	}
	groups, err := readGroups(ctx, h.client, h.stream)
	if err != nil {
		return nil, err
	}
	h.groups, h.groupsAt = groups, time.Now()
	return groups, nil
}

// readGroups returns the groups of a stream; none if there is no stream.
func readGroups(ctx context.Context, client redis.UniversalClient, stream string) (map[string]groupInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	list, err := client.XInfoGroups(ctx, stream).Result()
	if IsReply(err, ReplyNoKey) {
		return map[string]groupInfo{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the groups of stream %q: %w", stream, err)
	}
	groups := make(map[string]groupInfo, len(list))
	for i := range list {
		groups[list[i].Name] = groupInfo{lastDelivered: list[i].LastDeliveredID, pending: int(list[i].Pending)}
	}
	return groups, nil
}

// hubCommand is a command that waits for a pipeline of the hub.
type hubCommand struct {
	cmd   redis.Cmder
	bytes int // what its reply may hold
	done  chan struct{}
}

// process runs one command, in a pipeline with others that come at the same time. bytes is what its reply may hold. It
// returns when the command has its result.
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

// take removes the commands of the next pipeline from the queue. If there are none, the caller's turn has ended.
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
