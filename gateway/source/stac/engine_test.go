package stac

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/internal/stacsample"
)

// serverKind is a server as they are found, by what matters for the choice of the engine.
type serverKind struct {
	quirks     stacsample.Quirks
	refuses    string        // a member of searches that is answered with 400
	stamps     bool          // items say when they were updated
	skew       time.Duration // of the clocks that stamp: every other item forwards, the others backwards
	undated    bool          // some items have no datetime
	engine     engine
	capability stacapi.Capability
	becauseOf  string
}

// serverKinds are those of facts that were measured or read of real services.
func serverKinds() map[string]serverKind {
	return map[string]serverKind{
		"timestamps (OpenSearch backends)":            {stamps: true, engine: engineUpdated, capability: stacapi.CapabilityTimestamp, becauseOf: "filters updated"},
		"strings (pgstac 0.9)":                        {quirks: stacsample.Quirks{TextUpdated: true, NoNumberMatched: true, NextStyle: stacsample.PostTokenNoMerge}, stamps: true, engine: engineUpdated, capability: stacapi.CapabilityString, becauseOf: "filters updated"},
		"query (Earth Search)":                        {refuses: `"filter"`, stamps: true, engine: engineUpdated, capability: stacapi.CapabilityQuery, becauseOf: "filters updated"},
		"no stamps (Planetary Computer)":              {quirks: stacsample.Quirks{NoNumberMatched: true, NextStyle: stacsample.PostTokenNoMerge}, engine: engineWindows, becauseOf: "0 of"},
		"filters ignored (CMR)":                       {quirks: stacsample.Quirks{IgnoreFilter: true, MaxLimit: 5, NextStyle: stacsample.GetHref}, stamps: true, engine: engineWindows, becauseOf: "tomorrow"},
		"stamps of two clocks":                        {stamps: true, skew: time.Hour, engine: engineUpdated, capability: stacapi.CapabilityTimestamp, becauseOf: "filters updated"},
		"GET only":                                    {quirks: stacsample.Quirks{NoPost: true}, stamps: true, engine: engineWindows, becauseOf: "cannot be combined"},
		"undated items":                               {undated: true, engine: engineWindows, becauseOf: "0 of"},
		"undated items, left out of searches by time": {quirks: stacsample.Quirks{ExcludeNullDatetime: true}, undated: true, engine: engineScan, becauseOf: "every poll reads everything"},
	}
}

// refuse answers searches that have a member with 400.
func (f *fixture) refuse(member string) {
	f.onRequest(func(_ int, w http.ResponseWriter, r *http.Request) bool {
		return !refused(member, w, r)
	})
}

func refused(member string, w http.ResponseWriter, r *http.Request) bool {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil || member == "" || !bytes.Contains(body, []byte(member)) {
		return false
	}
	http.Error(w, `{"code":"BadRequest"}`, http.StatusBadRequest)
	return true
}

// TestChoosingTheEngine: what a server has proved is used, and the reason is kept for the operator.
func TestChoosingTheEngine(t *testing.T) {
	t.Parallel()
	for name, kind := range serverKinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 0)
			f.catalogue.SetQuirks(kind.quirks)
			f.refuse(kind.refuses)
			for i := range 8 {
				f.catalogue.Put(f.item(kind, fmt.Sprint("item-", i), time.Now().AddDate(0, 0, -i), 0))
			}
			f.run(f.watchConfig())
			redistest.Eventually(t, "the engine is chosen", func() bool { return f.state().Engine != "" && f.isComplete() })
			if s := f.state(); s.Engine != kind.engine || s.Capability != kind.capability || !strings.Contains(s.Reason, kind.becauseOf) {
				t.Errorf("engine %q, capability %q, because %q", s.Engine, s.Capability, s.Reason)
			}
			f.expectAll()
		})
	}
}

// item makes an item of a server of that kind, in a state that its cloud cover tells.
func (f *fixture) item(kind serverKind, id string, at time.Time, state int) stacsample.Item {
	i := stacsample.Item{Collection: collection, ID: id, Datetime: at.UTC().Truncate(time.Millisecond), BBox: [4]float64{1, 2, 3, 4}, CloudCover: float64(state)}
	if kind.undated && strings.HasSuffix(id, "3") {
		i.Start, i.End, i.Datetime = i.Datetime, i.Datetime.Add(time.Hour), time.Time{}
	}
	if kind.stamps {
		stamp := time.Now().UTC().Add(kind.skew)
		if len(id)%2 == 0 {
			stamp = time.Now().UTC().Add(-kind.skew)
		}
		i.Created, i.Updated = stamp, stamp
	}
	return i
}

