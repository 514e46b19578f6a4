package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/stream"
	"github.com/streamgate/streamgate/internal/redistest"
)

// TestHardLength: at hardLength events are refused, singly and in batches, with what to do about it; sources wait; and
// all goes on when there is room. What is refused is not in the stream.
func TestHardLength(t *testing.T) {
	t.Parallel()
	client, streamName := redistest.Shared(t).Client(), redistest.Stream(t)
	c := oneStream(streamName)
	c.Streams[0].Retention.HardLength = 5
	fill, filled := make(chan struct{}), make(chan error, 1)
	g := start(t, client, withSource(c, func(ctx context.Context, env source.Env) error {
		select {
		case <-fill:
		case <-ctx.Done():
			return nil
		}
		_, err := env.Outbox.Publish(ctx, emissions(10, 12))
		filled <- err
		<-ctx.Done()
		return nil
	}))
	for i := range 5 {
		if status, _ := post(t, g.url, event(fmt.Sprint(i))); status != http.StatusAccepted {
			t.Fatalf("event %d: status %d", i, status)
		}
	}
	status, header := post(t, g.url, event("5"))
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("%d %v", status, header)
	}
	if status, _, answer := postJSON(t, g.url, "["+jsonEvent("6")+"]"); status != 503 || !strings.Contains(answer, "retention.hardLength") {
		t.Errorf("%d %s", status, answer)
	}
	if _, err := g.Publisher().Publish(context.Background(), streamName, new(event("7"))); !errors.Is(err, stream.ErrFull) {
		t.Errorf("error %v, want ErrStreamFull", err)
	}
	if n := client.XLen(context.Background(), streamName).Val(); n != 5 {
		t.Errorf("%d entries", n)
	}
	if n := gauge(t, g.registry, "streamgate_stream_full"); n != 1 {
		t.Errorf("streamgate_stream_full is %g", n)
	}
	close(fill)
	pass(100 * time.Millisecond)
	select {
	case err := <-filled:
		t.Errorf("the source has published into a full stream: %v", err)
	default:
	}
	client.XTrimMaxLen(context.Background(), streamName, 1)
	if err := <-filled; err != nil {
		t.Error(err)
	}
	redistest.Eventually(t, "events are taken again", func() bool {
		status, _ := post(t, g.url, event("8"))
		return status == http.StatusAccepted && gauge(t, g.registry, "streamgate_stream_full") == 0
	})
	for _, text := range []string{"the stream is full", "takes events again"} {
		if n := strings.Count(g.logs.String(), text); n != 1 {
			t.Errorf("%d lines with %q:\n%s", n, text, g.logs)
		}
	}
}

// TestFullFromTheStart: a stream that is full when the gateway starts takes nothing, from the first event on.
func TestFullFromTheStart(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	postAll(t, client, stream, 0, 4)
	c := oneStream(stream)
	c.Streams[0].Retention.HardLength = 5
	g := start(t, client, c)
	if status, _ := post(t, g.url, event("5")); status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
}

// TestRetentionRuns: a running gateway trims what its subscription has acknowledged.
func TestRetentionRuns(t *testing.T) {
	t.Parallel()
	client, stream, to := redistest.Shared(t).Client(), redistest.Stream(t), newSink(t, nil)
	c := subscribed(oneStream(stream), to.url)
	c.Streams[0].Retention.MaxLength = 3
	g := start(t, client, c)
	for i := range 20 {
		post(t, g.url, event(fmt.Sprint(i)))
	}
	redistest.Eventually(t, "three are left", func() bool { return client.XLen(context.Background(), stream).Val() == 3 })
	if n := len(to.ids()); n != 20 {
		t.Errorf("%d events are delivered, want 20", n)
	}
	if n := counter(t, g.registry, "streamgate_entries_trimmed_unseen_total"); n != 0 {
		t.Errorf("%g entries are reported lost", n)
	}
}

// TestKeeperDuringAnOutage: it waits, without haste, and says so once.
func TestKeeperDuringAnOutage(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	c := oneStream("s")
	c.Streams[0].Retention.MaxLength = 3
	g := start(t, client, c)
	run(t, client, "SET", "other", "1")
	run(t, client, "DEL", "s")
	run(t, client, "SET", "s", "no stream")
	redistest.Eventually(t, "it says so", func() bool { return strings.Contains(g.logs.String(), "cannot look after the stream") })
	before := commandsSeen(t, client)
	pass(5 * time.Second)
	if n := commandsSeen(t, client) - before; n > 20 {
		t.Errorf("%d commands in five seconds", n)
	}
	run(t, client, "DEL", "s")
	redistest.Eventually(t, "it goes on", func() bool { return strings.Contains(g.logs.String(), "looking after the stream again") })
	if n := strings.Count(g.logs.String(), "cannot look after"); n != 1 {
		t.Errorf("%d lines:\n%s", n, g.logs)
	}
}

// gauge returns the sum of a gauge over its labels.
func gauge(t testing.TB, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name {
				sum += m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// TestDeployedMetricsExist: the alerts and the scaler are YAML, and ask for no metric or label that there is not.
func TestDeployedMetricsExist(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	g := start(t, client, subscribed(oneStream(stream), "http://127.0.0.1:1/"))
	descriptions := make(chan *prometheus.Desc, 100)
	g.registry.Describe(descriptions)
	close(descriptions)
	labels := map[string]string{}
	for d := range descriptions {
		m := regexp.MustCompile(`fqName: "([^"]+)".*constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`).FindStringSubmatch(d.String())
		labels[m[1]] = m[2] + "," + m[3]
	}
	for file, want := range map[string]int{"prometheus-alerts.yaml": 8, "keda-scaledobject.yaml": 1} {
		text, err := os.ReadFile("../deploy/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var document any
		if err := yaml.Unmarshal(text, &document); err != nil {
			t.Fatal(err)
		}
		queries := findQueries(document)
		if len(queries) != want {
			t.Errorf("%s has %d queries, want %d", file, len(queries), want)
		}
		for _, query := range queries {
			name := regexp.MustCompile(`streamgate_\w+`).FindString(query)
			known, found := labels[name]
			if !found {
				t.Errorf("%s: there is no metric in %q", file, query)
			}
			for _, m := range regexp.MustCompile(`by \(([^)]*)\)|\{(\w+)`).FindAllStringSubmatch(query, -1) {
				for label := range strings.SplitSeq(m[1]+m[2], ", ") {
					if !regexp.MustCompile(`\b` + label + `\b`).MatchString(known) {
						t.Errorf("%s: %s has no label %s, but %s", file, name, label, known)
					}
				}
			}
		}
	}
}

// findQueries returns the values of the keys expr and query, wherever they stand.
func findQueries(node any) (queries []string) {
	switch node := node.(type) {
	case []any:
		for _, item := range node {
			queries = append(queries, findQueries(item)...)
		}
	case map[string]any:
		for key, value := range node {
			if text, ok := value.(string); ok && (key == "expr" || key == "query") {
				queries = append(queries, text)
			}
			queries = append(queries, findQueries(value)...)
		}
	}
	return queries
}
