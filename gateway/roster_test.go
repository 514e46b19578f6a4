package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/internal/redistest"
)

// guest returns a subscription to be applied.
func guest(name, stream, sink string, change ...func(*delivery.Config)) delivery.Config {
	s := delivery.NewConfig()
	s.Name, s.Stream, s.Sink.URI, s.StartFrom = name, stream, sink, "earliest"
	for _, f := range change {
		f(&s)
	}
	return s
}

// TestApply: subscriptions come, change and go while the gateway runs, and that of the configuration does not notice.
func TestApply(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	fixed, first, second := newSink(t, nil), newSink(t, nil), newSink(t, nil)
	g := start(t, client, subscribed(oneStream(stream), fixed.url))
	apply := func(configs ...delivery.Config) error {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		return g.Apply(ctx, configs)
	}
	got := func(s *testSink, want ...string) {
		t.Helper()
		redistest.Eventually(t, strings.Join(want, " ")+" delivered", func() bool { return len(s.ids()) >= len(want) })
		if ids := s.ids(); strings.Join(ids, " ") != strings.Join(want, " ") {
			t.Errorf("delivered %v, want %v", ids, want)
		}
	}
	publish(t, g, stream, event("1"))
	if err := apply(guest("guest", stream, first.url)); err != nil {
		t.Fatal(err)
	}
	got(first, "1")
	if n := len(g.Subscriptions()); n != 2 {
		t.Errorf("%d subscriptions", n)
	}
	if err := g.Ready(context.Background()); err != nil {
		t.Error(err)
	}
	if err := apply(guest("guest", stream, second.url)); err != nil { // it has changed, and goes on where it was
		t.Fatal(err)
	}
	publish(t, g, stream, event("2"))
	got(second, "2")
	got(fixed, "1", "2")
	if err := apply(); err != nil {
		t.Fatal(err)
	}
	publish(t, g, stream, event("3"))
	got(fixed, "1", "2", "3")
	got(second, "2")
	if n := len(g.Subscriptions()); n != 1 {
		t.Errorf("%d subscriptions after the other has gone", n)
	}
	if n := counter(t, g.registry, "streamgate_subscription_lag"); n < 0 {
		t.Error("the figures of the remaining subscription are gone, too")
	}
	if err := g.Forget(context.Background(), stream, "guest"); err != nil {
		t.Fatal(err)
	}
	if err := g.Forget(context.Background(), stream, "guest"); err != nil {
		t.Errorf("forgotten again: %v", err)
	}
	groups, err := client.XInfoGroups(context.Background(), stream).Result()
	if err != nil || len(groups) != 1 || groups[0].Name != "streamgate:sub" {
		t.Errorf("groups %+v, %v", groups, err)
	}
}

// TestApplyWrong: what is wrong with one does not keep the others from running.
func TestApplyWrong(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newSink(t, nil)
	g := start(t, client, subscribed(oneStream(stream), s.url))
	err := g.Apply(context.Background(), []delivery.Config{
		guest("sub", stream, s.url), guest("elsewhere", "no-such-stream", s.url), guest("good", stream, s.url),
		guest("nowhere", stream, "ftp://example.com/"),
	})
	for _, part := range []string{`subscription "sub": name: there are two`, `subscription "elsewhere": stream: there is no stream`, `subscription "nowhere": sink.uri`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not tell of %s", err, part)
		}
	}
	if n := len(g.Subscriptions()); n != 2 {
		t.Errorf("%d subscriptions run", n)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	g.stop()
	if err := g.Apply(ended, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("applied to a gateway that has stopped: %v", err)
	}
}

// TestGuestStopsWithWorkInHand: what its sink is busy with is finished, or left to whoever has the subscription next.
func TestGuestStopsWithWorkInHand(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	begun, release := make(chan struct{}, 1), make(chan struct{})
	s := newSink(t, func(*http.Request, int) int {
		begun <- struct{}{}
		<-release
		return 202
	})
	g := start(t, client, oneStream(stream))
	if err := g.Apply(context.Background(), []delivery.Config{guest("guest", stream, s.url)}); err != nil {
		t.Fatal(err)
	}
	publish(t, g, stream, event("1"))
	<-begun
	applied := make(chan error, 1)
	go func() { applied <- g.Apply(context.Background(), nil) }()
	redistest.Eventually(t, "it is not listed any more", func() bool { return len(g.Subscriptions()) == 0 })
	close(release)
	if err := <-applied; err != nil {
		t.Fatal(err)
	}
	pending, err := client.XPending(context.Background(), stream, "streamgate:guest").Result()
	if err != nil || pending.Count != 0 {
		t.Errorf("pending %+v, %v", pending, err)
	}
}
