package stream

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// maintaining is a maintainer whose passes the test makes.
type maintaining struct {
	*Maintainer
	t        testing.TB
	ctx      context.Context
	client   redis.UniversalClient
	registry *prometheus.Registry
	logs     *redistest.LogBuffer
}

// maintain returns a maintainer of a stream with subscriptions of these names; those that begin with ~ forget.
func maintain(t testing.TB, client redis.UniversalClient, stream string, r RetentionConfig, names ...string) *maintaining {
	t.Helper()
	k := &maintaining{t: t, ctx: context.Background(), client: client, registry: prometheus.NewRegistry(), logs: &redistest.LogBuffer{}}
	c := NewConfig()
	c.Name, c.Retention = stream, r
	var readers []Reader
	for _, name := range names {
		var r Reader
		r.Name, r.Forget = strings.CutPrefix(name, "~")
		readers = append(readers, r)
	}
	log, m := slog.New(slog.NewTextHandler(k.logs, nil)), NewMetrics(k.registry)
	k.Maintainer = NewMaintainer(client, &c, newCapacity(&c, log, m), func(string) []Reader { return readers }, m, log)
	return k
}

func (k *maintaining) makePass() {
	k.t.Helper()
	if err := k.pass(k.ctx); err != nil {
		k.t.Fatal(err)
	}
}

// do runs a command.
func (k *maintaining) do(args ...any) any {
	k.t.Helper()
	reply, err := k.client.Do(k.ctx, args...).Result()
	if err != nil && err != redis.Nil { //nolint:errorlint // go-redis returns it bare
		k.t.Fatalf("%v: %v", args, err)
	}
	return reply
}

// add adds entries with the ids from-0 to to-0.
func (k *maintaining) add(from, to int) {
	k.t.Helper()
	for i := from; i <= to; i++ {
		k.do("XADD", k.stream.Name, fmt.Sprintf("%d-0", i), "f", "v")
	}
}

func (k *maintaining) group(name, at string) {
	k.do("XGROUP", "CREATE", k.stream.Name, name, at, "MKSTREAM")
}

// read reads new entries for a group and returns their ids.
func (k *maintaining) read(group string, n int) []string {
	k.t.Helper()
	streams, err := k.client.XReadGroup(k.ctx, &redis.XReadGroupArgs{
		Group: group, Consumer: "c", Streams: []string{k.stream.Name, ">"}, Count: int64(n), Block: -1,
	}).Result()
	if err != nil && err != redis.Nil { //nolint:errorlint // as above
		k.t.Fatal(err)
	}
	var ids []string
	for _, s := range streams {
		for i := range s.Messages {
			ids = append(ids, s.Messages[i].ID)
		}
	}
	return ids
}

func (k *maintaining) ack(group string, ids ...string) {
	k.t.Helper()
	if err := k.client.XAck(k.ctx, k.stream.Name, group, ids...).Err(); err != nil {
		k.t.Fatal(err)
	}
}

// ids returns those of the entries that there are.
func (k *maintaining) ids() []string {
	k.t.Helper()
	entries, err := k.client.XRange(k.ctx, k.stream.Name, "-", "+").Result()
	if err != nil {
		k.t.Fatal(err)
	}
	var ids []string
	for i := range entries {
		ids = append(ids, entries[i].ID)
	}
	return ids
}

// value returns the sum of a metric over those of its series that have the label value.
func (k *maintaining) value(name, label string) float64 {
	k.t.Helper()
	families, err := k.registry.Gather()
	if err != nil {
		k.t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, pair := range m.GetLabel() {
				if family.GetName() == "streamgate_"+name && pair.GetValue() == label {
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return sum
}

func (k *maintaining) want(name, label string, want float64) {
	k.t.Helper()
	if got := k.value(name, label); got != want {
		k.t.Errorf("%s{%s} is %g, want %g", name, label, got, want)
	}
}

// logged wants so many lines of the log to contain the text.
func (k *maintaining) logged(text string, want int) {
	k.t.Helper()
	if n := strings.Count(k.logs.String(), text); n != want {
		k.t.Errorf("%d lines with %q, want %d:\n%s", n, text, want, k.logs)
	}
}

// groupModel is what a group needs, in the test's own books.
type groupModel struct {
	needs   map[string]bool // neither delivered nor acknowledged, or delivered and not acknowledged
	pending []string
}

// TestRetentionNeverRemovesWhatIsNeeded: whatever groups do, and whoever they belong to, a pass removes nothing that
// one of them has not acknowledged, and everything else that is over the limit.
func TestRetentionNeverRemovesWhatIsNeeded(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		client := redistest.Start(t, redistest.WithBinary(flavor.Binary)).Client()
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			const maxLength = 5
			k := maintain(t, client, fmt.Sprintf("s%d", run), RetentionConfig{MaxLength: maxLength}, "a", "b")
			groups := map[string]*groupModel{}
			create := func(name string) {
				k.group(name, "0")
				groups[name] = &groupModel{needs: map[string]bool{}}
				for _, id := range k.ids() {
					groups[name].needs[id] = true
				}
			}
			create("streamgate:a")
			create("streamgate:b")
			last := 0
			for range rapid.IntRange(5, 30).Draw(rt, "steps") {
				name := rapid.SampledFrom([]string{"streamgate:a", "streamgate:b", "foreign"}).Draw(rt, "group")
				g := groups[name]
				switch action := rapid.SampledFrom([]string{"add", "read", "read", "ack", "ack", "make", "destroy", "pass", "pass"}).Draw(rt, "action"); {
				case action == "add":
					n := rapid.IntRange(1, 150).Draw(rt, "n")
					k.add(last+1, last+n)
					for i := last + 1; i <= last+n; i++ {
						for _, g := range groups {
							g.needs[fmt.Sprintf("%d-0", i)] = true
						}
					}
					last += n
				case action == "read" && g != nil:
					g.pending = append(g.pending, k.read(name, rapid.IntRange(1, 200).Draw(rt, "n"))...)
				case action == "ack" && g != nil && len(g.pending) > 0:
					from := rapid.IntRange(0, len(g.pending)-1).Draw(rt, "from")
					to := rapid.IntRange(from+1, len(g.pending)).Draw(rt, "to")
					k.ack(name, g.pending[from:to]...)
					for _, id := range g.pending[from:to] {
						delete(g.needs, id)
					}
					g.pending = slices.Delete(g.pending, from, to)
				case action == "make" && g == nil:
					create(name)
				case action == "destroy" && g != nil && name == "foreign":
					k.do("XGROUP", "DESTROY", k.stream.Name, name)
					delete(groups, name)
				case action == "pass":
					k.makePass()
					checkKept(rt, k, groups, last, maxLength)
				}
			}
		})
	})
}

