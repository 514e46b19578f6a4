package stac

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/internal/redistest"
)

// tree is a static catalogue: files with an ETag.
type tree struct {
	mu    sync.Mutex
	files map[string]string
	sent  map[string]int // by path, how often a file was sent
	asked int
	broke map[string]int // statuses that paths are answered with
	*httptest.Server
}

func newTree(t *testing.T) *tree {
	t.Helper()
	tr := &tree{files: map[string]string{}, sent: map[string]int{}, broke: map[string]int{}}
	tr.Server = httptest.NewServer(tr)
	t.Cleanup(tr.Close)
	return tr
}

// ServeHTTP implements http.Handler.
func (tr *tree) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.asked++
	if status := tr.broke[r.URL.Path]; status != 0 {
		w.WriteHeader(status)
		return
	}
	file, found := tr.files[r.URL.Path]
	if !found {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	sum := sha256.Sum256([]byte(file))
	etag := `"` + hex.EncodeToString(sum[:4]) + `"`
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	tr.sent[r.URL.Path]++
	_, _ = w.Write([]byte(file))
}

func (tr *tree) put(path, file string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.files[path] = file
}

func (tr *tree) change(f func()) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	f()
}

// catalog puts a catalogue or collection with links: "child x", "item y".
func (tr *tree) catalog(path, kind, id string, links ...string) {
	var list []map[string]string
	for _, l := range links {
		rel, href, _ := strings.Cut(l, " ")
		list = append(list, map[string]string{"rel": rel, "href": href})
	}
	text, err := json.Marshal(map[string]any{"type": kind, "id": id, "stac_version": "1.0.0", "links": list})
	if err != nil {
		panic(err)
	}
	tr.put(path, string(text))
}

func (tr *tree) item(path, id string, state int, more string) {
	tr.put(path, fmt.Sprintf(`{"type":"Feature","id":%q,"bbox":[1,2,3,4],"geometry":{"type":"Point","coordinates":[2,3]},`+
		`"properties":{"datetime":%q,"eo:cloud_cover":%d},"links":[],"assets":{}%s}`, id, time.Now().Add(-time.Hour).UTC().Truncate(time.Hour).Format(time.RFC3339), state, more))
}

// fill makes a catalogue with cycles, duplicates, relative and absolute links, and a file of items.
func (tr *tree) fill() {
	tr.catalog("/cat/catalog.json", "Catalog", "root", "root catalog.json", "child ./a/collection.json", "child "+tr.URL+"/cat/b/catalog.json", "child ./a/../a/collection.json")
	tr.catalog("/cat/a/collection.json", "Collection", "a", "parent ../catalog.json", "item ./1.json", "item 2.json", "item 1.json", "child ../catalog.json")
	tr.catalog("/cat/b/catalog.json", "Catalog", "b", "child deep/collection.json", "child collection.json")
	tr.catalog("/cat/b/deep/collection.json", "Collection", "deep", "item /cat/b/deep/4.json", "items all.json")
	tr.catalog("/cat/b/collection.json", "Collection", "b-2020", "item 3.json")
	tr.item("/cat/a/1.json", "one", 0, "")
	tr.item("/cat/a/2.json", "two", 0, "")
	tr.item("/cat/b/3.json", "three", 0, "")
	tr.item("/cat/b/deep/4.json", "four", 0, `,"collection":"deep"`)
	five, six := "", ""
	tr.item("/x", "five", 0, "")
	five = tr.files["/x"]
	tr.item("/x", "six", 0, "")
	six = tr.files["/x"]
	tr.put("/cat/b/deep/all.json", `{"type":"FeatureCollection","features":[`+five+","+six+"]}")
}

// treeConfig returns a configuration that crawls the tree again and again.
func (f *fixture) treeConfig(tr *tree) *Config {
	c := f.watchConfig()
	f.tiers = 0
	c.URL, c.Collections = tr.URL+"/cat/catalog.json", []string{"*"}
	f.crawls = 50 * time.Millisecond
	return c
}

