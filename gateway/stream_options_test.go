package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/stream"
	"github.com/streamgate/streamgate/internal/redistest"
)

// postJSON posts one or more events in JSON and returns the status, the entry id or ids, and the answer.
func postJSON(t testing.TB, url, body string) (status int, ids, answer string) {
	t.Helper()
	contentType := "application/cloudevents+json"
	if strings.HasPrefix(body, "[") {
		contentType = "application/cloudevents-batch+json"
	}
	response, err := http.Post(url, contentType, strings.NewReader(body)) //nolint:noctx // a test's own server
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Streamgate-Entry-Id"), string(text)
}

func jsonEvent(id string) string {
	return `{"specversion":"1.0","id":"` + id + `","source":"/s","type":"t"}`
}

// TestPostedAgain: with a window, an event that is posted again is answered as before and not stored again, whatever
// the mode; and two subscriptions that fail to deliver it leave two dead letters.
func TestPostedAgain(t *testing.T) {
	t.Parallel()
	client, streamName := redistest.Shared(t).Client(), redistest.Stream(t)
	refusing := newSink(t, func(*http.Request, int) int { return http.StatusBadRequest })
	c := oneStream(streamName)
	c.Streams[0].DedupWindow = setting.Duration(time.Minute)
	dead := stream.NewConfig()
	dead.Name, dead.DedupWindow = streamName+"-dead", setting.Duration(time.Minute)
	c.Streams = append(c.Streams, dead)
	toDead := func(name string) func(*delivery.Config) {
		return func(s *delivery.Config) { s.Name, s.Delivery.DeadLetterSink.Stream = name, dead.Name }
	}
	g := start(t, client, subscribed(subscribed(c, refusing.url, toDead("a")), refusing.url, toDead("b")))

	status, first, _ := postJSON(t, g.url, jsonEvent("1"))
	if status != 202 || first == "" {
		t.Fatalf("%d %q", status, first)
	}
	if status, again, _ := postJSON(t, g.url, jsonEvent("1")); status != 202 || again != first {
		t.Errorf("posted again: %d %q, want 202 and %q", status, again, first)
	}
	if status, _, answer := postJSON(t, g.url, "["+jsonEvent("2")+","+jsonEvent("1")+"]"); status != 202 || !strings.Contains(answer, first) {
		t.Errorf("posted again in a batch: %d %s", status, answer)
	}
	if n := client.XLen(t.Context(), streamName).Val(); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
	redistest.Eventually(t, "both subscriptions have buried both events", func() bool { return client.XLen(t.Context(), dead.Name).Val() == 4 })
	if n := counter(t, g.registry, "streamgate_events_duplicate_total", streamName); n != 2 {
		t.Errorf("%v duplicates are counted, want 2", n)
	}
}

// TestDurabilityThatCannotBeHad is no 202.
func TestDurabilityThatCannotBeHad(t *testing.T) {
	t.Parallel()
	for durability, reason := range map[string]string{"fsync": "append-only file", "replicated": "0 of 1"} {
		t.Run(durability, func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			c := oneStream(stream)
			c.Streams[0].Durability = durability
			g := start(t, client, c)
			status, _, answer := postJSON(t, g.url, jsonEvent("1"))
			if status != http.StatusServiceUnavailable {
				t.Errorf("%d %s", status, answer)
			}
			if !strings.Contains(g.logs.String(), reason) && !strings.Contains(g.logs.String(), "appendfsync always") {
				t.Errorf("the log does not say why: %s", g.logs.String())
			}
		})
	}
}

// TestDurability: 202 where it can be had.
func TestDurability(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.WithAOF("always"))
	c := oneStream("S")
	c.Streams[0].Durability, c.Streams[0].DedupWindow = "fsync", setting.Duration(time.Minute)
	g := start(t, server.Client(), c)
	for _, body := range []string{jsonEvent("1"), "[" + jsonEvent("2") + "," + jsonEvent("3") + "]"} {
		if status, _, answer := postJSON(t, g.url, body); status != 202 {
			t.Errorf("%d %s", status, answer)
		}
	}
	server.Restart()
	redistest.Eventually(t, "Redis is back", func() bool { return server.Client().XLen(t.Context(), "S").Val() == 3 })
}
