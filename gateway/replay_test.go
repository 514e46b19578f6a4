package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/deadletter"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/replay"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func inboxEvents(t *testing.T, client redis.UniversalClient, stream string) []rawevent.Event {
	t.Helper()
	return readEvents(t, client, state.InboxStream(stream, "sub"))
}

// addAt adds events with the ids MILLIS-SEQ given, so that the order of ids is tested where numbers and text differ.
func addAt(t *testing.T, client redis.UniversalClient, stream string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		e := event("e" + id)
		fields := redisstreams.AppendFields(nil, &e, nil)
		if err := client.XAdd(context.Background(), &redis.XAddArgs{Stream: stream, ID: id, Values: fields}).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// addGroup makes the group of the subscription sub, as a gateway does that has it.
func addGroup(t *testing.T, client redis.UniversalClient, stream string) {
	t.Helper()
	if err := client.XGroupCreateMkStream(context.Background(), stream, "streamgate:sub", "0").Err(); err != nil {
		t.Fatal(err)
	}
}

func idsOf(events []rawevent.Event) (ids []string) {
	for i := range events {
		ids = append(ids, events[i].ID())
	}
	return ids
}

func TestReplayBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		replay replay.Replay
		want   []string
	}{
		"all":    {replay.Replay{From: "earliest"}, []string{"e9-0", "e10-0", "e10-1", "e100-0"}},
		"behind": {replay.Replay{From: "9-0"}, []string{"e10-0", "e10-1", "e100-0"}},
		"to":     {replay.Replay{From: "earliest", To: "10-0"}, []string{"e9-0", "e10-0"}},
		"filter": {replay.Replay{From: "earliest", Filters: []filter.Config{{Suffix: map[string]string{"id": "0-0"}}}}, []string{"e10-0", "e100-0"}},
		"dry":    {replay.Replay{From: "earliest", DryRun: true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			addAt(t, client, stream, "9-0", "10-0", "10-1", "100-0")
			addGroup(t, client, stream)
			c.replay.Stream, c.replay.Subscription = stream, "sub"
			var last replay.Progress
			if err := c.replay.Run(context.Background(), client, func(p replay.Progress) { last = p }); err != nil {
				t.Fatal(err)
			}
			events := inboxEvents(t, client, stream)
			if !slices.Equal(idsOf(events), c.want) || last.Done != 1 {
				t.Errorf("%v, %+v", idsOf(events), last)
			}
			if c.replay.DryRun && last.Replayed != 4 {
				t.Errorf("%d counted", last.Replayed)
			}
			for i := range events {
				if marker, _ := events[i].Attribute("replay"); marker != c.replay.Name() {
					t.Errorf("the marker is %q", marker)
				}
			}
			if n := client.Exists(context.Background(), redisstreams.Key(stream, "replays")).Val(); n != 0 {
				t.Error("a cursor is left")
			}
		})
	}
}

// TestReplayGoesOnWhereItWasInterrupted, again and again: nothing is left out, nothing repeated.
func TestReplayGoesOnWhereItWasInterrupted(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	const events = 1050
	var ids []string
	for i := range events {
		ids = append(ids, fmt.Sprintf("%d-0", i+1))
	}
	addAt(t, client, stream, ids...)
	addGroup(t, client, stream)
	run := replay.Replay{Stream: stream, Subscription: "sub", From: "earliest"}
	runs, resumed := 0, 0
	for {
		ctx, cancel := context.WithCancel(context.Background())
		steps := 0
		err := run.Run(ctx, client, func(p replay.Progress) {
			if steps++; steps == 2 {
				cancel() // in the middle
			}
			if p.Resumed && steps == 1 {
				resumed++
			}
		})
		cancel()
		if runs++; err == nil {
			break
		}
		if runs > events {
			t.Fatal(err)
		}
	}
	got := idsOf(inboxOf(t, client, stream, events))
	if len(got) != events || runs < 3 || resumed != runs-1 {
		t.Fatalf("%d events in %d runs, %d of them resumed", len(got), runs, resumed)
	}
	for i := range got {
		if got[i] != "e"+ids[i] {
			t.Fatalf("event %d is %s", i, got[i])
		}
	}
}