// states returns the item and state of each event, in the order of the stream.
func (f *fixture) states() (states []string) {
	f.t.Helper()
	for _, e := range f.events() {
		var data struct {
			ID         string `json:"id"`
			Properties struct {
				Cover float64 `json:"eo:cloud_cover"`
			} `json:"properties"`
		}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			f.t.Fatal(err)
		}
		states = append(states, fmt.Sprintf("%s %g", data.ID, data.Properties.Cover))
	}
	return states
}

// TestEnginesFindEverything: while items of any age appear, late and on time, and change, servers fail and the gateway
// is stopped at random requests and started again, each state that stays for a while becomes one event, and none
// becomes two.
func TestEnginesFindEverything(t *testing.T) {
	t.Parallel()
	for name, kind := range serverKinds() {
		for seed := range uint64(3) {
			t.Run(fmt.Sprint(name, " ", seed), func(t *testing.T) {
				t.Parallel()
				newTurmoil(t, kind, seed).run()
			})
		}
	}
}

// turmoil is a server of which items appear and change while its watcher is stopped and started.
type turmoil struct {
	*fixture
	kind   serverKind
	random *rand.Rand

	mu   sync.Mutex
	last map[string]int  // state of each item
	ever map[string]bool // every state that there was
}

func newTurmoil(t *testing.T, kind serverKind, seed uint64) *turmoil {
	t.Helper()
	m := &turmoil{
		fixture: newFixture(t, 0), kind: kind, random: rand.New(rand.NewPCG(seed, 7)), //nolint:gosec // a test
		last: map[string]int{}, ever: map[string]bool{},
	}
	m.catalogue.SetQuirks(kind.quirks)
	for range 20 {
		m.change()
	}
	return m
}

// change adds an item of any age, or changes one.
func (m *turmoil) change() {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := fmt.Sprint("item-", m.random.IntN(60))
	state, exists := m.last[id]
	if exists {
		state++
	}
	at := time.Now().Add(-time.Duration(m.random.IntN(1000*24)) * time.Hour)
	if old := slices.IndexFunc(m.catalogue.Items(collection), func(i stacsample.Item) bool { return i.ID == id }); old >= 0 {
		item := m.catalogue.Items(collection)[old]
		if at = item.Datetime; at.IsZero() {
			at = item.Start
		}
	}
	m.last[id] = state
	m.ever[fmt.Sprintf("%s %d", id, state)] = true
	m.catalogue.Put(m.item(m.kind, id, at, state))
}

func (m *turmoil) run() {
	if m.random.IntN(2) == 0 { // a second replica, which takes over when the lease is free
		m.runAs("second", m.watchConfig())
	}
	for range 4 {
		m.runUntilRequest(3 + m.random.IntN(40))
	}
	m.refuse(m.kind.refuses)
	m.fixture.run(m.watchConfig())
	m.settle()
}

// runUntilRequest runs a gateway and stops it in the middle of a request, before or after it is answered.
func (m *turmoil) runUntilRequest(n int) {
	reached := make(chan struct{})
	once := sync.OnceFunc(func() { close(reached) })
	answered, first := m.random.IntN(2) == 0, int(m.requests.Load())
	changes := m.random.IntN(3)
	m.onRequest(func(at int, w http.ResponseWriter, r *http.Request) bool {
		if refused(m.kind.refuses, w, r) {
			return false
		}
		if at-first < n {
			if at%4 == changes {
				m.change()
			}
			return !m.fail(at, w)
		}
		if answered {
			m.catalogue.ServeHTTP(w, r)
		}
		once()
		return false
	})
	stop := m.fixture.run(m.watchConfig())
	<-reached
	stop()
}