// TestStaticCatalogue: everything that can be reached becomes one event, and changes become one more; what has not
// changed is not sent again.
func TestStaticCatalogue(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.fill()
	f := newFixture(t, 0)
	read := f.order("past", Backfill{From: time.Now().AddDate(0, -1, 0), To: time.Now(), Step: hours(24), Wanted: WantedRun, Ordered: time.Now()})
	stop := f.run(f.treeConfig(tr))
	redistest.Eventually(t, "a backfill is refused", func() bool { return read().State == backfillCanceled })
	all := []string{"a/one", "a/two", "b-2020/three", "deep/five", "deep/four", "deep/six"}
	redistest.Eventually(t, "everything is found", func() bool { return slices.Equal(f.keys(), all) })
	for _, e := range f.events() {
		if key, _ := e.Attribute("partitionkey"); key == "a/one" && (e.Subject() != tr.URL+"/cat/a/1.json" || e.Source() != tr.URL+"/cat/collections/a") {
			t.Errorf("subject %q, source %q", e.Subject(), e.Source())
		}
	}
	asked := func() (n int) { tr.change(func() { n = tr.asked }); return n }
	before := asked()
	redistest.Eventually(t, "there were more crawls", func() bool { return asked() > before+30 })
	tr.item("/cat/a/2.json", "two", 1, "")
	redistest.Eventually(t, "the change is found", func() bool { return slices.Contains(f.states(), "two 1") })
	stop()
	f.run(f.treeConfig(tr))
	before = asked()
	redistest.Eventually(t, "another gateway has crawled", func() bool { return asked() > before+30 })
	tr.item("/cat/a/7.json", "seven", 0, "")
	tr.catalog("/cat/a/collection.json", "Collection", "a", "item 1.json", "item 2.json", "item 7.json")
	redistest.Eventually(t, "the new item is found", func() bool { return slices.Contains(f.states(), "seven 0") })
	if n := len(f.events()); n != 8 {
		t.Errorf("%d events: %v", n, f.states())
	}
	tr.change(func() {
		if n := tr.sent["/cat/a/1.json"]; n != 2 { // once to each gateway
			t.Errorf("an item that never changed was sent %d times", n)
		}
	})
	if s := f.stateOf("a"); s.Engine != engineCrawl {
		t.Errorf("engine %q", s.Engine)
	}
}

