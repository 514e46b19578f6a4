package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/sink"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// intoStream is a configuration whose subscription hands events to a second stream.
func intoStream(stream, to string, change ...func(*delivery.Config)) gateway.Config {
	c := oneStream(stream)
	c.Streams = append(c.Streams, oneStream(to).Streams...)
	return subscribed(c, "", append(change, func(c *delivery.Config) { c.Sink = sink.Config{Stream: to} })...)
}

// TestStreamSink: events arrive in the other stream as they are, once each, also where two replicas work and replies of
// Redis are lost on the way.
func TestStreamSink(t *testing.T) {
	t.Parallel()
	const events = 200
	stream := redistest.Stream(t)
	to, direct := stream+"-to", redistest.Shared(t).Client()
	proxy, client := behindProxy(t)
	c := intoStream(stream, to, func(c *delivery.Config) { c.LeaseDuration = setting.Duration(time.Second) })
	c.Streams[1].ContentMode = "structured"
	sender := mustSender(t, direct, stream)
	for i := range events {
		e := event(fmt.Sprint(i))
		if _, err := sender.Append(context.Background(), &e); err != nil {
			t.Fatal(err)
		}
	}
	lost := proxy.DropReplies(5, "EVALSHA")
	broken := start(t, client, c)
	<-lost
	whole := start(t, direct, c)
	redistest.Eventually(t, "all are handed on", func() bool { return nothingPending(direct, stream, "sub") })
	seen := map[string]int{}
	for _, e := range readEvents(t, direct, to) {
		seen[e.ID()]++
		if ttl, _ := e.Attribute("knativebrokerttl"); ttl != "254" || e.Type() != "com.example.created" || string(e.Data) != `{"n": 1}` && string(e.Data) != `{"n":1}` {
			t.Fatalf("it became %+v", e)
		}
	}
	if len(seen) != events {
		t.Errorf("%d of %d events arrived", len(seen), events)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("event %s is there %d times", id, n)
		}
	}
	t.Logf("%v were handed on by the first, %v by the second", delivered(t, broken), delivered(t, whole))
}

// TestStreamSinkRefusesWhatWasTakenOver: a replica that was silent for longer than its lease adds nothing when it is
// back.
func TestStreamSinkRefusesWhatWasTakenOver(t *testing.T) {
	t.Parallel()
	const events = 20
	stream := redistest.Stream(t)
	to, direct := stream+"-to", redistest.Shared(t).Client()
	proxy, client := behindProxy(t)
	c := intoStream(stream, to, func(c *delivery.Config) { c.LeaseDuration = setting.Duration(time.Second) })
	silent := start(t, client, c)
	publish(t, silent, stream, event("first"))
	redistest.Eventually(t, "the first replica delivers", func() bool { return delivered(t, silent) == 1 })
	held := proxy.Held()
	proxy.Latency(300 * time.Millisecond) // so that its moves are still to be made when the network breaks
	for i := range events {
		e := event(fmt.Sprint(i))
		if _, err := mustSender(t, direct, stream).Append(context.Background(), &e); err != nil {
			t.Fatal(err)
		}
	}
	redistest.Eventually(t, "it has read some", func() bool { return pendingOf(direct, stream) > 0 || direct.XLen(context.Background(), to).Val() > 1 })
	proxy.Blackhole(true)
	redistest.Eventually(t, "commands are held back", func() bool { return proxy.Held() > held })
	second := start(t, direct, c)
	redistest.Eventually(t, "the other replica takes over", func() bool { return nothingPending(direct, stream, "sub") })
	proxy.Blackhole(false) // what it had sent arrives now
	proxy.Latency(0)
	redistest.Eventually(t, "the first replica is back", func() bool { return silent.Ready(context.Background()) == nil })
	publish(t, second, stream, event("last"))
	redistest.Eventually(t, "all is done", func() bool { return nothingPending(direct, stream, "sub") })
	var ids []string
	for _, e := range readEvents(t, direct, to) {
		ids = append(ids, e.ID())
	}
	slices.Sort(ids)
	if n := len(ids); n != events+2 || len(slices.Compact(ids)) != n {
		t.Errorf("%d events are in the other stream, want %d: %v", n, events+2, ids)
	}
}

func mustSender(t testing.TB, client redis.UniversalClient, stream string) *redisstreams.Sender {
	t.Helper()
	sender, err := redisstreams.NewSender(client, stream)
	if err != nil {
		t.Fatal(err)
	}
	return sender
}

