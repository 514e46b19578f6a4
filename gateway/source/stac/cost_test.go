package stac

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/internal/stacsample"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// days drives a source through virtual time, against a server to which items are added, and counts what it asks for.
type days struct {
	t         testing.TB
	source    *watcher
	catalogue *stacsample.Catalog
	now       time.Time
	requests  atomic.Int64
	bytes     atomic.Int64
	events    int
	added     int
	random    *rand.Rand
	stamps    bool
	delay     time.Duration // from when an item was taken to when it is there, half of it at least
}

type countingWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

// Write implements io.Writer.
func (w countingWriter) Write(p []byte) (int, error) {
	w.n.Add(int64(len(p)))
	return w.ResponseWriter.Write(p)
}

func newDays(t testing.TB, stamps bool, delay time.Duration) *days {
	t.Helper()
	d := &days{
		t: t, catalogue: stacsample.New(), now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), random: rand.New(rand.NewPCG(1, 2)), //nolint:gosec // a test
		stamps: stamps, delay: delay,
	}
	d.catalogue.AddCollection(collection, "Scenes")
	d.catalogue.SetQuirks(stacsample.Quirks{NoNumberMatched: true, NextStyle: stacsample.PostTokenNoMerge})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.requests.Add(1)
		d.catalogue.ServeHTTP(countingWriter{w, &d.bytes}, r)
	}))
	t.Cleanup(server.Close)
	c := NewConfig()
	c.URL, c.Collections = server.URL, []string{collection}
	c.pace = pace{perSecond: rate.Inf, pause: time.Millisecond}
	env := source.Env{Name: "watch", Logger: slog.New(slog.DiscardHandler)}
	env.Outbox = source.NewPreview(nil, env, func(*rawevent.Event) error { d.events++; return nil })
	made, err := c.NewSource(env)
	if err != nil {
		t.Fatal(err)
	}
	d.source = made.(*watcher)
	t.Cleanup(d.source.api.Close)
	d.source.now = func() time.Time { return d.now }
	if err := d.source.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// minute adds so many items, polls, and does all slow work that is due.
func (d *days) minute(items int) {
	d.t.Helper()
	for range items {
		d.added++
		taken := d.now.Add(-d.delay/2 - time.Duration(d.random.Int64N(int64(d.delay/2)+1)))
		item := stacsample.Item{Collection: collection, ID: fmt.Sprint("item-", d.added), Datetime: taken, BBox: [4]float64{1, 2, 3, 4}}
		if d.stamps {
			item.Created, item.Updated = d.now, d.now
		}
		d.catalogue.Put(item)
	}
	if err := d.source.poll(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	for {
		worked, err := d.source.workSlowly(d.t.Context())
		if err != nil {
			d.t.Fatal(err)
		}
		if !worked {
			break
		}
	}
	d.now = d.now.Add(time.Minute)
}

// steady runs two days, of which it counts the second, with so many items an hour.
func (d *days) steady(perHour int) (requests, bytes float64) {
	run := func() {
		for minute := range 24 * 60 {
			d.minute((minute+1)*perHour/60 - minute*perHour/60)
		}
	}
	run()
	before, sent := d.requests.Load(), d.bytes.Load()
	run()
	requests, bytes = float64(d.requests.Load()-before), float64(d.bytes.Load()-sent)
	for range 2 * maxSkipped { // what is there by now may lie in a slice that is not due
		d.minute(0)
	}
	thousand := 24 * float64(perHour) / 1000
	return requests / thousand, bytes / thousand
}

// BenchmarkSteadyState shows what a server is asked for 1,000 new items, beside a poller that reads the whole lookback
// every minute, which is what it takes to lose nothing without any of this.
func BenchmarkSteadyState(b *testing.B) {
	const perHour = 60
	for name, stamps := range map[string]bool{"updated": true, "windows": false} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				d := newDays(b, stamps, 6*time.Hour)
				requests, bytes := d.steady(perHour)
				if d.events != d.added {
					b.Fatalf("%d events for %d items", d.events, d.added)
				}
				items := 72.0 * perHour
				naive := (items/100 + 1) * 1000 / perHour * 60
				b.ReportMetric(requests, "requests/1000items")
				b.ReportMetric(bytes/1e6, "MB/1000items")
				b.ReportMetric(naive, "naive-requests/1000items")
			}
		})
	}
}

