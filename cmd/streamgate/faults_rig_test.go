package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
)

// faultSwitch is the environment variable that runs all scenarios of docs/reliability.md; `make fault` sets it. Each
// takes up to two minutes, so `make test` runs only two of them, shortened.
const faultSwitch = "STREAMGATE_FAULTS"

func allFaults() bool { return os.Getenv(faultSwitch) != "" }

func needFaults(t *testing.T) {
	t.Helper()
	if !allFaults() {
		t.Skip("a scenario of docs/reliability.md: run `make fault`, which sets " + faultSwitch)
	}
}

// Subscriptions of every rig.
const (
	plain   = "plain"   // order: none
	ordered = "ordered" // order: byKey
)

const faultConcurrency = 8 // of each subscription, a replica

// rigConfig is what differs between the scenarios.
type rigConfig struct {
	redis    string                // URL for the gateways
	client   redis.UniversalClient // for the checker; it bypasses whatever the scenario breaks
	stream   string                // further keys of the stream, in flow style
	delivery string                // delivery of both subscriptions; "" means a short backoff
	replicas int                   // of the gateway; 0 means two
	more     string                // further subscriptions in YAML; SINK stands for the address of the sink
	names    []string              // of the further subscriptions that are checked
}

// rig is a set of gateway processes, a producer that posts to all of them, and a sink that records what it receives.
type rig struct {
	t      *testing.T
	file   string
	client redis.UniversalClient
	http   *http.Client
	sink   *faultSink
	ledger ledger
	names  []string // of the subscriptions
	notes  []string // for the report

	mu       sync.Mutex
	replicas []*replica
}

// replica is one gateway process. A restart changes its addresses.
type replica struct {
	*process
	events, operators string
}

func newRig(t *testing.T, c rigConfig) *rig {
	t.Helper()
	if c.delivery == "" {
		c.delivery = "{ backoffDelay: 100ms }"
	}
	transport := &http.Transport{MaxIdleConnsPerHost: producers}
	r := &rig{t: t, client: c.client, http: &http.Client{Transport: transport, Timeout: 10 * time.Second},
		sink: newFaultSink(t), names: append([]string{plain, ordered}, c.names...)}
	t.Cleanup(transport.CloseIdleConnections)
	r.ledger.accepted = map[string]acceptance{}
	var b strings.Builder
	fmt.Fprintf(&b, "redis: { url: '%s' }\n"+freePorts,
		c.redis)
	fmt.Fprintf(&b, "streams: [{ name: STREAM%s }]\nsubscriptions:\n", c.stream)
	for name, order := range map[string]string{plain: "none", ordered: "byKey"} {
		fmt.Fprintf(&b, "  - { name: %s, stream: STREAM, startFrom: earliest, order: %s, concurrency: %d, "+
			"leaseDuration: 1s, sink: { uri: '%s/%s' }, delivery: %s }\n",
			name, order, faultConcurrency, r.sink.URL, name, c.delivery)
	}
	b.WriteString(strings.ReplaceAll(c.more, "SINK", r.sink.URL))
	r.file = writeFile(t, b.String())
	if c.replicas == 0 {
		c.replicas = 2
	}
	r.replicas = make([]*replica, c.replicas)
	for i := range r.replicas {
		r.launch(i)
	}
	r.awaitReady()
	return r
}

// launch starts replica i, at new addresses.
func (r *rig) launch(i int) {
	r.t.Helper()
	p := startProcess(r.t, "serve", "--config", r.file)
	started := &replica{process: p}
	started.events, started.operators = p.addresses()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replicas[i] = started
}

func (r *rig) replica(i int) *replica {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.replicas[i%len(r.replicas)]
}

func (r *rig) awaitReady() {
	r.t.Helper()
	for i := range r.replicas {
		redistest.Eventually(r.t, "the gateway is ready", func() bool {
			return r.get(r.replica(i).operators+"/readyz", nil) == http.StatusOK
		})
	}
}

// get returns the status, or 0 without an answer, and copies the body to out unless that is nil.
func (r *rig) get(url string, out io.Writer) int {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	response, err := r.http.Do(request)
	if err != nil {
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	if out == nil {
		out = io.Discard
	}
	_, _ = io.Copy(out, response.Body)
	return response.StatusCode
}

// reported returns how many entries the replicas report as trimmed before a subscription read them.
func (r *rig) reported(subscription string) int {
	sum := 0
	for i := range r.replicas {
		var b strings.Builder
		r.get(r.replica(i).operators+"/metrics", &b)
		for line := range strings.Lines(b.String()) {
			var n float64
			rest, ok := strings.CutPrefix(line, fmt.Sprintf("streamgate_entries_trimmed_unseen_total{subscription=%q} ",
				subscription))
			if ok {
				_, _ = fmt.Sscan(rest, &n)
				sum += int(n)
			}
		}
	}
	return sum
}

// end stops the gateways with SIGTERM.
func (r *rig) end() {
	r.t.Helper()
	for i := range r.replicas {
		if code := r.replica(i).end(syscall.SIGTERM); code != exitDone {
			r.t.Errorf("exit code %d", code)
		}
	}
}

// during waits for d while the load continues.
func (r *rig) during(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.t.Context().Done():
	}
}

// clientFor returns a client for the checker.
func clientFor(t *testing.T, o *redis.UniversalOptions) redis.UniversalClient {
	t.Helper()
	client := redis.NewUniversalClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}
