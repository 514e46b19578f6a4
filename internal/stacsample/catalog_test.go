package stacsample

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type document struct {
	ID, Type, Title string
	ConformsTo      []string
	Links           []testLink
	Collections     []document
}

// links returns "type method href" of the links with the rel.
func (d document) links(rel string) []string {
	var out []string
	for _, one := range d.Links {
		if one.Rel == rel {
			out = append(out, strings.TrimSpace(one.Type+" "+one.Method)+" "+one.Href)
		}
	}
	return out
}

func TestLandingPage(t *testing.T) {
	t.Parallel()
	_, server := setup(t, 1, Quirks{})
	page := decode[document](t, get(t, server.URL), http.StatusOK)
	for rel, want := range map[string][]string{
		"self":        {"application/json " + server.URL + "/"},
		"root":        {"application/json " + server.URL + "/"},
		"data":        {"application/json " + server.URL + "/collections"},
		"conformance": {"application/json " + server.URL + "/conformance"},
		"child":       {"application/json " + server.URL + "/collections/" + SceneCollection},
		"search": {
			"application/geo+json GET " + server.URL + "/search", "application/geo+json POST " + server.URL + "/search",
		},
	} {
		if got := page.links(rel); !slices.Equal(got, want) {
			t.Errorf("rel=%s: %q, want %q", rel, got, want)
		}
	}
	for _, class := range []string{"/core", "/item-search", "/item-search#filter", "/item-search#sort"} {
		if !slices.Contains(page.ConformsTo, "https://api.stacspec.org/v1.0.0"+class) {
			t.Errorf("conformsTo lacks %s", class)
		}
	}
	if !slices.Contains(page.ConformsTo, "http://www.opengis.net/spec/cql2/1.0/conf/cql2-json") {
		t.Error("conformsTo lacks cql2-json")
	}
	conformance := decode[document](t, get(t, server.URL+"/conformance"), http.StatusOK)
	if !slices.Equal(conformance.ConformsTo, page.ConformsTo) {
		t.Errorf("/conformance says %q", conformance.ConformsTo)
	}
}

func TestLandingPageQuirks(t *testing.T) {
	t.Parallel()
	_, server := setup(t, 1, Quirks{NoPost: true, OpenSearchLinkFirst: true, WrongConformance: true})
	page := decode[document](t, get(t, server.URL), http.StatusOK)
	want := []string{
		"application/opensearchdescription+xml " + server.URL + "/description.xml",
		"application/geo+json GET " + server.URL + "/search",
	}
	if got := page.links("search"); !slices.Equal(got, want) {
		t.Errorf("search links %q", got)
	}
	if classes := strings.Join(page.ConformsTo, " "); !strings.Contains(classes, "rc.2") ||
		!strings.Contains(classes, "/req/") {
		t.Errorf("WrongConformance: %s", classes)
	}
	if a := send(t, "POST", server.URL+"/search", "{}", nil); a.status != http.StatusMethodNotAllowed ||
		a.header.Get("Allow") == "" {
		t.Errorf("NoPost: status %d, Allow %q", a.status, a.header.Get("Allow"))
	}
	_, server = setup(t, 1, Quirks{ConformanceElsewhere: true})
	if page = decode[document](t, get(t, server.URL), http.StatusOK); page.ConformsTo != nil {
		t.Errorf("ConformanceElsewhere: %q", page.ConformsTo)
	}
	if page = decode[document](t, get(t, server.URL+"/conformance"), http.StatusOK); page.ConformsTo == nil {
		t.Error("ConformanceElsewhere: /conformance is empty")
	}
}

func TestCollections(t *testing.T) {
	t.Parallel()
	c, server := setup(t, 0, Quirks{})
	c.AddCollection("odd/id:1", "Odd")
	c.AddCollection(SceneCollection, "Another title")
	all := decode[document](t, get(t, server.URL+"/collections"), http.StatusOK).Collections
	if len(all) != 2 || all[0].Title != "Another title" || all[1].ID != "odd/id:1" || all[1].Type != "Collection" {
		t.Errorf("collections %+v", all)
	}
	one := decode[document](t, get(t, server.URL+"/collections/odd%2Fid:1"), http.StatusOK)
	if got := one.links("items"); len(got) != 1 ||
		got[0] != "application/geo+json "+server.URL+"/collections/odd%2Fid:1/items" {
		t.Errorf("items link %q", got)
	}
	if page := decode[testPage](t, get(t, server.URL+"/collections/odd%2Fid:1/items/"),
		http.StatusOK); len(page.Features) != 0 {
		t.Errorf("items %v", page.ids())
	}
}

