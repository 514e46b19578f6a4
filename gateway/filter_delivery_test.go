package gateway_test

import (
	"testing"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/internal/redistest"
)

// TestFilterErrorsAreCounted: an event on which a filter cannot be evaluated is not delivered, and does not stay pending.
func TestFilterErrorsAreCounted(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newSink(t, nil)
	g := start(t, client, subscribed(oneStream(stream), s.url, func(c *gateway.SubscriptionConfig) {
		c.Filters = []gateway.FilterConfig{{CESQL: "INT(level) > 3"}}
	}))
	high, low, none, odd := event("high"), event("low"), event("none"), event("odd")
	high.Set("level", "4")
	low.Set("level", "3")
	odd.Set("level", "much")
	publish(t, g, stream, none, low, odd, high)
	redistest.Eventually(t, "all are done with", func() bool {
		return counter(t, g.registry, "streamgate_deliveries_total", "filtered") == 3 && len(s.ids()) == 1
	})
	if ids := s.ids(); ids[0] != "high" {
		t.Errorf("delivered %v", ids)
	}
	if n := counter(t, g.registry, "streamgate_filter_errors_total"); n != 2 {
		t.Errorf("%v errors are counted", n)
	}
}
