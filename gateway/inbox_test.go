package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func putIntoInbox(t *testing.T, client redis.UniversalClient, stream string, n int) {
	t.Helper()
	sender, err := redisstreams.NewSender(client, state.InboxStream(stream, "sub"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		e := event(fmt.Sprint("inbox-", i))
		if _, err := sender.Append(context.Background(), &e); err != nil {
			t.Fatal(err)
		}
	}
}

// TestInbox: what is in the inbox of a subscription goes to its sink, once, beside what is in the stream, whatever the
// order of delivery is; then the inbox is gone.
func TestInbox(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"none", "byKey"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			failed := false
			s := newSink(t, func(r *http.Request, _ int) int {
				if r.Header.Get("Ce-Id") == "inbox-7" && !failed {
					failed = true
					return 500
				}
				return 202
			})
			change := func(c *delivery.Config) { c.Order, c.Concurrency = order, 1 } // so that failed needs no lock
			g := start(t, client, subscribed(oneStream(stream), s.url, change))
			start(t, client, subscribed(oneStream(stream), s.url, change)) // two replicas
			publish(t, g, stream, event("ordinary"))
			putIntoInbox(t, client, stream, 20)
			redistest.Eventually(t, "all are delivered", func() bool { return len(s.ids()) == 21 })
			redistest.Eventually(t, "the inbox is gone", func() bool {
				return client.Exists(context.Background(), state.InboxStream(stream, "sub")).Val() == 0
			})
			if n := len(s.all()); n > 22 {
				t.Errorf("%d requests for 21 events, of which one had to be repeated", n)
			}
			putIntoInbox(t, client, stream, 21)
			redistest.Eventually(t, "it works again", func() bool { return len(s.ids()) == 22 })
		})
	}
}

// TestInboxOfASinkThatRefuses: an event from an inbox becomes a dead letter like any other.
func TestInboxOfASinkThatRefuses(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newSink(t, func(*http.Request, int) int { return 400 })
	start(t, client, subscribed(oneStream(stream), s.url))
	putIntoInbox(t, client, stream, 1)
	redistest.Eventually(t, "there is a dead letter", func() bool {
		return client.XLen(context.Background(), state.DeadLetterStream(stream)).Val() == 1
	})
	redistest.Eventually(t, "the inbox is gone", func() bool {
		return client.Exists(context.Background(), state.InboxStream(stream, "sub")).Val() == 0
	})
}
