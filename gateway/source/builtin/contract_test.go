package builtin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/ingress"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/builtin"
	"github.com/streamgate/streamgate/gateway/source/stac"
	"github.com/streamgate/streamgate/gateway/stream"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/internal/stacsample"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// contractCase is what the contract suite needs of a source type.
type contractCase struct {
	// setup prepares what the source watches, and returns its configuration and a function that makes thing number i of
	// those that the source must publish.
	setup func(t *testing.T, client redis.UniversalClient) (config source.Config, add func(i int))
	// endless types make things by themselves, without end.
	endless bool
}

// contractCases holds a case for every source type; a type without one makes TestContract red.
func contractCases() map[string]contractCase {
	return map[string]contractCase{
		"cron": {setup: func(*testing.T, redis.UniversalClient) (source.Config, func(i int)) {
			c := builtin.NewCronConfig()
			c.Schedule = "* * * * * *"
			return c, func(int) {}
		}, endless: true},
		"generator": {setup: func(*testing.T, redis.UniversalClient) (source.Config, func(i int)) {
			c := builtin.NewGeneratorConfig()
			c.Rate, c.Count = 0, 22 // as many as the test adds
			return c, func(int) {}
		}},
		"file": {setup: func(t *testing.T, _ redis.UniversalClient) (source.Config, func(i int)) {
			c := builtin.NewFileConfig()
			c.Path, c.Interval = filepath.Join(t.TempDir(), "events.ndjson"), setting.Duration(10*time.Millisecond)
			return c, func(i int) {
				appendLine(t, c.Path, fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/s","type":"t"}`, i)+"\n")
			}
		}},
		"http": {setup: func(t *testing.T, _ redis.UniversalClient) (source.Config, func(i int)) {
			f := newFeed(t)
			return f.config(), func(i int) {
				f.change(func() { f.elements = append(f.elements, fmt.Sprintf(`{"id":{"name":%d}}`, i)) })
			}
		}},
		"stac": {setup: func(t *testing.T, _ redis.UniversalClient) (source.Config, func(i int)) {
			catalogue := stacsample.New()
			catalogue.AddCollection("c", "Things")
			server := httptest.NewServer(catalogue)
			t.Cleanup(server.Close)
			c := stac.NewConfig()
			c.URL, c.Collections, c.Interval, c.Limit = server.URL, []string{"c"}, setting.Duration(time.Second), 3
			return c, func(i int) {
				catalogue.Put(stacsample.Item{Collection: "c", ID: fmt.Sprint("item-", i), Datetime: time.Now(), BBox: [4]float64{1, 2, 3, 4}})
			}
		}},
		"redis": {setup: func(t *testing.T, client redis.UniversalClient) (source.Config, func(i int)) {
			from := redistest.Stream(t)
			c := builtin.NewRedisConfig()
			c.From = from
			return c, func(i int) {
				err := client.XAdd(context.Background(), &redis.XAddArgs{Stream: from, Values: []string{
					"subject", fmt.Sprint("https://example.com/", i), "producer", "project-a", "href", fmt.Sprint("https://example.com/", i),
				}}).Err()
				if err != nil {
					t.Error(err)
				}
			}
		}},
	}
}

// TestContract holds for every source type: each thing becomes exactly one valid event, over restarts and beside a
// second gateway; Run ends when it is told to; the documentation and the example name the type.
func TestContract(t *testing.T) {
	t.Parallel()
	cases := contractCases()
	for _, sourceType := range builtin.Types() {
		t.Run(sourceType.Name, func(t *testing.T) {
			t.Parallel()
			c, found := cases[sourceType.Name]
			if !found {
				t.Fatal("the type has no case in contractCases")
			}
			checkMentioned(t, "../../../config.example.yaml", "type: "+sourceType.Name)
			checkMentioned(t, "../../../docs/sources.md", "## `"+sourceType.Name+"`")
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			config, add := c.setup(t, client)
			if problems := config.Validate(""); len(problems) > 0 {
				t.Fatal(problems)
			}
			each, n := 7, 0
			if c.endless {
				each = 2
			}
			for round := range 3 {
				for range each {
					add(n)
					n++
				}
				stop := start(t, client, stream, config)
				stopSecond := start(t, client, stream, config)
				redistest.Eventually(t, fmt.Sprintf("round %d: everything is published", round), func() bool { return len(ids(t, client, stream)) >= n })
				if round == 1 { // things that come while it runs
					add(n)
					n++
					redistest.Eventually(t, "what came later is published", func() bool { return len(ids(t, client, stream)) >= n })
				}
				stop()
				stopSecond()
			}
			all := ids(t, client, stream)
			slices.Sort(all)
			if len(slices.Compact(slices.Clone(all))) != len(all) || len(all) != n && !c.endless {
				t.Errorf("%d events, %d of them different, for %d things", len(all), len(slices.Compact(all)), n)
			}
		})
	}
}

func appendLine(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Clean(path), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Error(err)
	}
}

func checkMentioned(t *testing.T, file, text string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(content), text) {
		t.Errorf("%s does not mention %q (%v)", file, text, err)
	}
}

// start runs a gateway with one source.
func start(t *testing.T, client redis.UniversalClient, streamName string, config source.Config) (stop func()) {
	t.Helper()
	server := ingress.NewConfig()
	server.Address = "127.0.0.1:0"
	streamConfig := stream.NewConfig()
	streamConfig.Name = streamName
	g, err := gateway.New(gateway.Config{
		Server: server, Streams: []stream.Config{streamConfig},
		Sources: []source.Block{{Name: "src", Stream: streamName, Config: config}},
	}, gateway.Env{Redis: client, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Registry: prometheus.NewRegistry(), UserAgent: "streamgate/test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func events(t *testing.T, client redis.UniversalClient, stream string) []rawevent.Event {
	t.Helper()
	entries, err := redisstreams.ReadAfter(context.Background(), client, stream, "0", 1000, -1)
	if err != nil {
		t.Fatal(err)
	}
	list := make([]rawevent.Event, len(entries))
	for i := range entries {
		if list[i], err = entries[i].Event(); err == nil {
			err = list[i].Validate()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func ids(t *testing.T, client redis.UniversalClient, stream string) []string {
	t.Helper()
	var list []string
	for _, e := range events(t, client, stream) {
		list = append(list, e.Source()+" "+e.ID())
	}
	return list
}
