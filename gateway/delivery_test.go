package gateway_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func publish(t testing.TB, g *running, stream string, events ...rawevent.Event) {
	t.Helper()
	for i := range events {
		if _, err := g.Publisher().Publish(context.Background(), stream, &events[i]); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeliveryInBothFormats(t *testing.T) {
	t.Parallel()
	for format, check := range map[string]func(r request) error{
		"binary": func(r request) error {
			if r.header.Get("Ce-Id") != "ä 1" && r.header.Get("Ce-Id") != "%C3%A4%201" || r.header.Get("Content-Type") != "application/json" {
				return fmt.Errorf("headers %v", r.header)
			}
			if string(r.body) != `{"n": 1}` {
				return fmt.Errorf("body %s", r.body)
			}
			return nil
		},
		"json": func(r request) error {
			if r.header.Get("Content-Type") != rawevent.MediaTypeJSON || r.header.Get("Ce-Id") != "" {
				return fmt.Errorf("headers %v", r.header)
			}
			return nil
		},
	} {
		for _, mode := range []string{"binary", "structured"} {
			t.Run(format+" from "+mode, func(t *testing.T) {
				t.Parallel()
				client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
				s := newSink(t, nil)
				c := subscribed(oneStream(stream), s.url, func(c *delivery.Config) { c.Delivery.Format = format })
				c.Streams[0].ContentMode = mode
				g := start(t, client, c)
				e := event("ä 1")
				e.Set("subject", `100% "of" €`)
				publish(t, g, stream, e)
				redistest.Eventually(t, "the event arrives and is acknowledged", func() bool {
					return len(s.all()) == 1 && nothingPending(client, stream, "sub")
				})
				got := s.all()[0]
				if err := check(got); err != nil {
					t.Error(err)
				}
				if got.event.Subject() != e.Subject() || got.event.ID() != e.ID() || string(got.event.Data) != `{"n": 1}` {
					t.Errorf("got %+v", got.event)
				}
			})
		}
	}
}

func TestFiltersDecideWhatIsDelivered(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newSink(t, nil)
	g := start(t, client, subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
		c.Filters = []filter.Config{
			{Prefix: map[string]string{"subject": "https://"}},
			{Not: &filter.Config{Exact: map[string]string{"type": "unwanted"}}},
		}
	}))
	wanted, unwanted, without := event("wanted"), event("unwanted"), event("without")
	wanted.Set("subject", "https://example.com/a")
	unwanted.Set("subject", "https://example.com/b")
	unwanted.Set("type", "unwanted")
	publish(t, g, stream, unwanted, without, wanted)
	redistest.Eventually(t, "everything is settled", func() bool { return len(s.all()) > 0 && nothingPending(client, stream, "sub") })
	if ids := s.ids(); !slices.Equal(ids, []string{"wanted"}) {
		t.Errorf("delivered: %v", ids)
	}
	if n := counter(t, g.registry, "streamgate_deliveries_total", "filtered"); n != 2 {
		t.Errorf("%v filtered, want 2", n)
	}
}

// TestWhatIsRetriedAndWhatIsNot follows Knative: no response, 5xx, 404, 408, 409 and 429 are tried again.
func TestWhatIsRetriedAndWhatIsNot(t *testing.T) {
	t.Parallel()
	const retries = 3
	for status, attempts := range map[int]int{
		500: retries + 1, 501: retries + 1, 404: retries + 1, 408: retries + 1, 409: retries + 1,
		400: 1, 401: 1, 403: 1, 410: 1, 413: 1, 415: 1, 302: 1, 307: 1,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			s := newSink(t, func(*http.Request, int) int { return status })
			g := start(t, client, subscribed(oneStream(stream), s.url+"/in?token=secret", func(c *delivery.Config) {
				c.Delivery.Retry = retries
			}))
			e := event("1")
			publish(t, g, stream, e)
			dead := state.DeadLetterStream(stream)
			redistest.Eventually(t, "the event is dead-lettered", func() bool {
				return client.XLen(context.Background(), dead).Val() == 1 && nothingPending(client, stream, "sub")
			})
			if n := len(s.all()); n != attempts {
				t.Errorf("%d attempts, want %d", n, attempts)
			}
			got := readEvents(t, client, dead)[0]
			if got.ID() != e.ID() || got.Source() != e.Source() || string(got.Data) != string(e.Data) {
				t.Errorf("the dead letter is not the event: %+v", got)
			}
			if code, _ := got.Attribute("knativeerrorcode"); code != fmt.Sprint(status) {
				t.Errorf("knativeerrorcode is %q", code)
			}
			if dest, _ := got.Attribute("knativeerrordest"); dest != s.url+"/in" {
				t.Errorf("knativeerrordest is %q, want the address without its query", dest)
			}
			if strings.Contains(g.logs.String(), "secret") {
				t.Error("the log holds the secret of the sink's address")
			}
		})
	}
}

