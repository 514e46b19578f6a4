package builtin_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/source/builtin"
	"github.com/streamgate/streamgate/internal/redistest"
)

// TestEntriesOfOtherProgramsBecomeEvents: by default, and by the keys of the source, an entry becomes what it is. The
// entries are as FastStream, Debezium Server, taskiq, BullMQ and Spring Data Redis write them.
func TestEntriesOfOtherProgramsBecomeEvents(t *testing.T) {
	t.Parallel()
	const event = `{"specversion":"1.0","id":"name:pg;lsn:1","source":"/debezium/postgresql/pg","type":"io.debezium.Change","data":{"id":1}}`
	const passed = `name:pg;lsn:1 /debezium/postgresql/pg io.debezium.Change  application/json {"id":1}`
	const odd = `{"SPECVERSION":"1.0","id":"7","source":"/s","type":"t","subject":null}`
	fields := func(f builtin.RedisFieldsConfig) func(*builtin.RedisConfig) {
		return func(c *builtin.RedisConfig) { c.Fields = f }
	}
	for name, c := range map[string]struct {
		fields []string
		change func(*builtin.RedisConfig)
		want   string // id, source, type, subject, media type and data; ENTRY and STREAM are those of the entry
	}{
		"faststream": {[]string{"__data__", "\x89BIN\r\n\x1a\n\x00\x01\x00\x00\x00\x12\x00\x00\x00\x14\x00\x00{}"}, nil,
			`STREAM/ENTRY /streams/STREAM dev.streamgate.entry  application/json {}`},
		"debezium, compact":         {[]string{`{"id":1}`, event}, nil, passed},
		"debezium, extended":        {[]string{"key", `{"id":1}`, "value", event}, nil, passed},
		"an event in a field":       {[]string{"notice", event}, nil, passed},
		"an event in a named field": {[]string{"notice", event, "error", "x"}, fields(builtin.RedisFieldsConfig{Event: "notice"}), passed},
		"with a byte order mark":    {[]string{"notice", "\ufeff" + event, "error", "x"}, fields(builtin.RedisFieldsConfig{Event: "notice"}), passed},
		"to be repaired": {[]string{"notice", odd, "x", "y"}, func(c *builtin.RedisConfig) {
			c.Fields.Event, c.Validation = "notice", "lenient"
		}, `7 /s t   `},
		"taskiq": {[]string{"data", `{"task_id":"f72d","task_name":"tq:add","args":[1,2]}`}, func(c *builtin.RedisConfig) {
			c.Fields = builtin.RedisFieldsConfig{Data: "data", ID: "data.task_id"}
			c.Event.Type, c.Event.Subject = "org.taskiq.{data:task_name}", "{stream}/{entryId}"
		}, `f72d /streams/STREAM org.taskiq.tq:add STREAM/ENTRY application/json {"task_id":"f72d","task_name":"tq:add","args":[1,2]}`},
		"bullmq": {[]string{"event", "completed", "jobId", "1", "returnvalue", `{"ok":true,"n":NaN}`}, func(c *builtin.RedisConfig) {
			c.Fields.JSON, c.Event.Type, c.Event.Subject = []string{"returnvalue"}, "bullmq.{field:event}", "{field:jobId?}"
		}, `STREAM/ENTRY /streams/STREAM bullmq.completed 1 application/json {"event":"completed","jobId":"1","returnvalue":{"ok":true,"n":null}}`},
		"bullmq, drained": {[]string{"event", "drained"}, func(c *builtin.RedisConfig) {
			c.Fields.JSON, c.Event.Type, c.Event.Subject = []string{"returnvalue"}, "bullmq.{field:event}", "{field:jobId?}"
		}, `STREAM/ENTRY /streams/STREAM bullmq.drained  application/json {"event":"drained"}`},
		"spring, JSON serializer": {[]string{"_class", `"Y29tLmV4YW1wbGUuT3JkZXI="`, "id", `"Nw=="`}, fields(builtin.RedisFieldsConfig{
			ID: "id", Type: "_class", Base64: []string{"*"},
		}), `7 /streams/STREAM com.example.Order  application/json {}`},
		"redpanda-connect": {[]string{"msg", "x"}, func(c *builtin.RedisConfig) {
			c.Layout, c.Fields.Data, c.Event.DataContentType = "redpanda-connect", "msg", "text/plain"
		}, `STREAM/ENTRY /streams/STREAM dev.streamgate.entry  text/plain x`},
		"source by template": {[]string{"shop", "a b", "n", "1"}, func(c *builtin.RedisConfig) {
			c.Event.Source, c.Event.ID = "/shops/{field:shop|urlpath}", "{field:n}"
		}, `1 /shops/a%20b dev.streamgate.entry  application/json {"shop":"a b","n":"1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, from, stream := redistest.Shared(t).Client(), redistest.Stream(t), redistest.Stream(t)
			id, err := client.XAdd(context.Background(), &redis.XAddArgs{Stream: from, Values: c.fields}).Result()
			if err != nil {
				t.Fatal(err)
			}
			config := builtin.NewRedisConfig()
			config.From = from
			if c.change != nil {
				c.change(config)
			}
			if problems := config.Validate(stream); len(problems) > 0 {
				t.Fatal(problems)
			}
			start(t, client, stream, config)
			redistest.Eventually(t, "the event is published", func() bool { return len(events(t, client, stream)) == 1 })
			e := events(t, client, stream)[0]
			got := strings.Join([]string{e.ID(), e.Source(), e.Type(), e.Subject(), e.DataContentType, string(e.Data)}, " ")
			want := strings.NewReplacer("STREAM", from, "ENTRY", id).Replace(c.want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestEntriesWithoutAValueAreLeftOut: a template whose field is missing makes no event; the entry behind it is read.
func TestEntriesWithoutAValueAreLeftOut(t *testing.T) {
	t.Parallel()
	client, from, stream := redistest.Shared(t).Client(), redistest.Stream(t), redistest.Stream(t)
	for _, field := range []string{"kind", "event"} {
		if err := client.XAdd(context.Background(), &redis.XAddArgs{Stream: from, Values: []string{field, "x"}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	config := builtin.NewRedisConfig()
	config.From, config.Event.Type = from, "com.example.{field:event}"
	start(t, client, stream, config)
	redistest.Eventually(t, "the second entry is published", func() bool {
		list := events(t, client, stream)
		return len(list) == 1 && list[0].Type() == "com.example.x"
	})
}

func TestRedisFieldsAreChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*builtin.RedisConfig)
		path   string
	}{
		"validation":           {func(c *builtin.RedisConfig) { c.Validation = "loose" }, "validation"},
		"fields of a channel":  {func(c *builtin.RedisConfig) { c.From, c.Channel, c.Fields.Data = "", "c", "d" }, "fields"},
		"fields of a layout":   {func(c *builtin.RedisConfig) { c.Layout, c.Fields.Data = "dapr", "d" }, "fields"},
		"redpanda's":           {func(c *builtin.RedisConfig) { c.Layout, c.Fields.Data, c.Fields.ID = "redpanda-connect", "d", "i" }, "fields"},
		"event and data":       {func(c *builtin.RedisConfig) { c.Fields.Event, c.Fields.Data = "e", "d" }, "fields"},
		"extension":            {func(c *builtin.RedisConfig) { c.Fields.Extensions = []builtin.RedisExtensionConfig{{Name: "A-b"}} }, "fields"},
		"placeholder":          {func(c *builtin.RedisConfig) { c.Event.Type = "{nothing}" }, "event"},
		"field of a channel":   {func(c *builtin.RedisConfig) { c.From, c.Channel, c.Event.Type = "", "c", "{field:x}" }, "event"},
		"lenient dapr":         {func(c *builtin.RedisConfig) { c.Layout, c.Validation = "dapr", "lenient" }, "event"},
		"media type of events": {func(c *builtin.RedisConfig) { c.Event.DataContentType = "application/cloudevents+json" }, "event"},
	} {
		config := builtin.NewRedisConfig()
		config.From = "old"
		c.change(config)
		if problems := config.Validate(""); len(problems) != 1 || problems[0].Path != c.path || problems[0].Remedy == "" {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

// TestMessagesOfAChannelBecomeEvents: CloudEvents, JSON with a byte order mark, containers of FastStream, and
// templates.
func TestMessagesOfAChannelBecomeEvents(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	channel := stream + "-notices"
	config := builtin.NewRedisConfig()
	config.Channel, config.Event.Type, config.Event.Subject = channel, "com.example.{data:kind?}", "{channel}"
	start(t, client, stream, config)
	redistest.Eventually(t, "the source listens", func() bool {
		return client.PubSubNumSub(context.Background(), channel).Val()[channel] == 1
	})
	for _, message := range []string{
		`{"specversion":"1.0","id":"own","source":"/s","type":"t"}`,
		"\ufeff" + `{"kind":"k"}`,
		`{"data":"x","headers":{}}`, // FastStream 0.5 or any other program
		"\x89BIN\r\n\x1a\n\x00\x01\x00\x00\x00\x12\x00\x00\x00\x14\x00\x00{\"kind\":\"f\"}",
		"\x89BIN\r\n\x1a\n\x00\x02", // damaged
		"hello",
		"\xff",
	} {
		if err := client.Publish(context.Background(), channel, message).Err(); err != nil {
			t.Fatal(err)
		}
	}
	redistest.Eventually(t, "all but the damaged one are published", func() bool { return len(events(t, client, stream)) == 6 })
	var got []string
	for _, e := range events(t, client, stream) {
		got = append(got, strings.Join([]string{e.Type(), e.Subject(), e.DataContentType, string(e.Data)}, " "))
	}
	want := []string{
		"t   ", "com.example.k " + channel + ` application/json {"kind":"k"}`, "com.example. " + channel + ` application/json {"data":"x","headers":{}}`,
		"com.example.f " + channel + ` application/json {"kind":"f"}`, "com.example. " + channel + " text/plain; charset=utf-8 hello",
		"com.example. " + channel + " application/octet-stream \xff",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
