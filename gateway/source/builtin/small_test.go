package builtin_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/builtin"
	"github.com/streamgate/streamgate/internal/redistest"
)

// TestSchedules holds when ticks come, also where the clock goes forward (29 March 2026) and back (25 October 2026) in
// Rome.
func TestSchedules(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		schedule, zone, after string
		want                  []string
	}{
		"every five minutes": {"*/5 * * * *", "", "2026-11-23T10:02:00Z", []string{"2026-11-23T10:05:00Z", "2026-11-23T10:10:00Z"}},
		"on the tick":        {"*/5 * * * *", "", "2026-11-23T10:05:00Z", []string{"2026-11-23T10:10:00Z"}},
		"seconds":            {"*/30 * * * * *", "", "2026-11-23T10:05:00Z", []string{"2026-11-23T10:05:30Z", "2026-11-23T10:06:00Z"}},
		"a zone":             {"0 9 * * 1-5", "Europe/Rome", "2026-11-20T10:00:00Z", []string{"2026-11-23T08:00:00Z", "2026-11-24T08:00:00Z"}},
		"left out":           {"30 2 * * *", "Europe/Rome", "2026-03-28T10:00:00Z", []string{"2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"}},
		"twice":              {"30 2 * * *", "Europe/Rome", "2026-10-24T10:00:00Z", []string{"2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"}},
		"hourly, forward":    {"0 * * * *", "Europe/Rome", "2026-03-28T23:30:00Z", []string{"2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"}},
		"hourly, back":       {"0 * * * *", "Europe/Rome", "2026-10-24T23:30:00Z", []string{"2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"}},
	} {
		config := builtin.NewCronConfig()
		config.Schedule, config.TimeZone = c.schedule, c.zone
		if problems := config.Validate(""); len(problems) > 0 {
			t.Fatal(name, problems)
		}
		at, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for range c.want {
			if at, err = builtin.NextTick(config, at); err != nil {
				t.Fatal(name, err)
			}
			got = append(got, at.Format(time.RFC3339))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestSmallSourcesRefuse(t *testing.T) {
	t.Parallel()
	cron := func(change func(*builtin.CronConfig)) source.Config {
		c := builtin.NewCronConfig()
		c.Schedule = "* * * * *"
		change(c)
		return c
	}
	generator := func(change func(*builtin.GeneratorConfig)) source.Config {
		c := builtin.NewGeneratorConfig()
		change(c)
		return c
	}
	for name, c := range map[string]struct {
		config source.Config
		path   string
	}{
		"no schedule":      {cron(func(c *builtin.CronConfig) { c.Schedule = "" }), "schedule"},
		"never":            {cron(func(c *builtin.CronConfig) { c.Schedule = "0 0 31 2 *" }), "schedule"},
		"nonsense":         {cron(func(c *builtin.CronConfig) { c.Schedule = "99 * * * *" }), "schedule"},
		"zone":             {cron(func(c *builtin.CronConfig) { c.TimeZone = "Europe/Nowhere" }), "timeZone"},
		"data":             {cron(func(c *builtin.CronConfig) { c.Data = "hello" }), "data"},
		"type":             {cron(func(c *builtin.CronConfig) { c.Event.Type = "" }), "event"},
		"rate":             {generator(func(c *builtin.GeneratorConfig) { c.Rate = -1 }), "rate"},
		"template":         {generator(func(c *builtin.GeneratorConfig) { c.Event.Data = "{nosuch}" }), "event.data"},
		"generated type":   {generator(func(c *builtin.GeneratorConfig) { c.Event.Type = "" }), "event"},
		"no file":          {builtin.NewFileConfig(), "path"},
		"place":            {&builtin.FileConfig{Path: "x", StartFrom: "middle", Interval: setting.Duration(time.Second)}, "startFrom"},
		"no time to think": {&builtin.FileConfig{Path: "x", StartFrom: "end"}, "interval"},
	} {
		problems := c.config.Validate("")
		if len(problems) != 1 || problems[0].Path != c.path || problems[0].Remedy == "" {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

// TestGeneratedEvents are numbered over restarts.
func TestGeneratedEvents(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	c := builtin.NewGeneratorConfig()
	c.Rate, c.Count = 200, 60
	c.Event.Type, c.Event.Subject, c.Event.Data = "com.example.{name}", "s-{n}", `{{"n":{n},"at":"{time}","id":"{uuid}"}`
	for n := range 3 {
		stop := start(t, client, stream, c)
		redistest.Eventually(t, "some more are there", func() bool { return len(events(t, client, stream)) >= 20*(n+1) })
		stop()
	}
	list := events(t, client, stream)
	for i := range list {
		if e := &list[i]; e.Subject() != fmt.Sprint("s-", i+1) || e.Type() != "com.example.src" || !strings.Contains(string(e.Data), fmt.Sprintf(`"n":%d,`, i+1)) || !strings.Contains(string(e.Data), e.ID()) {
			t.Fatalf("event %d: %s %s %s", i+1, e.Subject(), e.Type(), e.Data)
		}
	}
	if len(list) != 60 {
		t.Errorf("%d events", len(list))
	}
}

// TestFileThatChanges: what is no event is left out, what has no end is waited for, a new file is read from its
// beginning.
func TestFileThatChanges(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	c := builtin.NewFileConfig()
	c.Path, c.Interval = filepath.Join(t.TempDir(), "events.ndjson"), setting.Duration(10*time.Millisecond)
	one := func(id string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/s","type":"t"}`, id)
	}
	got := func() []string {
		var list []string
		for _, e := range events(t, client, stream) {
			list = append(list, e.ID())
		}
		return list
	}
	await := func(want ...string) {
		t.Helper()
		redistest.Eventually(t, fmt.Sprint("there is ", want), func() bool { return slices.Equal(got(), want) })
	}
	stop := start(t, client, stream, c)
	appendLine(t, c.Path, one("1")+"\n\nno event\n"+strings.Repeat("x", 2<<20)+"\n"+one("2")+"\r\n"+one("3")[:20])
	await("1", "2")
	appendLine(t, c.Path, one("3")[20:]+"\n")
	await("1", "2", "3")
	stop()
	appendLine(t, c.Path, one("4")+"\n")
	stop = start(t, client, stream, c)
	await("1", "2", "3", "4")
	stop()
	if err := os.Rename(c.Path, c.Path+".1"); err != nil {
		t.Fatal(err)
	}
	appendLine(t, c.Path, strings.Repeat(" \n", 200)+one("5")+"\n"+strings.Repeat(one("x")+"\n", 0))
	start(t, client, stream, c)
	await("1", "2", "3", "4", "5")

	late := builtin.NewFileConfig()
	late.Path, late.Interval, late.StartFrom = c.Path, c.Interval, "end"
	other := redistest.Stream(t)
	start(t, client, other, late)
	redistest.Eventually(t, "it has looked", func() bool {
		return client.Exists(context.Background(), "streamgate:{"+other+"}:source:src:lease").Val() == 1
	})
	redistest.Eventually(t, "only what comes later is published", func() bool {
		appendLine(t, c.Path, one("6")+"\n")
		return len(ids(t, client, other)) > 0
	})
	for _, e := range events(t, client, other) {
		if e.ID() != "6" {
			t.Errorf("event %s", e.ID())
		}
	}
}

// TestChannel: messages become events, the ones that are events as they are, over a cut connection.
func TestChannel(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	c := builtin.NewRedisConfig()
	c.Channel, c.Event.Type = stream+"-channel", "com.example.notice"
	if problems := c.Validate(""); len(problems) > 0 {
		t.Fatal(problems)
	}
	start(t, client, stream, c)
	listens := func() bool {
		return client.PubSubNumSub(context.Background(), c.Channel).Val()[c.Channel] == 1
	}
	say := func(text string) {
		if err := client.Publish(context.Background(), c.Channel, text).Err(); err != nil {
			t.Error(err)
		}
	}
	redistest.Eventually(t, "it listens", listens)
	say(`{"specversion":"1.0","id":"1","source":"/s","type":"t"}`)
	say(`{"n":1}`)
	say("hello")
	say("\xff")
	redistest.Eventually(t, "they are there", func() bool { return len(events(t, client, stream)) == 4 })
	var got []string
	for _, e := range events(t, client, stream) {
		got = append(got, fmt.Sprintf("%s %s %s %q", e.Type(), e.Source(), e.DataContentType, e.Data))
	}
	from := "com.example.notice /channels/" + c.Channel
	want := []string{`t /s  ""`, from + ` application/json "{\"n\":1}"`, from + ` text/plain; charset=utf-8 "hello"`, from + ` application/octet-stream "\xff"`}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	c.From = "both"
	if problems := c.Validate(""); len(problems) != 1 {
		t.Errorf("%v", problems)
	}
}