// TestStaticCatalogueInPart: collections, area and time are chosen by the client.
func TestStaticCatalogueInPart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(c *Config)
		want   []string
	}{
		"collections": {func(c *Config) { c.Collections = []string{"b*", "a"} }, []string{"a/one", "a/two", "b-2020/three"}},
		"area":        {func(c *Config) { c.BBox = []float64{10, 10, 20, 20} }, nil},
		"other area":  {func(c *Config) { c.BBox = []float64{1, 1, 20, 20} }, []string{"a/one", "a/two", "b-2020/three", "deep/five", "deep/four", "deep/six"}},
		"time":        {func(c *Config) { c.Datetime = "2015-01-01T00:00:00Z/2016-01-01T00:00:00Z" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTree(t)
			tr.fill()
			f := newFixture(t, 0)
			config := f.treeConfig(tr)
			c.change(config)
			f.run(config)
			redistest.Eventually(t, "it was crawled", func() (crawled bool) {
				tr.change(func() { crawled = tr.asked > 40 })
				return crawled
			})
			if got := f.keys(); !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// TestBrokenStaticCatalogue: what can be read is published, what cannot is reported, and nothing is taken for deleted
// before everything was read; then what is not there is.
func TestBrokenStaticCatalogue(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.fill()
	tr.put("/cat/a/2.json", `{"type":"Feature","id":`)
	other := newTree(t)
	other.item("/far.json", "far", 0, "")
	tr.catalog("/cat/b/collection.json", "Collection", "b-2020", "item 3.json", "item "+other.URL+"/far.json", "item file:///etc/passwd", "item gone.json")
	f := newFixture(t, 0)
	c := f.treeConfig(tr)
	c.Deletes.Enabled, c.Sweep.Every, c.Warm.Every, c.Cold.Every = true, hours(168), hours(1), hours(24)
	f.tiers = time.Second
	f.run(c)
	redistest.Eventually(t, "what can be read is published", func() bool { return len(f.keys()) == 5 })
	redistest.Eventually(t, "the rest is reported", func() bool {
		return strings.Contains(f.logs.String(), "2 documents of the catalog could not be read") && strings.Contains(f.logs.String(), "/cat/a/2.json")
	})
	other.change(func() {
		if other.asked > 0 {
			t.Error("a link to another host was followed")
		}
	})
	tr.change(func() { delete(tr.files, "/cat/b/deep/4.json") })
	tr.catalog("/cat/b/deep/collection.json", "Collection", "deep", "items all.json")
	var asked int
	tr.change(func() { asked = tr.asked })
	redistest.Eventually(t, "it was crawled again", func() (again bool) {
		tr.change(func() { again = tr.asked > asked+60 })
		return again
	})
	if deleted := f.typed(typeDelete); len(deleted) > 0 {
		t.Errorf("%v is taken for deleted, though not everything was read", deleted)
	}
	tr.item("/cat/a/2.json", "two", 0, "")
	tr.catalog("/cat/b/collection.json", "Collection", "b-2020", "item 3.json")
	redistest.Eventually(t, "the deletion is found", func() bool { return slices.Equal(f.typed(typeDelete), []string{"deep/four"}) })
}

// TestMassChangeOfAStaticCatalogue: updates that were held back are found when they are released, though their files
// have not changed since.
func TestMassChangeOfAStaticCatalogue(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	links := make([]string, 20)
	put := func(state int) {
		for i := range links {
			links[i] = fmt.Sprintf("item %d.json", i)
			tr.item(fmt.Sprintf("/cat/%d.json", i), fmt.Sprint("item-", i), state, "")
		}
	}
	put(0)
	tr.catalog("/cat/catalog.json", "Collection", "all", links...)
	f := newFixture(t, 0)
	c := f.treeConfig(tr)
	c.MassChange.AtLeast = 5
	f.run(c)
	redistest.Eventually(t, "everything is found", func() bool { return len(f.keys()) == 20 })
	put(1)
	redistest.Eventually(t, "the alarm is raised", func() bool { return f.stateOf("all").Alarm != nil })
	if err := source.SendCommand(t.Context(), f.client, f.stream, "watch", commandUpdates+"all", updatesRelease); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, "all updates are there", func() bool { return len(f.keys()) == 40 })
}

// TestPagedFileOfItems is read to its last page; one whose items are not wanted is not sent again.
func TestPagedFileOfItems(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	feature := func(id string) string {
		tr.item("/x", id, 0, `,"collection":"wanted"`)
		return tr.files["/x"]
	}
	tr.catalog("/cat/catalog.json", "Catalog", "root", "items 1.json", "item other.json")
	tr.put("/cat/1.json", `{"type":"FeatureCollection","features":[`+feature("a")+`],"links":[{"rel":"next","href":"2.json"}]}`)
	tr.put("/cat/2.json", `{"type":"FeatureCollection","features":[`+feature("b")+`],"links":[{"rel":"next","href":"3.json"}]}`)
	tr.put("/cat/3.json", `{"type":"FeatureCollection","features":[`+feature("c")+`],"links":[]}`)
	tr.item("/cat/other.json", "other", 0, `,"collection":"unwanted"`)
	f := newFixture(t, 0)
	c := f.treeConfig(tr)
	c.Collections = []string{"wanted"}
	f.run(c)
	redistest.Eventually(t, "every page is read", func() bool { return slices.Equal(f.keys(), []string{"wanted/a", "wanted/b", "wanted/c"}) })
	redistest.Eventually(t, "it was crawled again", func() (again bool) {
		tr.change(func() { again = tr.asked > 30 })
		return again
	})
	tr.change(func() {
		if n := tr.sent["/cat/other.json"]; n != 1 {
			t.Errorf("what is not wanted was sent %d times", n)
		}
	})
}

// TestOneIDInSeveralFiles: the first file counts, with and without validators and over restarts; it is told once.
func TestOneIDInSeveralFiles(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.catalog("/cat/catalog.json", "Collection", "a", "item 1.json", "item 2.json", "item 3.json", "items all.json")
	for n := range 3 {
		tr.item(fmt.Sprintf("/cat/%d.json", n+1), "same", n, "")
	}
	tr.put("/cat/all.json", `{"type":"FeatureCollection","features":[{"type":"Feature","id":"same","geometry":null,`+
		`"properties":{"datetime":"2026-11-01T00:00:00Z"},"links":[],"assets":{}}]}`)
	f := newFixture(t, 0)
	for range 2 {
		stop := f.run(f.treeConfig(tr))
		var asked int
		tr.change(func() { asked = tr.asked })
		redistest.Eventually(t, "there were many crawls", func() (enough bool) {
			tr.change(func() { enough = tr.asked > asked+30 })
			return enough
		})
		stop()
		if got := f.states(); !slices.Equal(got, []string{"same 0"}) {
			t.Errorf("%v", got)
		}
	}
	if n := strings.Count(f.logs.String(), "items are in several files"); n != 2 { // once for each run
		t.Errorf("told %d times", n)
	}
	run := f.run(f.treeConfig(tr))
	tr.catalog("/cat/catalog.json", "Collection", "a", "item 2.json", "item 3.json")
	redistest.Eventually(t, "the next file counts", func() bool { return slices.Contains(f.states(), "same 1") })
	run()
}

// TestEmptyStaticCatalogue is told once, as empty, and is no failure; what comes later is found.
func TestEmptyStaticCatalogue(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.catalog("/cat/catalog.json", "Catalog", "root", "child a.json")
	tr.catalog("/cat/a.json", "Collection", "a")
	f := newFixture(t, 0)
	f.run(f.treeConfig(tr))
	redistest.Eventually(t, "there were many crawls", func() (enough bool) {
		tr.change(func() { enough = tr.asked > 10 })
		return enough
	})
	tr.item("/cat/1.json", "one", 0, "")
	tr.catalog("/cat/a.json", "Collection", "a", "item 1.json")
	redistest.Eventually(t, "the item is found", func() bool { return len(f.keys()) == 1 })
	logs := f.logs.String()
	if strings.Count(logs, "the catalog is empty") != 1 || strings.Contains(logs, "could not be searched completely") {
		t.Errorf("%s", logs)
	}
}
