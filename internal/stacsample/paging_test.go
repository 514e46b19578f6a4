package stacsample

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func styles() map[string]NextStyle {
	return map[string]NextStyle{
		"PostMergeFalse": PostMergeFalse, "PostMergeTrue": PostMergeTrue, "PostTokenNoMerge": PostTokenNoMerge,
		"PostBodyOnlyToken": PostBodyOnlyToken, "GetHref": GetHref, "GetLiteralColon": GetLiteralColon,
		"RelativeHref": RelativeHref, "Headers": Headers, "NewlineToken": NewlineToken,
	}
}

func requests(base string) map[string]first {
	return map[string]first{
		"post": {http.MethodPost, base + "/search", map[string]any{
			"collections": []string{SceneCollection}, "limit": 3, "datetime": "2020-01-01T00:00:00Z/..",
			"bbox": []float64{-125, 38, -120, 42}, "sortby": []sortTerm{{"properties.updated", "asc"}, {"id", "desc"}},
			"filter": map[string]any{"op": ">=", "args": []any{map[string]string{"property": "eo:cloud_cover"}, 0}},
		}},
		"search": {http.MethodGet, base + "/search?limit=3&collections=" + SceneCollection + "&sortby=-datetime", nil},
		"items":  {http.MethodGet, base + "/collections/" + SceneCollection + "/items?limit=3", nil},
	}
}

// TestNextStylesReachEveryItemOnce: every style leads to all items of the search, each once. A client that loses the
// query on the way would also find the item of the other collection.
func TestNextStylesReachEveryItemOnce(t *testing.T) {
	t.Parallel()
	for name, style := range styles() {
		for kind := range requests("") {
			for _, empty := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/empty=%t", name, kind, empty), func(t *testing.T) {
					t.Parallel()
					c, server := setup(t, 20, Quirks{NextStyle: style, EmptyPageWithNext: empty, NextOnLastPage: empty})
					c.Put(Item{Collection: "other", ID: "x", Datetime: start})
					pages := walk(t, requests(server.URL)[kind], 50)
					ids := allIDs(pages)
					if len(ids) != 20 || distinct(ids) != 20 || slices.Contains(ids, "x") {
						t.Errorf("%d pages with %d ids, %d of them distinct: %q", len(pages), len(ids), distinct(ids),
							ids)
					}
					if *pages[0].NumberMatched != 20 {
						t.Errorf("numberMatched %d, want 20", *pages[0].NumberMatched)
					}
				})
			}
		}
	}
}

func TestNextLinkShapes(t *testing.T) {
	t.Parallel()
	no, yes := false, true
	full := []string{"collections", "limit", "datetime", "bbox", "sortby", "filter"}
	tests := map[string]struct {
		method  string
		merge   *bool
		members []string
	}{
		"PostMergeFalse":    {"POST", &no, append(full, "next")},
		"PostMergeTrue":     {"POST", &yes, []string{"token"}},
		"PostTokenNoMerge":  {"POST", nil, append(full, "token")},
		"PostBodyOnlyToken": {"POST", &no, []string{"next"}},
		"GetHref":           {"", nil, nil},
		"GetLiteralColon":   {"POST", nil, append(full, "token")},
		"RelativeHref":      {"POST", &no, append(full, "next")},
		"Headers":           {"POST", &no, append(full, "next")},
		"NewlineToken":      {"POST", nil, append(full, "token")},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, server := setup(t, 10, Quirks{NextStyle: styles()[name]})
			next := walk(t, requests(server.URL)["post"], 1)[0].next()
			if next == nil || next.Method != want.method || len(next.Body) != len(want.members) {
				t.Fatalf("next link %+v", next)
			}
			if (next.Merge == nil) != (want.merge == nil) || next.Merge != nil && *next.Merge != *want.merge {
				t.Errorf("merge %v", next.Merge)
			}
			for _, member := range want.members {
				if _, ok := next.Body[member]; !ok {
					t.Errorf("the body has no %q: %v", member, next.Body)
				}
			}
			if name == "RelativeHref" != (next.Href == "search") {
				t.Errorf("href %q", next.Href)
			}
		})
	}
}

