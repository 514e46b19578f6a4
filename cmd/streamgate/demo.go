package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/streamgate/streamgate/config"
	"github.com/streamgate/streamgate/gateway/source/builtin"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/internal/stacsample"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

const (
	demoStream       = "STREAM"
	demoScenes       = 5                     // in the catalogue at the start
	demoPublish      = 2 * time.Second       // between two new scenes
	demoBodyLimit    = 1 << 20               // bytes that the sink reads
	demoSettleLimit  = 3 * time.Second       // for deliveries in progress at the end
	demoSettlePeriod = 50 * time.Millisecond // between two reads of the counters
)

// demoConfig is the configuration of the demo. It is also printed, as a starting point for a configuration file.
const demoConfig = `streams:
  - name: STREAM
    mirror: [subject, producer, href]
sources:
  - name: sample-catalogue
    type: stac
    stream: STREAM
    url: %[1]s
    collections: [sentinel-2-l2a]
    interval: 1s
    event: { producer: project-a, profile: link }
subscriptions:
  - name: scenes
    stream: STREAM
    startFrom: earliest
    filters:
      - any:
          - exact: { type: org.ogc.api.collection.item.create }
          - prefix: { type: com.example. }
    sink: { uri: %[2]s }
`

func newDemo() *cobra.Command {
	var length time.Duration
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show the path of events on sample data; needs no network and no setup",
		Long: "Run a sample STAC catalogue, the gateway and an HTTP sink in one process, and print the path of each " +
			"event: found in\n" +
			"the catalogue, stored in the Redis stream, delivered to the sink. Nothing is kept afterwards.",
		Example: "  streamgate demo\n  streamgate demo --for 10s",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			if length > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, length)
				defer cancel()
			}
			log, err := newLogger(c.ErrOrStderr(), "text", "warn")
			if err != nil {
				return err
			}
			d := &demo{out: c.OutOrStdout(), log: log}
			return failed(d.run(ctx))
		},
	}
	c.Flags().DurationVar(&length, "for", 0, "stop after this `DURATION`, like 10s; by default run until Ctrl-C")
	return c
}

// demo runs a sample catalogue, the gateway and a sink in one process, and prints the path of each event.
type demo struct {
	out io.Writer
	log *slog.Logger

	mu        sync.Mutex
	entries   map[string]string  // event id -> entry id
	waiting   map[string]arrival // by event id: delivered before its entry was seen in the stream
	delivered map[string]bool    // by event id
}

// arrival is an event that the sink has received.
type arrival struct {
	event rawevent.Event
	at    time.Time
}

func (d *demo) run(ctx context.Context) error {
	d.entries, d.waiting, d.delivered = map[string]string{}, map[string]arrival{}, map[string]bool{}
	catalogue := stacsample.New()
	catalogue.AddCollection(stacsample.SceneCollection, "Sample scenes")
	for _, scene := range stacsample.Scenes(demoScenes, time.Now().Add(-24*time.Hour)) {
		catalogue.Put(scene)
	}
	stac, err := serveLocally(ctx, catalogue)
	if err != nil {
		return err
	}
	defer stac.stop()
	sink, err := serveLocally(ctx, http.HandlerFunc(d.receive))
	if err != nil {
		return err
	}
	defer sink.stop()

	text := fmt.Sprintf(demoConfig, stac.url, sink.url)
	n, err := d.startNode(ctx, text)
	if err != nil {
		return err
	}
	d.describe(n, stac.url, sink.url, text)

	// The gateway outlives ctx a little, so that the last scenes are still delivered and counted.
	runCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	result := make(chan error, 1)
	go func() { result <- n.run(runCtx) }()
	var helpers sync.WaitGroup
	helpers.Go(func() { _ = catalogue.Publish(ctx, stacsample.SceneCollection, demoPublish, nil) }) // it returns nil
	helpers.Go(func() { d.follow(runCtx, n.client) })

	select {
	case err = <-result: // it has failed
		stop()
	case <-ctx.Done():
		summary := d.settle(n)
		stop()
		err = <-result
		defer d.printf("%s\n", summary)
	}
	helpers.Wait()
	return err
}

func (d *demo) printf(format string, args ...any) { _, _ = fmt.Fprintf(d.out, format, args...) }

// startNode starts the gateway on the default addresses, or on free ports if they are in use.
func (d *demo) startNode(ctx context.Context, text string) (*node, error) {
	c, err := config.Parse("demo", []byte(text), config.Options{
		// the environment must not change the demo
		Types: builtin.Types(), LookupEnv: func(string) (string, bool) { return "", false },
	})
	if err != nil {
		return nil, err
	}
	c.Redis.DataDir = "" // a temporary directory
	n, err := startNode(ctx, c, d.log)
	if errors.Is(err, syscall.EADDRINUSE) {
		c.Gateway.Server.Address, c.Admin.Address = "127.0.0.1:0", "127.0.0.1:0"
		n, err = startNode(ctx, c, d.log)
	}
	return n, err
}