func TestUnknownResources(t *testing.T) {
	t.Parallel()
	_, server := setup(t, 1, Quirks{})
	for _, path := range []string{
		"/x", "/collections/x", "/collections/x/items", "/collections/" + SceneCollection + "/items/x", "/search/x",
		"/collections/" + SceneCollection + "/queryables", "/collections//items", "/conformance/x",
		"/collections/a/items/b/c",
	} {
		if problem := decode[map[string]string](t, get(t, server.URL+path), 404); problem["code"] != "NotFound" {
			t.Errorf("%s: %v", path, problem)
		}
	}
	for path, method := range map[string]string{"/": "POST", "/collections": "DELETE", "/search": "PUT"} {
		decode[map[string]string](t, send(t, method, server.URL+path, nil, nil), http.StatusMethodNotAllowed)
	}
	large := strings.Repeat(" ", maxBody+1)
	decode[map[string]string](t, send(t, "POST", server.URL+"/search", large, nil), http.StatusRequestEntityTooLarge)
}

func TestItemDocument(t *testing.T) {
	t.Parallel()
	c, server := setup(t, 1, Quirks{})
	item := c.Items(SceneCollection)[0]
	a := get(t, server.URL+"/collections/"+SceneCollection+"/items/"+item.ID)
	if got := a.header.Get("Content-Type"); got != "application/geo+json" {
		t.Errorf("content type %q", got)
	}
	doc := decode[map[string]any](t, a, http.StatusOK)
	for _, member := range []string{"type", "stac_version", "id", "collection", "geometry", "bbox", "properties",
		"links", "assets"} {
		if doc[member] == nil {
			t.Errorf("no %s", member)
		}
	}
	properties := doc["properties"].(map[string]any)
	if properties["datetime"] != "2021-12-30T18:55:00Z" || properties["updated"] == nil ||
		properties["created"] == nil {
		t.Errorf("properties %v", properties)
	}
	d := decode[document](t, a, http.StatusOK)
	if got := d.links("self"); len(got) != 1 || got[0] != "application/geo+json "+a.url.String() {
		t.Errorf("self %q", got)
	}

	c.Put(Item{
		Collection: "c", ID: "a/b c", Start: start, End: start.Add(time.Hour), NoSelf: true,
		Extra: map[string]any{"published": "2026-01-01T00:00:00Z", "eo:cloud_cover": nil},
	})
	doc = decode[map[string]any](t, get(t, server.URL+"/collections/c/items/a%2Fb%20c"), http.StatusOK)
	properties = doc["properties"].(map[string]any)
	if datetime, ok := properties["datetime"]; !ok || datetime != nil || properties["start_datetime"] == nil ||
		properties["end_datetime"] == nil {
		t.Errorf("null datetime: %v", properties)
	}
	if _, ok := properties["updated"]; ok || properties["published"] == nil || properties["eo:cloud_cover"] != nil {
		t.Errorf("extra: %v", properties)
	}
	if geometry, ok := doc["geometry"]; !ok || geometry != nil || doc["bbox"] != nil {
		t.Errorf("without a bbox: %v", doc)
	}
	if strings.Contains(fmt.Sprint(doc["links"]), "self") {
		t.Errorf("NoSelf: %v", doc["links"])
	}
	c.Put(Item{Collection: "c", ID: "bad", Extra: map[string]any{"f": func() {}}})
	if a := get(t, server.URL+"/collections/c/items/bad"); a.status != http.StatusInternalServerError {
		t.Errorf("an item that is not JSON: status %d", a.status)
	}
}

func TestPutReplacesAndDelete(t *testing.T) {
	t.Parallel()
	c := New()
	extra := map[string]any{"version": "1"}
	c.Put(Item{Collection: "c", ID: "b", Extra: extra})
	extra["version"] = "2"
	c.Put(Item{Collection: "c", ID: "a", CloudCover: 1})
	c.Put(Item{Collection: "c", ID: "a", CloudCover: 2})
	items := c.Items("c")
	if len(items) != 2 || items[0].CloudCover != 2 || items[1].Extra["version"] != "1" {
		t.Errorf("items %+v", items)
	}
	c.Delete("c", "a")
	c.Delete("c", "a")
	c.Delete("x", "a")
	if items := c.Items("c"); len(items) != 1 || items[0].ID != "b" || c.Items("x") != nil {
		t.Errorf("after delete: %+v", items)
	}
}