// TestOutageUsesUpNoRetries: a sink that says it is unavailable is left alone but for a probe now and then, for much
// longer than the retries of an event would last, and then gets everything.
func TestOutageUsesUpNoRetries(t *testing.T) {
	t.Parallel()
	for _, status := range []int{502, 503, 504, 429} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			const events, retries = 20, 3
			var requests atomic.Int64
			s := newSink(t, func(*http.Request, int) int {
				if requests.Add(1) <= 2*retries { // what opens the circuit, and three probes
					return status
				}
				return 202
			})
			g := start(t, client, subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
				c.Delivery.Retry, c.Concurrency = retries, 1
			}))
			for i := range events {
				publish(t, g, stream, event(fmt.Sprint(i)))
			}
			delivered := func() float64 { return counter(t, g.registry, "streamgate_deliveries_total", "delivered") }
			redistest.Eventually(t, "all are delivered", func() bool { return delivered() == events })
			if n := client.XLen(context.Background(), state.DeadLetterStream(stream)).Val(); n != 0 {
				t.Errorf("%d dead letters", n)
			}
			if logs := g.logs.String(); strings.Count(logs, "the sink does not take events") != 1 || strings.Count(logs, "the sink takes events again") != 1 {
				t.Errorf("the outage is not logged once:\n%s", logs)
			}
		})
	}
}

func readEvents(t testing.TB, client redis.UniversalClient, stream string) []rawevent.Event {
	t.Helper()
	entries, err := redisstreams.ReadAfter(context.Background(), client, stream, "0", 1000, -1)
	if err != nil {
		t.Fatal(err)
	}
	events := make([]rawevent.Event, len(entries))
	for i := range entries {
		if events[i], err = entries[i].Event(); err != nil {
			t.Fatal(err)
		}
		if err := events[i].Validate(); err != nil {
			t.Fatal(err)
		}
	}
	return events
}

func TestNoResponseIsRetriedUntilTheSinkIsThere(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	broken := true
	var mu sync.Mutex
	s := newSink(t, func(*http.Request, int) int {
		mu.Lock()
		defer mu.Unlock()
		if broken {
			panic(http.ErrAbortHandler) // closes the connection without an answer
		}
		return 202
	})
	g := start(t, client, subscribed(oneStream(stream), s.url, func(c *delivery.Config) { c.Delivery.Retry = 1000 }))
	publish(t, g, stream, event("1"))
	redistest.Eventually(t, "there were some attempts", func() bool { return len(s.all()) >= 3 })
	mu.Lock()
	broken = false
	mu.Unlock()
	redistest.Eventually(t, "the event is delivered", func() bool { return nothingPending(client, stream, "sub") })
	if n := client.XLen(context.Background(), state.DeadLetterStream(stream)).Val(); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	var mu sync.Mutex
	var times []time.Time
	s := newSink(t, nil)
	s.answer = func(*http.Request, int) int { return 200 }
	front := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		times = append(times, time.Now())
		first := len(times) == 1
		mu.Unlock()
		if first {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		s.ServeHTTP(w, r)
	})
	server := newServer(t, front)
	g := start(t, client, subscribed(oneStream(stream), server))
	publish(t, g, stream, event("1"))
	redistest.Eventually(t, "the event is delivered", func() bool { return nothingPending(client, stream, "sub") })
	mu.Lock()
	defer mu.Unlock()
	if len(times) != 2 || times[1].Sub(times[0]) < time.Second {
		t.Errorf("attempts at %v; the sink asked for a second in between", times)
	}
}

