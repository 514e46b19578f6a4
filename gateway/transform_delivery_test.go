package gateway_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/gateway/transform"
	"github.com/streamgate/streamgate/internal/redistest"
)

// TestTransformedDelivery: the filters see the event as it is stored, the sink as it is changed, and the dead letter is
// as it was stored, so that to redrive it changes it once.
func TestTransformedDelivery(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newSink(t, nil)
	g := start(t, client, subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
		c.Filters = []filter.Config{{Exact: map[string]string{"type": "com.example.created"}}}
		c.Transform = &transform.Config{Set: map[string]string{"type": "{type}.v2", "place": "{data:place}"}, Wrap: "item"}
	}))
	good, bad := event("good"), event("bad")
	good.Data = []byte(`{"place":"Rome"}`)
	publish(t, g, stream, good, bad)
	redistest.Eventually(t, "both are done with", func() bool { return len(s.ids()) == 1 && nothingPending(client, stream, "sub") })
	got := s.all()[0]
	if place, _ := got.event.Attribute("place"); got.event.Type() != "com.example.created.v2" || place != "Rome" || string(got.body) != `{"item":{"place":"Rome"}}` {
		t.Errorf("delivered %s", got.event.AppendJSON(nil))
	}
	dead := readEvents(t, client, state.DeadLetterStream(stream))
	if len(dead) != 1 || dead[0].ID() != "bad" || dead[0].Type() != "com.example.created" || string(dead[0].Data) != string(bad.Data) {
		t.Fatalf("dead letters: %+v", dead)
	}
	if code, _ := dead[0].Attribute("knativeerrorcode"); code != "422" {
		t.Errorf("the code is %q", code)
	}
	if n := counter(t, g.registry, "streamgate_transform_errors_total"); n != 1 {
		t.Errorf("%v errors are counted", n)
	}
}

// TestTransformedIntoAStream: the event is changed on its way into another stream, and that of the first stays.
func TestTransformedIntoAStream(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	c := intoStream(stream, stream+"-to")
	c.Subscriptions[0].Transform = &transform.Config{Set: map[string]string{"subject": "{id}"}, Unwrap: "n"}
	g := start(t, client, c)
	publish(t, g, stream, event("1"))
	redistest.Eventually(t, "it is handed on", func() bool { return client.XLen(context.Background(), stream+"-to").Val() == 1 })
	if e := readEvents(t, client, stream+"-to")[0]; e.Subject() != "1" || string(e.Data) != "1" {
		t.Errorf("handed on: %s", e.AppendJSON(nil))
	}
	if e := readEvents(t, client, stream)[0]; e.Subject() != "" || string(e.Data) != `{"n": 1}` {
		t.Errorf("the first has become %s", e.AppendJSON(nil))
	}
}

// TestTransformedSource: a source's events are changed before they are stored; one that cannot be is stored as it is,
// counted, and does not hold the others up.
func TestTransformedSource(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	c := withSource(oneStream(stream), func(ctx context.Context, env source.Env) error {
		list := emissions(0, 3)
		list[1].Event.DataContentType, list[1].Event.Data = "text/plain", []byte("x")
		for range 2 { // what was published is known by what the source says of it, not by what it has become
			if _, err := env.Outbox.Publish(ctx, list); err != nil {
				return err
			}
		}
		if list[0].Event.Subject() != "" {
			env.Logger.Error("the source's own event was changed")
		}
		<-ctx.Done()
		return nil
	})
	c.Sources[0].Transform = &transform.Config{Set: map[string]string{"subject": "{data:n}"}}
	g := start(t, client, c)
	redistest.Eventually(t, "all are published", func() bool { return client.XLen(context.Background(), stream).Val() == 3 })
	redistest.Eventually(t, "the second round is through", func() bool {
		return counter(t, g.registry, "streamgate_source_transform_errors_total") == 2
	})
	var subjects []string
	for _, e := range readEvents(t, client, stream) {
		subjects = append(subjects, e.Subject())
	}
	if !slices.Equal(subjects, []string{"1", "", "1"}) {
		t.Errorf("subjects %q", subjects)
	}
	if strings.Contains(g.logs.String(), "was changed") {
		t.Error("the source's own event was changed")
	}
}
