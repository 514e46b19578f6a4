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
	demoStream      = "STREAM"
	demoScenes      = 5
	demoPublish     = 2 * time.Second
	demoBodyLimit   = 1 << 20
	demoSettleLimit = 3 * time.Second
)

// demoConfig is the configuration of the demo, which is also printed: it is the beginning of one's own.
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
		Short: "Show the whole way of events on sample data; needs no network and no set-up",
		Args:  cobra.NoArgs,
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
	c.Flags().DurationVar(&length, "for", 0, "end by itself after this time, like 10s; default is Ctrl-C")
	return c
}

// demo runs a sample catalogue, the gateway and a sink in one process, and tells each event's way.
type demo struct {
	out io.Writer
	log *slog.Logger

	mu        sync.Mutex
	entries   map[string]string // event id -> entry id, of events stored and not yet delivered
	waiting   map[string]arrival
	delivered map[string]bool
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

	// The gateway outlives ctx a little, so that what was found last is still delivered and counted.
	runCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	result := make(chan error, 1)
	go func() { result <- n.run(runCtx) }()
	var helpers sync.WaitGroup
	helpers.Go(func() { _ = catalogue.Publish(ctx, stacsample.SceneCollection, demoPublish, nil) }) // it returns nil
	helpers.Go(func() { d.follow(runCtx, n.client) })

	select {
	case err = <-result: // it could not go on
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

// startNode starts the gateway on the usual addresses, or on free ones where they are taken.
func (d *demo) startNode(ctx context.Context, text string) (*node, error) {
	c, err := config.Parse("demo", []byte(text), config.Options{
		Types: builtin.Types(), LookupEnv: func(string) (string, bool) { return "", false }, // the demo is the same everywhere
	})
	if err != nil {
		return nil, err
	}
	c.Redis.DataDir = "" // a temporary one
	n, err := startNode(ctx, c, d.log)
	if errors.Is(err, syscall.EADDRINUSE) {
		c.Gateway.Server.Address, c.Admin.Address = "127.0.0.1:0", "127.0.0.1:0"
		n, err = startNode(ctx, c, d.log)
	}
	return n, err
}

func (d *demo) describe(n *node, stac, sink, text string) {
	redisURL := n.embedded.URL()
	if n.embedded.Kind() == "in-memory" {
		redisURL = "(in memory: tail from another process needs redis-server on the PATH)"
	}
	d.printf(`Streamgate demo: a sample STAC catalogue -> gateway -> Redis Stream %s -> filter -> HTTP sink

  sample STAC API  %s   publishes a new scene every %s
  gateway          %s   takes CloudEvents in
  operators        %s   /healthz /readyz /metrics
  storage          %s
  sink             %s   prints what it receives, below

The configuration of all this:

%s
Try in another terminal:

  curl -i %s/ -H 'ce-specversion: 1.0' -H 'ce-id: 1' -H 'ce-source: /me' -H 'ce-type: com.example.hello' \
       -H 'content-type: application/json' -d '{"hello":"world"}'
  %s tail %s --from earliest --redis %s

Each event's way (Ctrl-C ends the demo):

`, demoStream, stac, demoPublish, n.eventsURL, n.adminURL, n.redisURL, sink, indent(text), n.eventsURL, commandName(), demoStream, redisURL)
}

// commandName is how this program was called: go run makes a path that is gone afterwards.
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

// receive is the sink.
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

// follow reads the stream beside the gateway, to know the entry of each event.
func (d *demo) follow(ctx context.Context, client redis.UniversalClient) {
	t := &tailer{client: client, stream: demoStream, cursor: "0-0"}
	err := t.run(ctx, false, func(e *redisstreams.Entry) error {
		event, err := e.Event()
		if err != nil {
			return nil //nolint:nilerr // the gateway reports what is no event
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.entries[event.ID()] = e.ID
		d.tell(event.ID())
		return nil
	})
	if err != nil && ctx.Err() == nil {
		d.log.Warn("cannot follow the stream", "err", err)
	}
}

// tell prints the way of an event when all of it is known. The caller holds the lock.
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

// settle waits until what was stored is delivered, and sums up.
func (d *demo) settle(n *node) string {
	ctx, cancel := context.WithTimeout(context.Background(), demoSettleLimit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		stored, dead := n.length(ctx, demoStream), n.length(ctx, state.DeadLetterStream(demoStream))
		found, delivered := n.sum("streamgate_source_events_total"), n.sum("streamgate_deliveries_total", "delivered")
		summary := fmt.Sprintf("demo: found %d, stored %d, delivered %d, dead-lettered %d", found, stored, delivered, dead)
		if delivered+dead >= stored {
			return summary
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return summary
		}
	}
}

func (n *node) length(ctx context.Context, stream string) int64 {
	length, err := n.client.XLen(ctx, stream).Result()
	if err != nil {
		return -1
	}
	return length
}

// sum adds up a counter over its labels, or over those that have a label of this value.
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
			_ = listener.Close() // what it serves is missed by those who call it
		}
	}()
	return s, nil
}

func (s *localServer) stop() {
	_ = s.server.Close() // the demo is over
	<-s.done
}