// TestRetriesHoldNoWorker: with one worker, an event that waits for its next attempt does not keep others from going.
func TestRetriesHoldNoWorker(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newSink(t, func(r *http.Request, _ int) int {
		if r.Header.Get("Ce-Id") == "bad" {
			return 500
		}
		return 202
	})
	g := start(t, client, subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
		c.Concurrency = 1
		c.Delivery.BackoffDelay, c.Delivery.Retry = setting.Duration(time.Hour), 5
	}))
	publish(t, g, stream, event("bad"), event("good-1"), event("good-2"))
	redistest.Eventually(t, "the others are delivered", func() bool { return slices.Equal(s.ids(), []string{"bad", "good-1", "good-2"}) })
}

// TestMalformedEntriesAreBuried: they are stored with the reason and their fields, and block nothing.
func TestMalformedEntriesAreBuried(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	ctx := context.Background()
	for _, fields := range [][]string{
		{"subject", "s", "producer", "p", "href", "h"},                                                       // not of this binding
		{"ce_specversion", "1.0", "ce_id", "1", "ce_id", "2", "ce_source", "/s", "ce_type", "t"},             // a field twice
		{"ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "t", "ce_subject", "\xff\xfe"}, // not UTF-8
		{"ce_specversion", "1.0", "ce_id", "1", "ce_source", "a b", "ce_type", "t"},                          // not valid
		{"content-type", "application/cloudevents+json", "data", "{"},
	} {
		if err := client.XAdd(ctx, &redis.XAddArgs{Stream: stream, Values: fields}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	s := newSink(t, nil)
	g := start(t, client, subscribed(oneStream(stream), s.url))
	publish(t, g, stream, event("good"))
	dead := state.DeadLetterStream(stream)
	redistest.Eventually(t, "everything is settled", func() bool {
		return client.XLen(ctx, dead).Val() == 5 && nothingPending(client, stream, "sub")
	})
	if ids := s.ids(); !slices.Equal(ids, []string{"good"}) {
		t.Errorf("delivered: %v", ids)
	}
	for i, letter := range readEvents(t, client, dead) {
		reason, _ := letter.Attribute("knativeerrordata")
		text, err := base64.StdEncoding.DecodeString(reason)
		if err != nil || letter.Type() != "dev.streamgate.entry.malformed" || !strings.HasPrefix(letter.ID(), stream+"/") || len(text) == 0 {
			t.Errorf("dead letter %d: %+v, reason %q", i, letter, text)
		}
		if i == 0 && string(letter.Data) != `{"subject":"s","producer":"p","href":"h"}` {
			t.Errorf("the fields became %s", letter.Data)
		}
		if i == 2 && !strings.Contains(string(letter.Data), `"ce_subject_base64":"//4="`) {
			t.Errorf("the fields became %s", letter.Data)
		}
	}
	if n := counter(t, g.registry, "streamgate_entries_malformed_total"); n != 5 {
		t.Errorf("%v counted, want 5", n)
	}
}

// TestUnknownFormatIsPassedOn: an event in a format that is not understood goes on as it is.
func TestUnknownFormatIsPassedOn(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	err := client.XAdd(context.Background(), &redis.XAddArgs{
		Stream: stream, Values: []string{"content-type", "application/cloudevents+avro", "data", "\x00\x01"},
	}).Err()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	url := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 10)
		n, _ := r.Body.Read(body)
		got <- r.Header.Get("Content-Type") + string(body[:n])
		w.WriteHeader(http.StatusAccepted)
	}))
	start(t, client, subscribed(oneStream(stream), url))
	if s := <-got; s != "application/cloudevents+avro\x00\x01" {
		t.Errorf("got %q", s)
	}
	redistest.Eventually(t, "it is acknowledged", func() bool { return nothingPending(client, stream, "sub") })
}