// TestStreamSinkInACluster: the streams are in different slots, where no script can use both.
func TestStreamSinkInACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3, redistest.WithReplicas(0))
	client := redis.NewUniversalClient(redisstreams.ClientOptions(cluster.Options()))
	t.Cleanup(func() { _ = client.Close() })
	for _, to := range []string{"{a}2", "b"} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			stream := "{a}" + to
			g := start(t, client, intoStream(stream, to))
			publish(t, g, stream, event("1"), event("2"))
			redistest.Eventually(t, "both are handed on", func() bool { return nothingPending(client, stream, "sub") })
			if got := readEvents(t, client, to); len(got) != 2 || got[0].ID()+got[1].ID() != "12" && got[0].ID()+got[1].ID() != "21" {
				t.Errorf("handed on: %+v", got)
			}
		})
	}
}

// TestStreamSinksInACircle: an event that is handed round is dead-lettered when its hop limit is used up.
func TestStreamSinksInACircle(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	to := stream + "-to"
	c := intoStream(stream, to)
	back := c.Subscriptions[0]
	back.Name, back.Stream, back.Sink.Stream = "back", to, stream
	c.Subscriptions = append(c.Subscriptions, back)
	g := start(t, client, c)
	e := event("1")
	e.Set("knativebrokerttl", "5")
	publish(t, g, stream, e)
	letters := func() int64 {
		return client.XLen(context.Background(), state.DeadLetterStream(stream)).Val() + client.XLen(context.Background(), state.DeadLetterStream(to)).Val()
	}
	redistest.Eventually(t, "it is dead-lettered", func() bool { return letters() == 1 })
	if n := client.XLen(context.Background(), stream).Val() + client.XLen(context.Background(), to).Val(); n != 5 {
		t.Errorf("it went through %d streams, want 5", n)
	}
}

// TestUnknownFormatsThroughRedis: an event in a format that is not understood stays as it is, in a stream and on a
// channel.
func TestUnknownFormatsThroughRedis(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	to, channel := stream+"-to", stream+"-channel"
	heard := listen(t, client, channel)
	c := intoStream(stream, to)
	second := c.Subscriptions[0]
	second.Name, second.Sink = "channel", sink.Config{Channel: channel}
	c.Subscriptions = append(c.Subscriptions, second)
	fields := []string{"content-type", "application/cloudevents+avro", "data", "\x00\x01"}
	if err := client.XAdd(context.Background(), &redis.XAddArgs{Stream: stream, Values: fields}).Err(); err != nil {
		t.Fatal(err)
	}
	start(t, client, c)
	redistest.Eventually(t, "it is handed on", func() bool {
		return nothingPending(client, stream, "sub") && nothingPending(client, stream, "channel")
	})
	got, err := client.XRange(context.Background(), to, "-", "+").Result()
	if err != nil || len(got) != 1 || len(got[0].Values) != 2 || got[0].Values["content-type"] != fields[1] || got[0].Values["data"] != fields[3] {
		t.Errorf("in the stream it is %v (%v)", got, err)
	}
	if message := <-heard; message.Payload != fields[3] {
		t.Errorf("on the channel it is %q", message.Payload)
	}
}

// listen subscribes to a channel and returns when that has happened.
func listen(t testing.TB, client *redis.Client, channel string) <-chan *redis.Message {
	t.Helper()
	ps := client.Subscribe(context.Background(), channel)
	t.Cleanup(func() { _ = ps.Close() })
	if _, err := ps.Receive(context.Background()); err != nil {
		t.Fatal(err)
	}
	return ps.Channel()
}

// TestChannelSink: subscribers get events in JSON. Where nobody listens the event is delivered all the same: Pub/Sub
// keeps nothing, and an event that waited for a listener would hold up those after it.
func TestChannelSink(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	g := start(t, client, subscribed(oneStream(stream), "", func(c *delivery.Config) {
		c.Sink = sink.Config{Channel: stream}
	}))
	publish(t, g, stream, event("nobody listens"))
	redistest.Eventually(t, "it is done with", func() bool { return delivered(t, g) == 1 })
	heard := listen(t, client, stream)
	e := event("1")
	e.Set("knativebrokerttl", "7")
	publish(t, g, stream, e)
	got, err := rawevent.FromJSON([]byte((<-heard).Payload))
	if err != nil || got.ID() != "1" || string(got.Data) != `{"n": 1}` {
		t.Errorf("heard %+v (%v)", got, err)
	}
	if _, found := got.Attribute("knativebrokerttl"); found {
		t.Error("the hop limit is in the message")
	}
	if n := client.XLen(context.Background(), state.DeadLetterStream(stream)).Val(); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// TestConnectionsAreUsedAgain: deliveries share as many connections as there are workers.
func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	const events, workers = 200, 4
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	var opened atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, strings.Repeat("x", 8<<10)) // more than is kept of it
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	g := start(t, client, subscribed(oneStream(stream), server.URL, func(c *delivery.Config) { c.Concurrency = workers }))
	for i := range events {
		publish(t, g, stream, event(fmt.Sprint(i)))
	}
	redistest.Eventually(t, "all are settled", func() bool {
		return counter(t, g.registry, "streamgate_deliveries_total") == events
	})
	if n := opened.Load(); n > workers {
		t.Errorf("%d connections for %d workers", n, workers)
	}
}

