package builtin_test

import (
	"context"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/source/builtin"
	"github.com/streamgate/streamgate/internal/redistest"
)

// TestFlatEntriesBecomeEvents: what the notebook writes becomes the event that its AsyncAPI document shows; entries
// that hold an event already are passed on; bytes that are not UTF-8 survive.
func TestFlatEntriesBecomeEvents(t *testing.T) {
	t.Parallel()
	client, from, stream := redistest.Shared(t).Client(), redistest.Stream(t), redistest.Stream(t)
	for _, fields := range [][]string{
		{"subject", "https://example.com/a?b&c", "producer", "project-a", "href", "https://example.com/a?b&c"},
		{"ce_specversion", "1.0", "ce_id", "own", "ce_source", "/s", "ce_type", "t", "data", "x"},
		{"blob", "\xff"},
		{"ce", `{"specversion":"1.0","id":"tm","source":"/broker","type":"t"}`}, // TriggerMesh's
		{"k", "a", "k", "b"}, // no event
		{"last", "1"},
	} {
		if err := client.XAdd(context.Background(), &redis.XAddArgs{Stream: from, Values: fields}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	c := builtin.NewRedisConfig()
	c.From, c.Event.Type = from, "acme.stream-collector.completed"
	start(t, client, stream, c)
	redistest.Eventually(t, "five events are published", func() bool { return len(events(t, client, stream)) == 5 })
	list := events(t, client, stream)
	first := &list[0]
	if first.Type() != "acme.stream-collector.completed" || first.Source() != "/streams/"+from || !strings.HasPrefix(first.ID(), from+"/") ||
		first.Subject() != "https://example.com/a?b&c" || string(first.Data) != `{"producer":"project-a","href":"https://example.com/a?b&c"}` {
		t.Errorf("%+v %s", first, first.Data)
	}
	if at, found := first.Attribute("time"); !found || !strings.HasSuffix(at, "Z") {
		t.Errorf("time is %q", at)
	}
	if list[1].ID() != "own" || string(list[1].Data) != "x" {
		t.Errorf("%+v", list[1])
	}
	if string(list[2].Data) != `{"blob_base64":"/w=="}` || list[3].ID() != "tm" || string(list[4].Data) != `{"last":"1"}` {
		t.Errorf("%s, %+v, %s", list[2].Data, list[3], list[4].Data)
	}
}

func TestRedisConfigIsChecked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*builtin.RedisConfig){
		"from":      func(c *builtin.RedisConfig) { c.From = "" },
		"startFrom": func(c *builtin.RedisConfig) { c.StartFrom = "yesterday" },
		"event":     func(c *builtin.RedisConfig) { c.Event.Type = "" },
		"layout":    func(c *builtin.RedisConfig) { c.Layout = "kafka" },
	} {
		c := builtin.NewRedisConfig()
		c.From = "old"
		if problems := c.Validate(""); len(problems) != 0 {
			t.Fatal(problems)
		}
		change(c)
		if problems := c.Validate(""); len(problems) != 1 || problems[0].Path != name || problems[0].Remedy == "" {
			t.Errorf("%s: %v", name, problems)
		}
	}
}