// TestEventInAnEvent: an event whose data is an event stays the outer one, all the way; nobody can smuggle one past the
// filters by wrapping it.
func TestEventInAnEvent(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newSink(t, nil)
	g := start(t, client, subscribed(oneStream(stream), s.url))
	outer := event("outer")
	outer.DataContentType, outer.Data = rawevent.MediaTypeJSON, []byte(`{"specversion":"1.0","id":"inner","source":"/evil","type":"t"}`)
	publish(t, g, stream, outer)
	redistest.Eventually(t, "it is delivered", func() bool { return nothingPending(client, stream, "sub") })
	if got := s.all(); len(got) != 1 || got[0].event.ID() != "outer" || string(got[0].event.Data) != string(outer.Data) {
		t.Errorf("delivered: %+v", got)
	}
}

// TestTwoGatewaysShareTheWork: each event goes to one of them.
func TestTwoGatewaysShareTheWork(t *testing.T) {
	t.Parallel()
	const n = 300
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newSink(t, nil)
	c := subscribed(oneStream(stream), s.url, func(c *delivery.Config) { c.Concurrency = 4 })
	first, second := start(t, client, c), start(t, client, c)
	for i := range n {
		publish(t, first, stream, event(fmt.Sprint(i)))
	}
	redistest.Eventually(t, "everything is delivered", func() bool { return len(s.ids()) == n && nothingPending(client, stream, "sub") })
	if all := len(s.all()); all != n {
		t.Errorf("%d deliveries of %d events", all, n)
	}
	for name, g := range map[string]*running{"first": first, "second": second} {
		if counter(t, g.registry, "streamgate_deliveries_total", "delivered") == 0 {
			t.Errorf("the %s gateway delivered nothing", name)
		}
	}
}

// TestStopFinishesWorkAndHandsOverTheRest: what is in work is finished within the time to shut down; what is parked or
// was not begun goes to another gateway at once, without waiting for the lease.
func TestStopFinishesWorkAndHandsOverTheRest(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	release, begun := make(chan struct{}), make(chan struct{}, 10)
	var mu sync.Mutex
	failing := true
	s := newSink(t, func(r *http.Request, _ int) int {
		switch r.Header.Get("Ce-Id") {
		case "slow":
			begun <- struct{}{}
			<-release
		case "parked":
			mu.Lock()
			defer mu.Unlock()
			if failing {
				begun <- struct{}{}
				return 500
			}
		}
		return 202
	})
	c := subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
		c.Delivery.BackoffDelay = setting.Duration(time.Hour)
	})
	first := start(t, client, c)
	publish(t, first, stream, event("slow"), event("parked"))
	<-begun
	<-begun
	stopped := make(chan struct{})
	go func() { first.stop(); close(stopped) }()
	redistest.Eventually(t, "the first gateway takes nothing more in", func() bool { return first.Ready(context.Background()) != nil })
	close(release)
	<-stopped
	mu.Lock()
	failing = false
	mu.Unlock()
	if waiting := client.HLen(context.Background(), state.RetriesKey(stream, "sub")).Val(); waiting != 1 {
		t.Errorf("%d records of retries that wait, want 1", waiting)
	}
	c.Subscriptions[0].Delivery.BackoffDelay = setting.Duration(time.Millisecond) // brings the attempt forward
	start(t, client, c)
	redistest.Eventually(t, "the second gateway delivers the rest", func() bool { return nothingPending(client, stream, "sub") })
	slow := 0
	for _, r := range s.all() {
		if r.event.ID() == "slow" {
			slow++
		}
	}
	if slow != 1 {
		t.Errorf("the event in work was delivered %d times, want once", slow)
	}
}