func TestBaseURL(t *testing.T) {
	t.Parallel()
	c := New(WithBaseURL("https://example.org/stac/"))
	recorder := httptest.NewRecorder()
	http.StripPrefix("/stac", c).ServeHTTP(recorder, httptest.NewRequest("GET", "/stac/", nil))
	var page document
	if err := json.Unmarshal(recorder.Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	if got := page.links("data"); len(got) != 1 || got[0] != "application/json https://example.org/stac/collections" {
		t.Errorf("data link %q", got)
	}
	server := httptest.NewTLSServer(New())
	defer server.Close()
	response, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	if got := page.links("data"); got[0] != "application/json "+server.URL+"/collections" {
		t.Errorf("data link over TLS %q", got)
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	c := New()
	for i := range keptRequests + 10 {
		r := httptest.NewRequest("GET", fmt.Sprint("/search?limit=", i), nil)
		c.ServeHTTP(httptest.NewRecorder(), r)
	}
	r := httptest.NewRequest("POST", "/collections/a%2Fb", strings.NewReader(strings.Repeat("x", keptBody+1)))
	r.Header.Set("User-Agent", "me")
	c.ServeHTTP(httptest.NewRecorder(), r)
	all := c.Requests()
	if len(all) != keptRequests || all[0].Query != "limit=11" || all[0].Status != 200 {
		t.Errorf("%d requests, the first %+v", len(all), all[0])
	}
	last := all[len(all)-1]
	if last.Method != "POST" || last.Path != "/collections/a/b" || len(last.Body) != keptBody || last.Status != 405 ||
		last.Header.Get("User-Agent") != "me" || last.Time.IsZero() {
		t.Errorf("last %s %s, %d bytes, status %d, at %s", last.Method, last.Path, len(last.Body), last.Status,
			last.Time)
	}
}

func TestScenes(t *testing.T) {
	t.Parallel()
	items, again := Scenes(40, start), Scenes(40, start)
	pattern := regexp.MustCompile(`^S2[AB]_10[TS][A-Z]{2}_\d{8}_\d+_L2A$`)
	seen := map[string]bool{}
	for i, item := range items {
		if fmt.Sprint(item) != fmt.Sprint(again[i]) {
			t.Errorf("scene %d is not the same the second time", i)
		}
		if !pattern.MatchString(item.ID) || seen[item.ID] {
			t.Errorf("id %q", item.ID)
		}
		seen[item.ID] = true
		if i > 0 && !item.Datetime.After(items[i-1].Datetime) {
			t.Errorf("scene %d is not later than the one before", i)
		}
		if !item.Updated.After(item.Datetime) || item.CloudCover < 0 || item.CloudCover > 100 || len(item.Assets) < 4 {
			t.Errorf("scene %+v", item)
		}
		for _, asset := range item.Assets {
			if !strings.HasPrefix(asset.Href, "https://example.com/") {
				t.Errorf("asset %q", asset.Href)
			}
		}
		b := item.BBox
		if b[0] < -125 || b[2] > -120 || b[1] < 38 || b[3] > 42 || b[0] >= b[2] || b[1] >= b[3] {
			t.Errorf("bbox %v", b)
		}
	}
	if id := items[5].ID; id != "S2A_10TFK_20211230_0_L2A" || !items[0].Datetime.Equal(start) {
		t.Errorf("sixth scene %s, first at %s", id, items[0].Datetime)
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := New()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute+time.Second)
		defer cancel()
		var published []Item
		if err := c.Publish(ctx, "live", time.Minute, func(item Item) {
			if published = append(published, item); !item.Updated.Equal(time.Now()) ||
				!item.Datetime.Equal(time.Now()) {
				t.Errorf("scene of %s updated %s, now it is %s", item.Datetime, item.Updated, time.Now())
			}
		}); err != nil {
			t.Error(err)
		}
		if len(published) != 30 || len(c.Items("live")) != 30 {
			t.Errorf("published %d scenes, there are %d", len(published), len(c.Items("live")))
		}
		again, cancelAgain := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancelAgain()
		if err := c.Publish(again, "live", 3*time.Second, nil); err != nil {
			t.Error(err)
		}
		if n := len(c.Items("live")); n != 33 {
			t.Errorf("the second time: %d scenes, want 33", n)
		}
	})
	if err := New().Publish(t.Context(), "c", 0, nil); err == nil {
		t.Error("no error for an interval of 0")
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	c, server := setup(t, 8, Quirks{})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for n := range 20 {
				c.Put(Item{Collection: "c", ID: fmt.Sprint(i, "-", n), Extra: map[string]any{"n": n}})
				c.Delete("c", fmt.Sprint(i, "-", n-1))
				c.AddCollection(fmt.Sprint("c", i), "title")
				c.SetQuirks(Quirks{Status5xx: StatusFault{Times: n % 2}})
				get(t, server.URL+"/search")
				c.Items("c")
				c.Requests()
			}
		})
	}
	group.Wait()
	c.SetQuirks(Quirks{})
	if pages := walk(t, first{"GET", server.URL + "/collections/c/items", nil}, 9); len(allIDs(pages)) != 8 {
		t.Errorf("items %q", allIDs(pages))
	}
}