func TestCrossHostNext(t *testing.T) {
	t.Parallel()
	for name, style := range styles() {
		_, server := setup(t, 10, Quirks{NextStyle: style, CrossHostNext: "https://elsewhere.example/v1/"})
		for kind, f := range requests(server.URL) {
			next := walk(t, f, 1)[0].next()
			if next == nil || !strings.HasPrefix(next.Href, "https://elsewhere.example/v1/") ||
				strings.Contains(next.Href, "v1//") {
				t.Errorf("%s, %s: next link %+v", name, kind, next)
			}
		}
	}
}

func TestTokensOfTheStyles(t *testing.T) {
	t.Parallel()
	_, server := setup(t, 10, Quirks{NextStyle: GetLiteralColon})
	next := walk(t, requests(server.URL)["items"], 1)[0].next()
	if !strings.Contains(next.Href, "token=next:"+SceneCollection+":S2") {
		t.Errorf("GetLiteralColon: href %q", next.Href)
	}

	c, server := setup(t, 10, Quirks{NextStyle: NewlineToken})
	next = walk(t, requests(server.URL)["post"], 1)[0].next()
	text, _ := next.Body["token"].(string)
	if strings.IndexByte(text, '\n') != 76 {
		t.Errorf("NewlineToken: token %q", text)
	}
	if _, err := base64.StdEncoding.DecodeString(text); err != nil {
		t.Error(err)
	}
	next.Body["token"] = strings.ReplaceAll(text, "\n", "")
	decode[map[string]string](t, send(t, "POST", next.Href, next.Body, nil), http.StatusBadRequest)
	next.Body["token"] = text
	c.SetQuirks(Quirks{}) // with another style the token has expired
	decode[map[string]string](t, send(t, "POST", next.Href, next.Body, nil), http.StatusBadRequest)

	_, server = setup(t, 10, Quirks{NextStyle: Headers})
	next = walk(t, requests(server.URL)["post"], 1)[0].next()
	decode[map[string]string](t, send(t, "POST", next.Href, next.Body, nil), http.StatusBadRequest)
	decode[testPage](t, send(t, "POST", next.Href, next.Body, next.Headers), http.StatusOK)
}

func TestBadTokens(t *testing.T) {
	t.Parallel()
	for name, style := range styles() {
		for _, text := range []string{"x", "next:a", "next:nowhere:b", "e30x", "eyJrIjpbXX0", strings.Repeat("A", 99)} {
			_, server := setup(t, 1, Quirks{NextStyle: style})
			headers := map[string]string{tokenHeader: session(text)}
			a := send(t, "GET", server.URL+"/search?token="+text, nil, headers)
			if a.status != http.StatusBadRequest {
				t.Errorf("%s: token %q: status %d", name, text, a.status)
			}
		}
	}
}

// TestBodyOnlyTokenTakesAnotherLimit: a limit in the body overrides that of the query in the token.
func TestBodyOnlyTokenTakesAnotherLimit(t *testing.T) {
	t.Parallel()
	_, server := setup(t, 10, Quirks{NextStyle: PostBodyOnlyToken})
	next := walk(t, requests(server.URL)["post"], 1)[0].next()
	next.Body["limit"] = 1
	page := decode[testPage](t, send(t, "POST", next.Href, next.Body, nil), http.StatusOK)
	if len(page.Features) != 1 {
		t.Errorf("%d features, want 1", len(page.Features))
	}
}

