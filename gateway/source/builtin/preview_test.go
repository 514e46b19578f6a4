package builtin_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/builtin"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// TestPreview: every source that can be run once shows what it would publish, and writes nothing.
func TestPreview(t *testing.T) {
	t.Parallel()
	client, from := redistest.Shared(t).Client(), redistest.Stream(t)
	for range 250 {
		if err := client.XAdd(t.Context(), &redis.XAddArgs{Stream: from, Values: []any{"subject", "s", "href", "h"}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	file := builtin.NewFileConfig()
	file.Path = filepath.Join(t.TempDir(), "events.ndjson")
	appendLine(t, file.Path, `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`+"\n")
	cron := builtin.NewCronConfig()
	cron.Schedule = "0 0 1 1 *"
	made := builtin.NewGeneratorConfig()
	made.Rate, made.Count = 0, 7
	entries := builtin.NewRedisConfig()
	entries.From = from
	for name, c := range map[string]struct {
		config source.Config
		want   int
	}{"file": {file, 1}, "cron": {cron, 1}, "generator": {made, 7}, "redis": {entries, 250}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := redistest.Stream(t)
			block := source.Block{Name: "s", Type: name, Stream: stream, Config: c.config}
			env := source.Env{Name: "s", Stream: stream, Redis: client, Logger: slog.New(slog.DiscardHandler)}
			shown := 0
			var err error
			env.Outbox, err = block.Preview(client, env, func(e *rawevent.Event) error {
				shown++
				return e.Validate()
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			s, err := c.config.NewSource(env)
			if err == nil {
				err = s.RunOnce(ctx)
			}
			if err != nil || shown != c.want {
				t.Errorf("%d events, want %d: %v", shown, c.want, err)
			}
			if keys := client.Keys(ctx, "*"+stream+"*").Val(); len(keys) > 0 {
				t.Errorf("the preview has written %v", keys)
			}
		})
	}
}

// TestCronAfterTheClockWasSetBack: the schedule goes on by the clock as it is, and not when it is there again.
func TestCronAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	c := builtin.NewCronConfig()
	c.Schedule = "* * * * * *"
	future := time.Now().Add(3 * time.Hour).UTC().Format(time.RFC3339)
	if err := client.HSet(t.Context(), "streamgate:{"+stream+"}:source:s:checkpoint", "", future).Err(); err != nil {
		t.Fatal(err)
	}
	logs := &redistest.LogBuffer{}
	env := source.Env{Name: "s", Stream: stream, Redis: client, Logger: slog.New(slog.NewTextHandler(logs, nil))}
	var ticks []string
	env.Outbox = source.NewPreview(client, env, func(e *rawevent.Event) error {
		at, _ := e.Attribute(rawevent.AttrTime)
		ticks = append(ticks, at)
		return nil
	})
	s, err := c.NewSource(env)
	if err == nil {
		err = s.RunOnce(t.Context())
	}
	if err != nil || len(ticks) != 1 || ticks[0] > time.Now().Add(time.Minute).UTC().Format(time.RFC3339) {
		t.Errorf("%v: %v", ticks, err)
	}
	if !strings.Contains(logs.String(), "the clock was set back") {
		t.Errorf("not told: %s", logs)
	}
}