// describe prints the addresses, the configuration and commands to try.
func (d *demo) describe(n *node, stac, sink, text string) {
	redisURL := n.embedded.URL()
	if n.embedded.Kind() == "in-memory" {
		redisURL = "(in memory; to use tail from another process, install redis-server)"
	}
	d.printf(`Streamgate demo: a sample STAC catalogue -> gateway -> Redis Stream %s -> filter -> HTTP sink

  sample STAC API  %s   publishes a new scene every %s
  gateway          %s   receives CloudEvents
  operators        %s   /healthz /readyz /metrics
  storage          %s
  sink             %s   prints what it receives, below

The configuration:

%s
To try in another terminal:

  curl -i %s/ -H 'ce-specversion: 1.0' -H 'ce-id: 1' -H 'ce-source: /me' -H 'ce-type: com.example.hello' \
       -H 'content-type: application/json' -d '{"hello":"world"}'
  %s tail %s --from earliest --redis %s

The path of each event (press Ctrl-C to end the demo):

`, demoStream, stac, demoPublish, n.eventsURL, n.adminURL, n.redisURL, sink, indent(text),
		n.eventsURL, commandName(), demoStream, redisURL)
}

// commandName returns how to call this program again. The path of a program that go run has built is gone afterwards.
func commandName() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ./cmd/streamgate"
	}
	return os.Args[0]
}

func indent(text string) string {
	out := ""
	for line := range strings.Lines(text) {
		out += "  | " + line
	}
	return out
}

// receive is the handler of the sink.
func (d *demo) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, demoBodyLimit))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	event, err := rawevent.FromHTTP(r.Header, body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting[event.ID()] = arrival{event, time.Now()}
	d.tell(event.ID())
}

// follow reads the stream independently of the gateway, to learn the entry of each event.
func (d *demo) follow(ctx context.Context, client redis.UniversalClient) {
	t := &tailer{client: client, stream: demoStream, cursor: "0-0"}
	err := t.run(ctx, false, func(e *redisstreams.Entry) error {
		event, err := e.Event()
		if err != nil {
			return nil //nolint:nilerr // the gateway reports entries that do not decode
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.entries[event.ID()] = e.ID
		d.tell(event.ID())
		return nil
	})
	if err != nil && ctx.Err() == nil {
		d.log.Warn("the stream could not be followed", "err", err)
	}
}

// tell prints the path of an event once it is known completely: the entry and the delivery are seen in either order.
// The caller must hold the lock.
func (d *demo) tell(id string) {
	entry, stored := d.entries[id]
	a, arrived := d.waiting[id]
	if !stored || !arrived {
		return
	}
	delete(d.waiting, id)
	again := ""
	if d.delivered[id] {
		again = " (again)"
	}
	d.delivered[id] = true
	what := a.event.Subject()
	if what == "" {
		what = a.event.Type() + " " + a.event.ID()
	}
	found := "received"
	t, known := redisstreams.EntryTime(entry)
	if recorded, isScene := a.event.Attribute("recordedtime"); isScene {
		var err error
		t, err = time.Parse(time.RFC3339, recorded)
		found, known = "found", err == nil
	}
	latency := "?"
	if known {
		latency = a.at.Sub(t).Round(100 * time.Microsecond).String()
	}
	d.printf("%s %s -> stored %s -> delivered%s after %s\n", found, printable(what), entry, again, latency)
}

// settle waits until every stored event is delivered or dead-lettered, but not for long, and returns the summary.
func (d *demo) settle(n *node) (summary string) {
	ctx, cancel := context.WithTimeout(context.Background(), demoSettleLimit)
	defer cancel()
	_ = poll(ctx, demoSettlePeriod, func() (bool, error) { // the end of ctx leaves the last summary
		stored, dead := n.length(ctx, demoStream), n.length(ctx, state.DeadLetterStream(demoStream))
		found, delivered := n.sum("streamgate_source_events_total"), n.sum("streamgate_deliveries_total", "delivered")
		summary = fmt.Sprintf("demo: found %d, stored %d, delivered %d, dead-lettered %d", found, stored, delivered,
			dead)
		return delivered+dead >= stored, nil
	})
	return summary
}

// length returns the number of entries of a stream, or -1 if Redis does not answer.
func (n *node) length(ctx context.Context, stream string) int64 {
	length, err := n.client.XLen(ctx, stream).Result()
	if err != nil {
		return -1
	}
	return length
}

// sum adds up a counter over all its label values or, with label, over those series that have this label value.
func (n *node) sum(name string, label ...string) int64 {
	families, err := n.registry.Gather()
	if err != nil {
		return -1
	}
	total := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			matches := len(label) == 0
			for _, pair := range metric.GetLabel() {
				matches = matches || pair.GetValue() == label[0]
			}
			if matches {
				total += metric.GetCounter().GetValue()
			}
		}
	}
	return int64(total)
}

// localServer is an HTTP server on a free port of the loopback interface.
type localServer struct {
	url    string
	server *http.Server
	done   chan struct{}
}

// serveLocally starts a server, which the caller must stop.
func serveLocally(ctx context.Context, handler http.Handler) (*localServer, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := &localServer{
		url: "http://" + listener.Addr().String(), done: make(chan struct{}),
		server: &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second},
	}
	go func() {
		defer close(s.done)
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			_ = listener.Close() // its clients get connection errors
		}
	}()
	return s, nil
}

func (s *localServer) stop() {
	_ = s.server.Close() // its requests need not be finished: the demo is over
	<-s.done
}