func checkKept(rt *rapid.T, k *maintaining, groups map[string]*groupModel, last, maxLength int) {
	kept := map[string]bool{}
	for _, id := range k.ids() {
		kept[id] = true
	}
	lowest := fmt.Sprintf("%d-0", last+1)
	for name, g := range groups {
		for id := range g.needs {
			if !kept[id] {
				rt.Fatalf("entry %s was removed, which group %s has not acknowledged", id, name)
			}
			lowest = redisstreams.MinID(lowest, id)
		}
	}
	needed := 0
	for id := range kept {
		if redisstreams.CompareIDs(id, lowest) >= 0 {
			needed++
		}
	}
	if len(kept) > max(maxLength, needed) {
		rt.Fatalf("%d entries were kept, of which %d are needed", len(kept), needed)
	}
}

// TestLag: whatever was read, deleted, trimmed or set, the lag is the number of entries behind the group; and no more
// is reported as lost than was.
func TestLag(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		client := redistest.Start(t, redistest.WithBinary(flavor.Binary)).Client()
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			k := maintain(t, client, fmt.Sprintf("s%d", run), RetentionConfig{}, "a")
			stream, group := k.stream.Name, "streamgate:a"
			k.add(1, 3)
			k.group(group, rapid.SampledFrom([]string{"0", "$", "2-0"}).Draw(rt, "start"))
			last, lost := 3, 0
			behind := func() (ids []string) {
				groups, err := client.XInfoGroups(k.ctx, stream).Result()
				if err != nil {
					rt.Fatal(err)
				}
				return slices.DeleteFunc(k.ids(), func(id string) bool { return redisstreams.CompareIDs(id, groups[0].LastDeliveredID) <= 0 })
			}
			for range rapid.IntRange(3, 25).Draw(rt, "steps") {
				before := len(behind())
				switch rapid.SampledFrom([]string{"add", "read", "read", "delete", "trim", "set", "pass"}).Draw(rt, "action") {
				case "add":
					k.add(last+1, last+rapid.IntRange(1, 30).Draw(rt, "n"))
					last += 0
					if ids := k.ids(); len(ids) > 0 {
						_, _ = fmt.Sscanf(ids[len(ids)-1], "%d-0", &last)
					}
				case "read":
					k.read(group, rapid.IntRange(1, 20).Draw(rt, "n"))
				case "delete":
					k.do("XDEL", stream, fmt.Sprintf("%d-0", rapid.IntRange(1, last).Draw(rt, "id")))
					lost += before - len(behind())
				case "trim":
					k.do("XTRIM", stream, "MAXLEN", "=", rapid.IntRange(0, 20).Draw(rt, "keep"))
					lost += before - len(behind())
				case "set":
					k.do("XGROUP", "SETID", stream, group, fmt.Sprintf("%d-0", rapid.IntRange(0, last).Draw(rt, "id")))
				case "pass":
					k.makePass()
					if want, got := len(behind()), int(k.value("subscription_lag", "a")); got != want {
						rt.Fatalf("the lag is %d, want %d: %v", got, want, k.do("XINFO", "GROUPS", stream))
					}
					if n := int(k.value("entries_trimmed_unseen_total", "a")); n > lost {
						rt.Fatalf("%d entries are reported lost, and %d are\n%s", n, lost, k.logs)
					}
				}
			}
		})
	})
}