// TestInsertsDoNotShiftPages: items that arrive while a client pages do not make others appear twice or not at all.
func TestInsertsDoNotShiftPages(t *testing.T) {
	t.Parallel()
	c, server := setup(t, 9, Quirks{})
	seen := allIDs(walk(t, first{"GET", server.URL + "/search?limit=3", nil}, 1))
	next := walk(t, first{"GET", server.URL + "/search?limit=3", nil}, 1)[0].next()
	for i := range 5 {
		c.Put(Item{Collection: SceneCollection, ID: fmt.Sprint("new", i), Datetime: start.AddDate(1, 0, i)})
	}
	seen = append(seen, allIDs(walk(t, first{"GET", next.Href, nil}, 50))...)
	if len(seen) != 9 || distinct(seen) != 9 {
		t.Errorf("seen %q", seen)
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	c, server := setup(t, 0, Quirks{})
	day := func(n int) time.Time { return start.AddDate(0, 0, n) }
	c.Put(Item{Collection: "c", ID: "a", Datetime: day(1), Updated: day(9)})
	c.Put(Item{Collection: "c", ID: "b", Datetime: day(1), CloudCover: 5})
	c.Put(Item{Collection: "c", ID: "d", Start: day(2), End: day(8), Updated: day(7), CloudCover: 100})
	for sortby, want := range map[string]string{
		"": "d b a", "datetime": "a b d", "+updated": "d a b", "-properties.updated": "b a d",
		"-eo:cloud_cover":   "d b a",
		"%2Bcollection,-id": "d b a", "-datetime,id": "d a b",
	} {
		page := decode[testPage](t, get(t, server.URL+"/search?sortby="+sortby), http.StatusOK)
		if got := strings.Join(page.ids(), " "); got != want {
			t.Errorf("sortby=%s: %s, want %s", sortby, got, want)
		}
	}
	decode[map[string]string](t, get(t, server.URL+"/search?sortby=colour"), http.StatusBadRequest)
	body := `{"sortby":[{"field":"id","direction":"up"}]}`
	decode[map[string]string](t, send(t, "POST", server.URL+"/search", body, nil), http.StatusBadRequest)
	c.SetQuirks(Quirks{IgnoreSort: true})
	page := decode[testPage](t, get(t, server.URL+"/search?sortby=datetime"), http.StatusOK)
	if got := strings.Join(page.ids(), " "); got != "d b a" {
		t.Errorf("IgnoreSort: %s", got)
	}
}

// TestSortTieBug: these sorts lose items with pgstac 0.9.11.
func TestSortTieBug(t *testing.T) {
	t.Parallel()
	one := func(c *Catalog) {
		for i := range 29 {
			c.Put(Item{Collection: "c", ID: fmt.Sprintf("i%02d", i), Datetime: start.AddDate(0, 0, i/5),
				Updated: start.AddDate(0, 0, i/4)})
		}
	}
	two := func(c *Catalog) {
		for i := range 10 {
			for _, name := range []string{"c", "d"} {
				c.Put(Item{Collection: name, ID: fmt.Sprint("i", i), Datetime: start.AddDate(0, 0, i), Updated: start})
			}
		}
	}
	tests := []struct {
		name, sortby string
		fill         func(*Catalog)
		total        int
		loses        bool
	}{
		{"updated", "updated", one, 29, true},
		{"datetime", "datetime", one, 29, true},
		{"default", "", one, 29, false},
		{"updated desc", "-updated", one, 29, false},
		{"updated, id", "updated,id", one, 29, false},
		{"two collections", "", two, 20, true},
		{"two collections: updated, id", "updated,id", two, 20, true},
		{"two collections: updated, collection, id", "updated,collection,id", two, 20, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, server := setup(t, 0, Quirks{SortTieBug: true})
			test.fill(c)
			target := first{"GET", server.URL + "/search?limit=3&sortby=" + test.sortby, nil}
			ids := func() int {
				keys := []string{}
				for _, page := range walk(t, target, 99) {
					for _, f := range page.Features {
						keys = append(keys, f.Collection+"/"+f.ID)
					}
				}
				return distinct(keys)
			}
			if n := ids(); n == test.total == test.loses {
				t.Errorf("found %d of %d, loses %t", n, test.total, test.loses)
			}
			c.SetQuirks(Quirks{})
			if n := ids(); n != test.total {
				t.Errorf("without the bug: found %d of %d", n, test.total)
			}
		})
	}
}

// TestSortTieBugRepeats: of two equal items at the end of a page, the second comes twice.
func TestSortTieBugRepeats(t *testing.T) {
	t.Parallel()
	c, server := setup(t, 0, Quirks{SortTieBug: true, MaxLimit: 2})
	for i, id := range []string{"a", "b", "c", "d"} {
		c.Put(Item{Collection: "c", ID: id, Updated: start.AddDate(0, 0, i/2)})
	}
	ids := allIDs(walk(t, first{"GET", server.URL + "/search?sortby=updated", nil}, 9))
	if got := strings.Join(ids, " "); got != "a b b c" {
		t.Errorf("found %s", got)
	}
}
