package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/internal/stacsample"
)

// catalogue starts a STAC API with scenes of the last hours and of December 2021, and returns the path of a
// configuration that watches it.
func catalogue(t *testing.T, server *redistest.Server, stream string) (file string) {
	t.Helper()
	c := stacsample.New()
	c.AddCollection("scenes", "Scenes")
	for i := range 6 {
		for _, at := range []time.Time{time.Now().Add(-time.Duration(i) * time.Hour),
			time.Date(2021, 12, 1, i, 0, 0, 0, time.UTC)} {
			c.Put(stacsample.Item{Collection: "scenes", ID: fmt.Sprint(at.Year(), "-", i), Datetime: at,
				BBox: [4]float64{1, 2, 3, 4}})
		}
	}
	api := httptest.NewServer(c)
	t.Cleanup(api.Close)
	return writeFile(t, fmt.Sprintf(`
redis: { url: %q }
server: { address: '127.0.0.1:0' }
admin: { address: '127.0.0.1:0' }
streams: [{ name: %s }]
sources:
  - { name: watch, type: stac, stream: %s, url: %q, collections: [scenes], engine: windows, interval: 1s, requestsPerSecond: 100,
      warm: { back: 720h, every: 0s },
      cold: { back: 8760h, every: 0s }, sweep: { every: 0s } }
`, server.URL(), stream, stream, api.URL))
}

// TestSourcesCommands: a source is previewed, watched and backfilled by processes of their own.
func TestSourcesCommands(t *testing.T) {
	t.Parallel()
	server, stream := redistest.Shared(t), redistest.Stream(t)
	file := catalogue(t, server, stream)
	client := server.Client()
	run := func(code int, out, talk, args string) {
		t.Helper()
		stdout, stderr, got := program(t, strings.Split(args+" --config "+file, " ")...)
		if got != code || !strings.Contains(stdout, out) || !strings.Contains(stderr, talk) {
			t.Errorf("%s: exit code %d, want %d\nstdout: %s\nstderr: %s", args, got, code, stdout, stderr)
		}
	}
	run(0, `"collection":"scenes"`, "6 events would be published", "sources run watch --once --print")
	run(0, `"collection":"scenes"`, "6 events would be published", "sources run watch --once --print --fresh")
	run(2, "", "--once --print", "sources run watch")
	run(0, `"collection":"scenes"`, "6 events would be published", "sources preview watch")
	run(2, "", `no source "typo"; it has watch`, "sources preview typo")
	run(2, "", `no source "typo"; it has watch`, "sources run typo --once --print")
	run(0, "not running, 0 seen items", "", "sources list")
	if n := client.XLen(context.Background(), stream).Val(); n != 0 {
		t.Fatalf("a preview published %d events", n)
	}
	run(0, "6 windows, 11 items; 6 events would be published", "",
		"sources backfill watch --from 2021-12-01 --to 2021-12-01T06:00:00Z --step 1h --dry-run")
	run(2, "", "is not before its end", "sources backfill watch --from 2021-12-01 --to 2021-11-01")
	run(2, "", "--from: \"x\" is not a valid time", "sources backfill watch --from x")
	run(2, "", "--step", "sources backfill watch --from 2021-12-01 --step often")
	run(1, "", "no such backfill", "sources pause watch 12345678")
	run(0, "is requested", "", "sources backfill watch --from 2021-12-01 --to 2021-12-02 --step 6h --detach")

	past := "sources verify watch --from 2021-12-01 --to 2021-12-01T06:00:00Z --step 1h"
	run(1, "missing  scenes/2021-0", "6 items have no event", past)
	run(1, `"missing":6,"doubled":0`, "", past+" -o json")
	run(2, "", "not a format", past+" -o yaml")

	gateway := startProcess(t, "serve", "--config", file)
	redistest.Eventually(t, "polls find what is new", func() bool {
		return client.XLen(context.Background(),
			stream).Val() >= 6
	})
	run(0, "is done: 4 of 4 windows, 6 items", "", "sources backfill watch --from 2021-12-01 --to 2021-12-02 --step 6h")
	run(0, "6 windows, 11 items; 0 events would be published", "",
		"sources backfill watch --from 2021-12-01 --to 2021-12-01T06:00:00Z --step 1h --dry-run")
	run(0, "6 windows, 6 items: 0 missing, 0 doubled", "", past)
	deleted := client.XRange(context.Background(), stream, "-", "+").Val()[11].ID
	client.XDel(context.Background(), stream, deleted)
	run(0, "0 missing, 0 doubled; 1 were published and have left the stream since", "", past)
	run(0, "backfill", "", "sources list")
	run(0, `"state":"done"`, "", "sources list -o json")
	run(0, "engine windows (the configuration says so)", "", "sources list")
	run(0, "", "0 events would be published", "sources run watch --once --print")
	run(2, "", "release or discard", "sources updates watch scenes maybe")
	run(0, "at the next poll", "", "sources updates watch scenes discard")
	if n := client.XLen(context.Background(), stream).Val(); n != 11 {
		t.Errorf("%d events for 12 items, one of which was deleted", n)
	}
	if code := gateway.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