// TestRedisKilledWhileDelivering: nothing that was accepted is missing afterwards, and delivery goes on soon.
func TestRedisKilledWhileDelivering(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.WithAOF("always"))
	client, stream := server.Client(), redistest.Stream(t)
	s := newSink(t, nil)
	g := start(t, client, subscribed(oneStream(stream), s.url))
	accepted := map[string]bool{}
	for i := range 300 {
		if i == 100 || i == 200 {
			server.Kill()
			server.Restart()
		}
		id := fmt.Sprint(i)
		if status, _ := post(t, g.url, event(id)); status == 202 {
			accepted[id] = true
		}
	}
	server.Kill()
	server.Restart()
	back := time.Now()
	redistest.Eventually(t, "an event is accepted again", func() bool {
		status, _ := post(t, g.url, event("last"))
		accepted["last"] = accepted["last"] || status == 202
		return accepted["last"]
	})
	redistest.Eventually(t, "everything accepted is delivered", func() bool {
		ids := s.ids()
		for id := range accepted {
			if _, found := slices.BinarySearch(ids, id); !found {
				return false
			}
		}
		return true
	})
	t.Logf("accepted %d, all delivered %s after Redis was back", len(accepted), time.Since(back))
	if took := time.Since(back); took > 4*time.Second { // within 2 s without the race detector and the load of other tests
		t.Errorf("it took %s after Redis was back", took)
	}
	if len(accepted) < 200 {
		t.Errorf("only %d of 300 were accepted", len(accepted))
	}
}

// TestLostGroupKeepsWhatIsInWork: after the group has disappeared, events that wait for their next attempt, and one
// that is being delivered, are delivered all the same.
func TestLostGroupKeepsWhatIsInWork(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	begun, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var mu sync.Mutex
	lost, accepted := false, map[string]bool{}
	t.Cleanup(sync.OnceFunc(func() {
		select {
		case <-release:
		default:
			close(release)
		}
	}))
	s := newSink(t, func(r *http.Request, _ int) int {
		id := r.Header.Get("Ce-Id")
		if id == "slow" {
			first := false
			once.Do(func() { first = true })
			if first {
				close(begun)
				<-release
				return 500
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if !lost {
			return 500
		}
		accepted[id] = true
		return 202
	})
	g := start(t, client, subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
		c.Delivery.Retry, c.Delivery.BackoffDelay = 1000, setting.Duration(500*time.Millisecond)
		c.Delivery.BackoffPolicy = "linear"
	}))
	publish(t, g, stream, event("1"), event("2"), event("3"), event("slow"))
	<-begun
	redistest.Eventually(t, "three are parked", func() bool { return len(s.ids()) == 4 })
	if err := client.XGroupDestroy(context.Background(), stream, "streamgate:sub").Err(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	lost = true
	mu.Unlock()
	redistest.Eventually(t, "the group is made again", func() bool { return g.Ready(context.Background()) == nil })
	close(release)
	redistest.Eventually(t, "all four are delivered", func() bool { // perhaps twice: they are read again, too
		mu.Lock()
		defer mu.Unlock()
		return len(accepted) == 4
	})
	if n := counter(t, g.registry, "streamgate_groups_recreated_total"); n != 1 {
		t.Errorf("the loss was counted %v times", n)
	}
}

// TestSinkIsLeftAloneWhileTheDeadLetterCannotBeStored: the event was rejected once and for all.
func TestSinkIsLeftAloneWhileTheDeadLetterCannotBeStored(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	dead := state.DeadLetterStream(stream)
	if err := client.Set(context.Background(), dead, "no stream", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s := newSink(t, func(*http.Request, int) int { return 400 })
	g := start(t, client, subscribed(oneStream(stream), s.url))
	publish(t, g, stream, event("1"))
	redistest.Eventually(t, "storing was tried", func() bool { return strings.Contains(g.logs.String(), "cannot store dead letters") })
	if err := client.Del(context.Background(), dead).Err(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, "the dead letter is stored", func() bool {
		return client.XLen(context.Background(), dead).Val() == 1 && nothingPending(client, stream, "sub")
	})
	if n := len(s.all()); n != 1 {
		t.Errorf("the sink was asked %d times", n)
	}
}
