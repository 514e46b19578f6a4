package gateway_test

import (
	"slices"
	"testing"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// TestFilterErrorsAreCounted: an event on which a filter cannot be evaluated is not delivered, and does not stay
// pending.
func TestFilterErrorsAreCounted(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newSink(t, nil)
	g := start(t, client, subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
		c.Filters = []filter.Config{{CESQL: "INT(level) > 3"}}
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

// TestAreasOfInterest: one stream of items serves many areas, each with its own sink, and areas that come later.
func TestAreasOfInterest(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	west, east := newSink(t, nil), newSink(t, nil)
	area := func(c *delivery.Config, minX, maxX float64) {
		c.Filters = []filter.Config{
			{Prefix: map[string]string{"type": "org.ogc.api.collection.item."}},
			{Intersects: &filter.IntersectsConfig{BBox: []float64{minX, 0, maxX, 10}}},
		}
	}
	g := start(t, client, subscribed(oneStream(stream), west.url, func(c *delivery.Config) { area(c, -20, -10) }))
	item := func(id, place string) rawevent.Event {
		e := event(id)
		e.Set("type", "org.ogc.api.collection.item.create")
		e.DataContentType, e.Data = "application/geo+json", []byte(`{"type":"Feature","id":"x",`+place+`}`)
		return e
	}
	publish(t, g, stream, item("west", `"bbox":[-15,1,-14,2]`), item("both", `"bbox":[-15,1,14,2]`), item("nowhere", `"geometry":null`), event("other"),
		item("east", `"geometry":{"type":"Point","coordinates":[15,5]}`))
	if err := g.Apply(t.Context(), []delivery.Config{guest("east", stream, east.url, func(c *delivery.Config) { area(c, 10, 20) })}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		sink *testSink
		want []string
	}{"west": {west, []string{"both", "west"}}, "east": {east, []string{"both", "east"}}} {
		redistest.Eventually(t, name+" has what it wants", func() bool { return len(c.sink.ids()) == 2 })
		if got := slices.Sorted(slices.Values(c.sink.ids())); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	redistest.Eventually(t, "the others are done with", func() bool { return counter(t, g.registry, "streamgate_deliveries_total", "filtered") == 6 })
}