// TestSteadyState: over hours, with items that come hours late, in bursts of slices, nothing is missed, and far less is
// asked for than by reading everything again.
func TestSteadyState(t *testing.T) {
	t.Parallel()
	for name, stamps := range map[string]bool{"updated": true, "windows": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDays(t, stamps, 3*time.Hour)
			d.source.config.Limit = 10
			for minute := range 8 * 60 {
				d.minute(map[bool]int{true: 2}[minute/60%2 == 0 && minute%2 == 0])
			}
			for range 2 * maxSkipped {
				d.minute(0)
			}
			if d.events != d.added || d.added < 200 {
				t.Errorf("%d events for %d items", d.events, d.added)
			}
			if !stamps && d.source.poller.slices[collection] == nil {
				t.Error("the window was not cut")
			}
		})
	}
}

// endless is a STAC API with an item for each second, of which it makes pages as they are asked for.
func endless(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/search":
	case "/":
		_, _ = fmt.Fprintf(w, `{"links":[{"rel":"search","type":"application/geo+json","method":"POST","href":"http://%s/search"}]}`, r.Host)
		return
	default:
		_, _ = w.Write([]byte("{}"))
		return
	}
	var q struct {
		Datetime string
		Limit    int64
		Token    int64
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	window, err := stacapi.ParseInterval(q.Datetime)
	if err != nil || window.To.IsZero() {
		_, _ = w.Write([]byte(`{"features":[]}`))
		return
	}
	first, last := window.From.Unix()+q.Token, window.To.Unix()
	_, _ = w.Write([]byte(`{"features":[`))
	n := int64(0)
	for ; n < q.Limit && first+n <= last; n++ {
		if n > 0 {
			_, _ = w.Write([]byte(","))
		}
		at := time.Unix(first+n, 0).UTC().Format(time.RFC3339)
		_, _ = fmt.Fprintf(w, `{"type":"Feature","id":"S2A_%d","bbox":[1,2,3,4],"geometry":{"type":"Point","coordinates":[1,2]},"properties":{"datetime":%q,"description":%q},"links":[],"assets":{}}`,
			first+n, at, strings.Repeat("x", 2000))
	}
	next := ""
	if first+n <= last {
		next = fmt.Sprintf(`{"rel":"next","method":"POST","href":"http://%s/search","body":{"datetime":%q,"limit":%d,"token":%d}}`, r.Host, q.Datetime, q.Limit, q.Token+n)
	}
	_, _ = fmt.Fprintf(w, `],"links":[%s]}`, next)
}

// BenchmarkBackfill searches 100,000 items of 2 KB in windows of an hour, and shows how much memory the watcher takes.
func BenchmarkBackfill(b *testing.B) {
	for range b.N {
		server := httptest.NewServer(http.HandlerFunc(endless))
		f := &fixture{
			t: b, server: server, client: redistest.Start(b).Client(), stream: redistest.Stream(b), logs: &redistest.LogBuffer{},
			interval: time.Second, timeout: 10 * time.Second,
		}
		c := f.config()
		c.Datetime, c.Limit, c.Warm.Every, c.Cold.Every = "", 100, 0, 0
		to := time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
		read := f.order("one", Backfill{From: to.Add(-100_000 * time.Second), To: to, Step: hours(1), Wanted: WantedRun, Ordered: time.Now()})
		stop := f.run(c)
		var peaks [2]uint64 // in the first and in the second half
		redistest.Eventually(b, "it is done", func() bool {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			l := read()
			half := 0
			if l.Done > l.Total/2 {
				half = 1
			}
			peaks[half] = max(peaks[half], m.HeapAlloc)
			return l.State == backfillDone
		})
		stop()
		server.Close()
		l := read()
		b.ReportMetric(float64(peaks[0])/1e6, "MB-first-half")
		b.ReportMetric(float64(peaks[1])/1e6, "MB-second-half")
		b.ReportMetric(float64(l.Items)/l.Finished.Sub(l.Started).Seconds(), "items/s")
	}
}