// fail answers some requests as servers in trouble do.
func (m *turmoil) fail(at int, w http.ResponseWriter) bool {
	if at%7 != 0 {
		return false
	}
	switch at / 7 % 5 {
	case 0:
		http.Error(w, "busy", http.StatusServiceUnavailable)
	case 1:
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
	case 2:
		http.Error(w, `{"message":"Forbidden"}`, http.StatusForbidden)
	case 3:
		_, _ = io.WriteString(w, "<html>Service unavailable</html>")
	case 4:
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"type":"FeatureCollection","features":[`) // and the connection is cut
	}
	return true
}

// settle waits until every item's last state has become an event, and checks that no state has become two and none is
// made up.
func (m *turmoil) settle() {
	m.t.Helper()
	var got []string
	m.t.Cleanup(func() {
		if m.t.Failed() {
			m.t.Logf("last states: %v, events: %v, state: %+v\n%.3000s", m.last, got, m.state(), m.logs.String())
		}
	})
	redistest.Eventually(m.t, "the last state of every item has become an event", func() bool {
		got = m.states()
		for id, state := range m.last {
			if !slices.Contains(got, fmt.Sprintf("%s %d", id, state)) {
				return false
			}
		}
		return true
	})
	before := m.requests.Load()
	redistest.Eventually(m.t, "everything was looked at once more", func() bool { return m.requests.Load() > before+60 })
	got = m.states()
	slices.Sort(got)
	if n := len(slices.Compact(slices.Clone(got))); n != len(got) {
		m.t.Errorf("%d events for %d states: %v", len(got), n, got)
	}
	for _, one := range got {
		if !m.ever[one] {
			m.t.Errorf("there never was %q", one)
		}
	}
}

// TestLateStampsAreFound by the tiers that look back further: an item that was stamped long before it could be seen.
func TestLateStampsAreFound(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	kind := serverKind{stamps: true}
	for i := range 5 {
		f.catalogue.Put(f.item(kind, fmt.Sprint("item-", i), time.Now(), 0))
	}
	f.run(f.watchConfig())
	f.expectAll()
	late := f.item(kind, "late", time.Now(), 0)
	late.Updated = late.Updated.AddDate(0, 0, -40)
	f.catalogue.Put(late)
	f.expectAll()
	if s := f.state(); s.Engine != engineUpdated {
		t.Errorf("engine %q: %s", s.Engine, s.Reason)
	}
}

// TestServerThatStopsFiltering is found out by what it gives, and watched otherwise.
func TestServerThatStopsFiltering(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	kind := serverKind{stamps: true}
	for i := range 5 {
		item := f.item(kind, fmt.Sprint("item-", i), time.Now().AddDate(0, 0, -i), 0)
		item.Updated = item.Updated.Add(-time.Duration(i) * time.Hour)
		f.catalogue.Put(item)
	}
	f.run(f.watchConfig())
	redistest.Eventually(t, "the filter is used", func() bool { return f.state().Engine == engineUpdated && !f.state().Watermark.IsZero() })
	f.catalogue.SetQuirks(stacsample.Quirks{IgnoreFilter: true})
	redistest.Eventually(t, "it is given up", func() bool { return f.state().Engine == engineWindows })
	f.catalogue.Put(f.item(kind, "late", time.Now().AddDate(0, -6, 0), 0))
	f.expectAll()
	if s := f.state(); !strings.Contains(s.Reason, "do not meet") {
		t.Errorf("because %q", s.Reason)
	}
}

// TestWhatIsNewAtTheBeginning: only what startFrom says becomes an event; the rest is noted, and its changes are
// events.
func TestWhatIsNewAtTheBeginning(t *testing.T) {
	t.Parallel()
	ages := []int{0, 2, 10, 100, 1000} // days
	for name, c := range map[string]struct {
		startFrom string
		want      int
	}{
		"lookback":  {"", 2},
		"now":       {startNow, 0},
		"beginning": {startBeginning, 5},
		"a time":    {time.Now().AddDate(0, 0, -50).UTC().Format(time.RFC3339), 3},
	} {
		for _, kind := range []serverKind{{}, {stamps: true}} {
			t.Run(fmt.Sprint(name, " ", kind.stamps), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, 0)
				for _, days := range ages {
					item := f.item(kind, fmt.Sprint("age-", days), time.Now().AddDate(0, 0, -days), 0)
					if kind.stamps {
						item.Updated = item.Datetime
					}
					f.catalogue.Put(item)
				}
				config := f.watchConfig()
				config.StartFrom = c.startFrom
				f.run(config)
				redistest.Eventually(t, "everything was looked at", func() bool { _, swept := f.state().Complete[tierSweep]; return swept })
				if n := len(f.events()); n != c.want {
					t.Fatalf("%d events: %v", n, f.states())
				}
				for n, days := range ages {
					at := time.Now().AddDate(0, 0, -days)
					f.catalogue.Put(f.item(kind, fmt.Sprint("age-", days), at, 1))
					f.catalogue.Put(f.item(kind, fmt.Sprint("new-", days), at, 0))
					redistest.Eventually(t, "changes and late arrivals are found", func() bool { return len(f.events()) == c.want+2*(n+1) })
				}
				for _, e := range f.events()[c.want:] {
					if key, _ := e.Attribute("partitionkey"); strings.Contains(key, "age-") != (e.Type() == typeUpdate) {
						t.Errorf("%s of %s", e.Type(), key)
					}
				}
			})
		}
	}
}

// TestTouches: an update that changes nothing but updated is one, unless that is ignored.
func TestTouches(t *testing.T) {
	t.Parallel()
	for _, ignore := range []bool{false, true} {
		t.Run(fmt.Sprint(ignore), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 0)
			kind := serverKind{stamps: true}
			at := time.Now()
			item := f.item(kind, "a", at, 0)
			f.catalogue.Put(item)
			c := f.watchConfig()
			c.IgnoreTouches = ignore
			f.run(c)
			f.expectAll()
			item.Updated = time.Now().UTC()
			f.catalogue.Put(item)
			f.catalogue.Put(f.item(kind, "b", at, 0))
			redistest.Eventually(t, "the other one is found", func() bool { return slices.Contains(f.states(), "b 0") })
			before := f.requests.Load()
			redistest.Eventually(t, "there were more polls", func() bool { return f.requests.Load() > before+20 })
			if n := len(f.events()); n != map[bool]int{false: 3, true: 2}[ignore] {
				t.Errorf("%d events", n)
			}
		})
	}
}

// TestMassChange: updates are held back until an operator decides; what is new goes on.
func TestMassChange(t *testing.T) {
	t.Parallel()
	for decision, want := range map[string]int{updatesRelease: 20, updatesDiscard: 0} {
		t.Run(decision, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 0)
			kind := serverKind{}
			at := time.Now()
			for i := range 20 {
				f.catalogue.Put(f.item(kind, fmt.Sprint("item-", i), at, 0))
			}
			c := f.watchConfig()
			c.MassChange = MassChangeConfig{AtLeast: 8, Share: 0.5, Quiet: setting.Duration(time.Hour)}
			f.run(c)
			f.expectAll()
			changed := make([]stacsample.Item, 20)
			for i := range changed {
				changed[i] = f.item(kind, fmt.Sprint("item-", i), at, 1)
			}
			f.catalogue.Put(changed...)
			redistest.Eventually(t, "the alarm is raised", func() bool { return f.state().Alarm != nil })
			f.catalogue.Put(f.item(kind, "new", at, 0))
			redistest.Eventually(t, "what is new goes on", func() bool { return slices.Contains(f.states(), "new 0") })
			updates := func() (n int) {
				for _, e := range f.events() {
					if e.Type() == typeUpdate {
						n++
					}
				}
				return n
			}
			held := updates()
			if held > 14 { // what was found before there were so many
				t.Errorf("%d updates in spite of the alarm", held)
			}
			if err := source.SendCommand(t.Context(), f.client, f.stream, "watch", commandUpdates+collection, decision); err != nil {
				t.Fatal(err)
			}
			redistest.Eventually(t, "the alarm is over", func() bool { return f.state().Alarm == nil })
			if want > 0 {
				redistest.Eventually(t, "all updates are there", func() bool { return updates() == want })
			}
			before := f.requests.Load()
			redistest.Eventually(t, "there were more polls", func() bool { return f.requests.Load() > before+20 })
			if n := updates(); n != max(want, held) {
				t.Errorf("%d updates, %d while they were held back", n, held)
			}
			f.catalogue.Put(f.item(kind, "item-3", at, 2))
			redistest.Eventually(t, "the next change is found", func() bool { return slices.Contains(f.states(), "item-3 2") })
		})
	}
}