// TestAnswersAreBounded: a sink that never stops talking costs its connection, and a delivery ends in time.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 400} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			var sent atomic.Int64
			url := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				chunk := []byte(strings.Repeat("x", 64<<10))
				for {
					n, err := w.Write(chunk)
					sent.Add(int64(n))
					if err != nil {
						return
					}
				}
			}))
			g := start(t, client, subscribed(oneStream(stream), url, strict(0)))
			publish(t, g, stream, event("1"))
			redistest.Eventually(t, "it is dead-lettered", func() bool {
				return client.XLen(context.Background(), state.DeadLetterStream(stream)).Val() == 1
			})
			if n := sent.Load(); n > 64<<20 { // what the network and its buffers take
				t.Errorf("%d bytes were read", n)
			}
			letter := readEvents(t, client, state.DeadLetterStream(stream))[0]
			if data, _ := letter.Attribute("knativeerrordata"); len(data) > 1400 {
				t.Errorf("the dead letter keeps %d bytes of it", len(data))
			}
		})
	}
}

// TestBodyWithoutEndIsIgnored: a 2xx whose body is not a reply is a success, even if the body never ends.
func TestBodyWithoutEndIsIgnored(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	url := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	g := start(t, client, subscribed(oneStream(stream), url, func(c *delivery.Config) { c.Delivery.Retry = 0 }))
	publish(t, g, stream, event("1"))
	redistest.Eventually(t, "it is delivered", func() bool { return delivered(t, g) == 1 && nothingPending(client, stream, "sub") })
}

// TestSlowSink: an answer that does not begin, and a reply that does not end, is none when timeout is over.
func TestSlowSink(t *testing.T) {
	t.Parallel()
	for _, begins := range []bool{false, true} {
		t.Run(fmt.Sprint(begins), func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			url := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if begins {
					w.Header().Set("Content-Type", rawevent.MediaTypeJSON)
					w.WriteHeader(http.StatusOK)
					_, _ = io.WriteString(w, "x")
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			}))
			g := start(t, client, subscribed(oneStream(stream), url+"/?token=secret", func(c *delivery.Config) {
				c.Delivery.Retry, c.Delivery.Timeout = 0, setting.Duration(100*time.Millisecond)
			}))
			publish(t, g, stream, event("1"))
			dead := state.DeadLetterStream(stream)
			redistest.Eventually(t, "it is dead-lettered", func() bool { return client.XLen(context.Background(), dead).Val() == 1 })
			letter := readEvents(t, client, dead)[0]
			if code, _ := letter.Attribute("knativeerrorcode"); code != "-1" {
				t.Errorf("knativeerrorcode is %q", code)
			}
			if strings.Contains(g.logs.String(), "secret") || strings.Contains(fmt.Sprint(letter), "secret") {
				t.Error("the secret of the address is in the log or in the dead letter")
			}
		})
	}
}

// TestRedirectsAreNotFollowed: an event goes nowhere but to the address that was configured.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	elsewhere := newSink(t, nil)
	statuses := []int{301, 302, 303, 307, 308}
	var asked atomic.Int64
	url := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", elsewhere.url)
		w.WriteHeader(statuses[int(asked.Add(1)-1)%len(statuses)])
	}))
	g := start(t, client, subscribed(oneStream(stream), url))
	for i := range statuses {
		publish(t, g, stream, event(fmt.Sprint(i)))
	}
	redistest.Eventually(t, "all are dead-lettered", func() bool {
		return client.XLen(context.Background(), state.DeadLetterStream(stream)).Val() == int64(len(statuses))
	})
	if n := len(elsewhere.all()); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}