func inboxOf(t *testing.T, client redis.UniversalClient, stream string, n int) (events []rawevent.Event) {
	t.Helper()
	entries, err := redisstreams.ReadAfter(context.Background(), client, state.InboxStream(stream, "sub"), "0", n+1, -1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range entries {
		e, err := entries[i].Event()
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// TestReplayReachesOneSubscription: through the gateway, beside another subscription, without moving anybody's
// position.
func TestReplayReachesOneSubscription(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	mine, other := newSink(t, nil), newSink(t, nil)
	config := subscribed(oneStream(stream), mine.url)
	second := delivery.NewConfig()
	second.Name, second.Stream, second.Sink.URI = "other", stream, other.url
	config.Subscriptions = append(config.Subscriptions, second)
	g := start(t, client, config)
	publish(t, g, stream, event("1"), event("2"))
	redistest.Eventually(t, "both have both", func() bool { return len(mine.all()) == 2 && len(other.all()) == 2 })
	run := replay.Replay{Stream: stream, Subscription: "sub", From: "earliest", Rate: 1000}
	if err := run.Run(context.Background(), client, func(replay.Progress) {}); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, "the replay is delivered", func() bool { return len(mine.all()) == 4 })
	if n := len(other.all()); n != 2 {
		t.Errorf("the other one got %d", n)
	}
}

func TestRewind(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newSink(t, nil)
	g := start(t, client, subscribed(oneStream(stream), s.url))
	publish(t, g, stream, event("1"), event("2"), event("3"))
	redistest.Eventually(t, "all are delivered", func() bool { return len(s.all()) == 3 && nothingPending(client, stream, "sub") })
	if _, n, err := replay.Rewind(context.Background(), client, stream, "sub", "earliest", true); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	if _, n, err := replay.Rewind(context.Background(), client, stream, "sub", "earliest", false); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	redistest.Eventually(t, "all are delivered again", func() bool { return len(s.all()) == 6 })
	if _, _, err := replay.Rewind(context.Background(), client, stream, "nobody", "earliest", false); !errors.Is(err, state.ErrNoSubscription) {
		t.Error("a subscription that does not exist was moved:", err)
	}
}

// TestNobodyWouldReadTheInbox: what would wait for ever is refused, also where the stream itself does not exist.
func TestNobodyWouldReadTheInbox(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	addGroup(t, client, stream) // of another subscription
	for _, name := range []string{stream, stream + "-nosuch"} {
		run := replay.Replay{Stream: name, Subscription: "nobody", From: "earliest"}
		if err := run.Run(context.Background(), client, func(replay.Progress) {}); !errors.Is(err, state.ErrNoSubscription) {
			t.Errorf("replay of %s: %v", name, err)
		}
		letter := deadletter.Letter{ID: "1-0", Stream: name, Subscription: "nobody"}
		if err := deadletter.NewStore(client, "x").Redrive(context.Background(), &letter); !errors.Is(err, state.ErrNoSubscription) {
			t.Errorf("redrive to %s: %v", name, err)
		}
		if n := client.Exists(context.Background(), state.InboxStream(name, "nobody")).Val(); n != 0 {
			t.Error("something was put into the inbox")
		}
	}
}

// TestReplayRateHasNoBursts: at one event a second, the first one is not held back until a batch is full.
func TestReplayRateHasNoBursts(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	addAt(t, client, stream, "1-0", "2-0", "3-0")
	addGroup(t, client, stream)
	run := replay.Replay{Stream: stream, Subscription: "sub", From: "earliest", Rate: 0.5}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	steps := 0
	err := run.Run(ctx, client, func(replay.Progress) {
		if steps++; steps == 1 {
			cancel()
		}
	})
	if got := idsOf(inboxEvents(t, client, stream)); err == nil || !slices.Equal(got, []string{"e1-0"}) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestRedrive: a dead letter goes back to the subscription that failed, and to nobody else; when it fails again, that
// can be seen.
func TestRedrive(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s, other := newSink(t, func(*http.Request, int) int { return 400 }), newSink(t, nil)
	config := subscribed(oneStream(stream), s.url)
	second := delivery.NewConfig()
	second.Name, second.Stream, second.Sink.URI = "other", stream, other.url
	config.Subscriptions = append(config.Subscriptions, second)
	g := start(t, client, config)
	publish(t, g, stream, event("1"))
	dead := deadletter.NewStore(client, state.DeadLetterStream(stream))
	list := func(f deadletter.Filter) []deadletter.Letter {
		letters, _, err := dead.List(context.Background(), &f, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		return letters
	}
	redistest.Eventually(t, "there is a dead letter", func() bool { return len(list(deadletter.Filter{})) == 1 })
	first := list(deadletter.Filter{})[0]
	if first.Subscription != "sub" || first.Stream != stream || first.Code != 400 || first.Attempts != 1 || first.Redriven != 0 ||
		first.First == "" || first.Last < first.First || first.EventID != "1" {
		t.Errorf("%+v", first)
	}
	if err := dead.Redrive(context.Background(), &first); err != nil {
		t.Fatal(err)
	}
	if err := dead.Redrive(context.Background(), &first); !errors.Is(err, deadletter.ErrNotFound) {
		t.Errorf("the same again: %v", err)
	}
	redistest.Eventually(t, "it fails again", func() bool { return len(list(deadletter.Filter{})) == 1 })
	again, err := dead.Get(context.Background(), list(deadletter.Filter{})[0].ID)
	if err != nil || again.Redriven != 1 || again.Subscription != "sub" {
		t.Errorf("%+v, %v", again, err)
	}
	if n := len(other.all()); n != 1 {
		t.Errorf("the other subscription got %d", n)
	}
	if err := dead.Discard(context.Background(), again.ID); err != nil || len(list(deadletter.Filter{})) != 0 {
		t.Error(err)
	}
}

func TestDeadLetterFilters(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	for _, c := range []struct{ entry, code, subscription, eventType string }{
		{"9-0", "500", "a", "com.example.x"}, {"10-0", "404", "b", "com.example.y"}, {"100-0", "-1", "a", "org.example.x"},
	} {
		e := event("of " + c.entry)
		e.Set("knativeerrorcode", c.code)
		e.Set("dlsubscription", c.subscription)
		e.Set("type", c.eventType)
		fields := redisstreams.AppendFields(nil, &e, nil)
		if err := client.XAdd(context.Background(), &redis.XAddArgs{Stream: stream, ID: c.entry, Values: fields}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	dead := deadletter.NewStore(client, stream)
	for name, c := range map[string]struct {
		filter deadletter.Filter
		want   []string
	}{
		"all":          {deadletter.Filter{}, []string{"9-0", "10-0", "100-0"}},
		"subscription": {deadletter.Filter{Subscription: "a"}, []string{"9-0", "100-0"}},
		"code":         {deadletter.Filter{Code: "404"}, []string{"10-0"}},
		"code class":   {deadletter.Filter{Code: "5xx"}, []string{"9-0"}},
		"no answer":    {deadletter.Filter{Code: "none"}, []string{"100-0"}},
		"type":         {deadletter.Filter{Type: "com.example.x"}, []string{"9-0"}},
		"types":        {deadletter.Filter{Type: "com.example.*"}, []string{"9-0", "10-0"}},
		"since":        {deadletter.Filter{Since: time.UnixMilli(10)}, []string{"10-0", "100-0"}},
		"until":        {deadletter.Filter{Until: time.UnixMilli(100)}, []string{"9-0", "10-0"}},
		"entries":      {deadletter.Filter{IDs: []string{"100-0", "7-7"}}, []string{"100-0"}},
		"event":        {deadletter.Filter{EventID: "of 10-0"}, []string{"10-0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for after := ""; ; { // page by page
				letters, next, err := dead.List(context.Background(), &c.filter, after, 1)
				if err != nil {
					t.Fatal(err)
				}
				for i := range letters {
					got = append(got, letters[i].ID)
				}
				if after = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	if _, err := dead.Get(context.Background(), "11-0"); !errors.Is(err, deadletter.ErrNotFound) {
		t.Error(err)
	}
	if letter, err := dead.Get(context.Background(), "10-0"); err != nil || letter.Code != 404 {
		t.Error(letter, err)
	}
}
