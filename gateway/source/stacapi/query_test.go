package stacapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
)

// TestSearchParameters: every part of a search, by POST and by GET (STAC API item search; OGC API Features part 3).
func TestSearchParameters(t *testing.T) {
	t.Parallel()
	polygon := `{"type":"Polygon","coordinates":[[[-121.4,39.8],[-120.7,39.8],[-120.7,40.5],[-121.4,39.8]]]}`
	for name, c := range map[string]struct {
		change func(*Query)
		post   string // in the body besides what is always there
		get    string // in the query, decoded
	}{
		"nothing else":    {func(*Query) {}, ``, ``},
		"bbox":            {func(q *Query) { q.BBox = []float64{-121.399, 1e-7, -120.74, 39} }, `"bbox":[-121.399,1e-7,-120.74,39],`, "bbox=-121.399,0.0000001,-120.74,39&"},
		"bbox of six":     {func(q *Query) { q.BBox = []float64{1, 2, 3, 4, 5, 6} }, `"bbox":[1,2,3,4,5,6],`, "bbox=1,2,3,4,5,6&"},
		"intersects":      {func(q *Query) { q.Intersects = polygon }, `"intersects":` + polygon + `,`, "intersects=" + polygon + "&"},
		"CQL2 JSON":       {func(q *Query) { q.Filter = ` {"op":"=","args":[{"property":"a+b"},"x y"]} ` }, `"filter":{"op":"=","args":[{"property":"a+b"},"x y"]},"filter-lang":"cql2-json",`, `filter={"op":"=","args":[{"property":"a+b"},"x y"]}&filter-lang=cql2-json&`},
		"CQL2 text":       {func(q *Query) { q.Filter = " eo:cloud_cover < 20 AND x='a+b'\n" }, `"filter":"eo:cloud_cover < 20 AND x='a+b'","filter-lang":"cql2-text",`, "filter=eo:cloud_cover < 20 AND x='a+b'&filter-lang=cql2-text&"},
		"filter and area": {func(q *Query) { q.BBox, q.Filter = []float64{1, 2, 3, 4}, "a<1" }, `"bbox":[1,2,3,4],"filter":"a<1","filter-lang":"cql2-text",`, "bbox=1,2,3,4&filter=a<1&filter-lang=cql2-text&"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := Query{Collection: "a&b", Window: Interval{From: day(0)}, Limit: 50}
			c.change(&q)
			u := &url.URL{Scheme: "https", Host: "x", Path: "/search", RawQuery: "key=k"}
			post := q.first(&endpoint{http.MethodPost, u})
			want := `{"collections":["a&b"],"datetime":"2021-01-01T12:00:00Z/..","limit":50,` + c.post + `"":0}`
			if got := marshalled(t, post.body); got != normalized(t, want) || post.url.String() != "https://x/search?key=k" {
				t.Errorf("POST %s\n%s\nwant\n%s", post.url, got, normalized(t, want))
			}
			get := q.first(&endpoint{http.MethodGet, u})
			decoded := ""
			for _, name := range []string{"bbox", "intersects", "filter", "filter-lang"} {
				if get.url.Query().Has(name) {
					decoded += name + "=" + get.url.Query().Get(name) + "&"
				}
			}
			rest := get.url.Query()
			if decoded != c.get || rest.Get("collections") != "a&b" || rest.Get("limit") != "50" || rest.Get("datetime") != "2021-01-01T12:00:00Z/.." || rest.Get("key") != "k" {
				t.Errorf("GET %s\n%s\nwant\n%s", get.url, decoded, c.get)
			}
			if get.method != http.MethodGet || get.body != nil {
				t.Errorf("%+v", get)
			}
		})
	}
}

func marshalled(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return normalized(t, string(text))
}

// normalized sorts the members of an object, and drops the empty one.
func normalized(t *testing.T, text string) string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		t.Fatal(err, text)
	}
	delete(members, "")
	sorted, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(sorted)
}

func TestPageSizeOfRequests(t *testing.T) {
	t.Parallel()
	get := getFrom("https://x/search?limit=10&token=next:c:1")
	if smaller, ok := get.withLimit(5); !ok || smaller.url.String() != "https://x/search?limit=5&token=next%3Ac%3A1" || get.url.Query().Get("limit") != "10" {
		t.Errorf("%v %v", smaller.url, ok)
	}
	post := &request{method: http.MethodPost, url: get.url, body: map[string]any{"limit": 10, "token": json.RawMessage("12345678901234567890")}}
	if smaller, ok := post.withLimit(5); !ok || marshalledRaw(t, smaller.body) != `{"limit":5,"token":12345678901234567890}` || post.body["limit"] != 10 {
		t.Errorf("%v %v", smaller.body, ok)
	}
	for _, r := range []*request{getFrom("https://x/search?token=1"), {method: http.MethodPost, url: get.url, body: map[string]any{"next": "a"}}} {
		if same, ok := r.withLimit(5); ok || same != r {
			t.Errorf("%s has got a limit", same.key())
		}
	}
}

func marshalledRaw(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestKeysOfRequests: requests that differ in anything that is sent are different.
func TestKeysOfRequests(t *testing.T) {
	t.Parallel()
	u := getFrom("https://x/search").url
	list := []*request{
		{method: "GET", url: u}, {method: "POST", url: u}, getFrom("https://x/search?token=1"),
		{method: "POST", url: u, body: map[string]any{"token": 1}}, {method: "POST", url: u, body: map[string]any{"token": 2}},
		{method: "GET", url: u, header: http.Header{"X-Session": {"1"}}}, {method: "GET", url: u, header: http.Header{"X-Session": {"2"}}},
	}
	seen := map[string]bool{}
	for _, r := range list {
		seen[r.key()] = true
	}
	if len(seen) != len(list) {
		t.Errorf("%d keys for %d requests", len(seen), len(list))
	}
}
