package stacsample

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// fill adds three items: p at noon, q an hour later, and r, which lasts from noon to the next noon.
func fill(c *Catalog) {
	noon := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	c.Put(Item{
		Collection: "c", ID: "p", Datetime: noon, Created: noon, Updated: noon.Add(500 * time.Millisecond),
		BBox: [4]float64{-122, 39, -121, 40}, CloudCover: 10,
	})
	c.Put(Item{Collection: "c", ID: "q", Datetime: noon.Add(time.Hour), Updated: noon.Add(time.Hour),
		BBox: [4]float64{178, -10, 179, -9}, CloudCover: 90})
	c.Put(Item{Collection: "d", ID: "r", Start: noon, End: noon.Add(24 * time.Hour), CloudCover: 50})
}

// found returns the ids that a search finds, in alphabetical order, or the status text of an error.
func found(t *testing.T, server string, body string) string {
	t.Helper()
	a := send(t, http.MethodPost, server+"/search", body, nil)
	if a.status != http.StatusOK {
		problem := decode[map[string]string](t, a, a.status)
		if problem["code"] == "" || problem["description"] == "" {
			t.Errorf("%s: problem %v", body, problem)
		}
		return http.StatusText(a.status)
	}
	page := decode[testPage](t, a, http.StatusOK)
	ids := page.ids()
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// foundByGet is found with a GET request.
func foundByGet(t *testing.T, server string, body string) string {
	t.Helper()
	q, err := parsePost([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	a := get(t, server+"/search?"+q.encode().Encode())
	if a.status != http.StatusOK {
		return http.StatusText(a.status)
	}
	page := decode[testPage](t, a, http.StatusOK)
	ids := page.ids()
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

func TestSearch(t *testing.T) {
	t.Parallel()
	c, server := setup(t, 0, Quirks{})
	fill(c)
	for body, want := range map[string]string{
		`{}`:                    "p q r",
		`{"collections":["c"]}`: "p q",
		`{"collections":["c","d"],"ids":["q","r"]}`:                   "q r",
		`{"collections":["nowhere"]}`:                                 "",
		`{"bbox":[-123,38,-120,41]}`:                                  "p",
		`{"bbox":[-123,38,0,-120,41,100]}`:                            "p",
		`{"bbox":[-121,40,-120,41]}`:                                  "p", // touches
		`{"bbox":[170,-20,-120,41]}`:                                  "p q",
		`{"bbox":[0,0,1,1]}`:                                          "",
		`{"bbox":[0,1,2]}`:                                            "Bad Request",
		`{"bbox":[]}`:                                                 "Bad Request",
		`{"bbox":[0,2,1,1]}`:                                          "Bad Request",
		`{"intersects":{"type":"Point","coordinates":[-121.5,39.5]}}`: "p",
		`{"intersects":{"type":"Polygon","coordinates":[[[170,-20],[180,-20],[180,0],[170,-20]]]}}`: "q",
		`{"intersects":{"type":"GeometryCollection","geometries":[{"coordinates":[-121.5,39.5]}]}}`: "p",
		`{"intersects":{"type":"Polygon"}}`: "Bad Request",
		`{"intersects":7}`:                  "Bad Request",
		`{"intersects":null,"filter":null,"query":null,"bbox":[-123,38,-120,41]}`: "p",
		`{"intersects":{"type":"Point","coordinates":[0,0]},"bbox":[0,0,1,1]}`:    "Bad Request",
		`{"limit":0}`:     "Bad Request",
		`{"limit":10001}`: "Bad Request",
		`{"limit":"x"}`:   "Bad Request",
		`[]`:              "Bad Request",
		`null`:            "Bad Request",
		`{`:               "Bad Request",
		``:                "p q r",
		`{"filter-lang":"cql2-text","filter":"x=1"}`: "Bad Request",
	} {
		if got := found(t, server.URL, body); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
	for _, query := range []string{"bbox=a,b,c,d", "limit=x", "limit=-1", "filter=id='p'",
		"filter-lang=cql2-json&filter={"} {
		if a := get(t, server.URL+"/search?"+query); a.status != http.StatusBadRequest {
			t.Errorf("%s: status %d", query, a.status)
		}
	}
}

func TestDatetime(t *testing.T) {
	t.Parallel()
	c, server := setup(t, 0, Quirks{})
	fill(c)
	for datetime, want := range map[string]string{
		"2026-06-01T12:00:00Z":                           "p r",
		"2026-06-01T14:00:00+02:00":                      "p r",
		"2026-06-01T12:00:00Z/2026-06-01T12:00:00Z":      "p r",
		"2026-06-01T12:00:00Z/2026-06-01T13:00:00Z":      "p q r",
		"2026-06-01T12:00:00.001Z/2026-06-01T12:59:59Z":  "r",
		"../2026-06-01T12:00:00Z":                        "p r",
		"2026-06-01T13:00:00Z/..":                        "q r",
		"/2026-06-01T11:59:59Z":                          "",
		"2026-06-02T12:00:00Z/":                          "r",
		"../..":                                          "Bad Request",
		"..":                                             "Bad Request",
		"2026-06-01":                                     "Bad Request",
		"2026-06-01T13:00:00Z/2026-06-01T12:00:00Z":      "Bad Request",
		"2026-06-01T13:00:00Z/2026-06-01T14:00:00Z/..":   "Bad Request",
		"2026-06-01T13:00:00/..":                         "Bad Request",
		"2026-06-01T12:00:00.0Z/2026-06-01T12:00:00.00Z": "p r",
	} {
		body := `{"datetime":"` + datetime + `"}`
		if got := found(t, server.URL, body); got != want {
			t.Errorf("POST datetime=%s: %q, want %q", datetime, got, want)
		}
		if got := foundByGet(t, server.URL, body); got != want {
			t.Errorf("GET datetime=%s: %q, want %q", datetime, got, want)
		}
	}
	c.SetQuirks(Quirks{InstantIntervalEmpty: true, ExcludeNullDatetime: true})
	for datetime, want := range map[string]string{
		"2026-06-01T12:00:00Z":                      "p",
		"2026-06-01T12:00:00Z/2026-06-01T12:00:00Z": "",
		"2026-06-01T12:00:00Z/2026-06-01T12:00:01Z": "p",
		"": "p q r",
	} {
		if got := found(t, server.URL, `{"datetime":"`+datetime+`"}`); got != want {
			t.Errorf("with quirks, datetime=%s: %q, want %q", datetime, got, want)
		}
	}
}

func compare(op, property, literal string) string {
	return `{"op":"` + op + `","args":[{"property":"` + property + `"},` + literal + `]}`
}

func TestFilter(t *testing.T) {
	t.Parallel()
	c, server := setup(t, 0, Quirks{})
	fill(c)
	nested := compare("=", "id", `"p"`)
	for range maxFilterDepth + 1 {
		nested = `{"op":"and","args":[` + nested + `]}`
	}
	for filter, want := range map[string]string{
		compare("=", "id", `"p"`):                                                                   "p",
		compare(">", "id", `"p"`):                                                                   "q r",
		compare("=", "collection", `"d"`):                                                           "r",
		compare(">=", "eo:cloud_cover", "50"):                                                       "q r",
		compare("<", "eo:cloud_cover", "50"):                                                        "p",
		compare("<=", "eo:cloud_cover", "50"):                                                       "p r",
		compare(">=", "updated", `{"timestamp":"2026-06-01T12:00:00.5Z"}`):                          "p q",
		compare(">", "updated", `{"timestamp":"2026-06-01T12:00:00.5Z"}`):                           "q",
		compare(">=", "updated", `"2026-06-01T12:00:00Z"`):                                          "p q",
		compare("=", "created", `"2026-06-01T12:00:00Z"`):                                           "p",
		compare("<", "datetime", `"2026-06-01T12:30:00Z"`):                                          "p r",
		`{"op":"and","args":[` + compare(">", "id", `"p"`) + "," + compare("<", "id", `"r"`) + `]}`: "q",
		`{"op":"or","args":[]}`:                                                                     "Bad Request",
		`{"op":"or","args":[` + compare("=", "id", `"p"`) + "," + compare("=", "id", `"q"`) + `]}`:  "Bad Request",
		`{"op":"=","args":["p",{"property":"id"}]}`:                                                 "Bad Request",
		compare("<>", "id", `"p"`):                                                                  "Bad Request",
		compare("=", "platform", `"x"`):                                                             "Bad Request",
		compare("=", "id", `1`):                                                                     "Bad Request",
		compare("=", "eo:cloud_cover", `"x"`):                                                       "Bad Request",
		compare(">", "updated", `"today"`):                                                          "Bad Request",
		compare(">", "updated", `{}`):                                                               "Bad Request",
		`"id = 'p'"`:                                                                                "Bad Request",
		nested:                                                                                      "Bad Request",
	} {
		body := `{"filter-lang":"cql2-json","filter":` + filter + `}`
		if got := found(t, server.URL, body); got != want {
			t.Errorf("POST %s: %q, want %q", filter, got, want)
		}
		if got := foundByGet(t, server.URL, body); got != want {
			t.Errorf("GET %s: %q, want %q", filter, got, want)
		}
	}
}

func TestQueryExtension(t *testing.T) {
	t.Parallel()
	c, server := setup(t, 0, Quirks{})
	fill(c)
	for query, want := range map[string]string{
		`{"updated":{"gte":"2026-06-01T12:00:00Z","lt":"2026-06-01T13:00:00Z"}}`: "p",
		`{"eo:cloud_cover":{"gt":10},"collection":{"eq":"d"}}`:                   "r",
		`{"eo:cloud_cover":{"lte":10}}`:                                          "p",
		`{"properties.updated":{"gte":"2026-06-01T12:00:00Z"}}`:                  "Bad Request",
		`{"id":{"in":["p"]}}`:                                                    "Bad Request",
		`7`:                                                                      "Bad Request",
	} {
		body := `{"query":` + query + `}`
		if got := found(t, server.URL, body); got != want {
			t.Errorf("POST %s: %q, want %q", query, got, want)
		}
		if got := foundByGet(t, server.URL, body); got != want {
			t.Errorf("GET %s: %q, want %q", query, got, want)
		}
	}
}

func TestFilterQuirks(t *testing.T) {
	t.Parallel()
	c, server := setup(t, 0, Quirks{IgnoreFilter: true})
	fill(c)
	body := `{"query":{"id":{"eq":"p"}},"filter":` + compare("=", "colour", `"red"`) + `}`
	if got := found(t, server.URL, body); got != "p q r" {
		t.Errorf("IgnoreFilter: %q", got)
	}
	c.SetQuirks(Quirks{TextUpdated: true})
	for filter, want := range map[string]string{
		compare(">=", "updated", `{"timestamp":"2026-06-01T12:00:00Z"}`): "Bad Request",
		compare(">=", "updated", `"2026-06-01T12:00:00Z"`):               "q", // "…00.5Z" is less than "…00Z"
		compare(">=", "updated", `"2026-06-01T12:00:00.0Z"`):             "p q",
		compare("=", "created", `{"timestamp":"2026-06-01T12:00:00Z"}`):  "p",
	} {
		if got := found(t, server.URL, `{"filter":`+filter+`}`); got != want {
			t.Errorf("TextUpdated: %s: %q, want %q", filter, got, want)
		}
	}
}

// TestEncodeBodyAsQuery: the query of GetHref must contain everything that a body can contain.
func TestEncodeBodyAsQuery(t *testing.T) {
	t.Parallel()
	body := `{"collections":["a","b\"c"],"bbox":[-1.5,2,3,4],"limit":7,"datetime":"../2026-01-01T00:00:00Z",` +
		`"intersects":{"type":"Point","coordinates":[1,2]},"sortby":[{"field":"updated","direction":"desc"},{"field":"id"}],` +
		`"filter":{"op":"and","args":[]},"token":"t","next":"n"}`
	q, err := parsePost([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"collections": {`a,b"c`}, "bbox": {"-1.5,2,3,4"}, "limit": {"7"}, "datetime": {"../2026-01-01T00:00:00Z"},
		"intersects": {`{"type":"Point","coordinates":[1,2]}`}, "sortby": {"-updated,+id"},
		"filter": {`{"op":"and","args":[]}`}, "filter-lang": {"cql2-json"},
	}
	got, err := json.Marshal(q.encode())
	if err != nil {
		t.Fatal(err)
	}
	if wantJSON, _ := json.Marshal(want); string(got) != string(wantJSON) {
		t.Errorf("got  %s\nwant %s", got, wantJSON)
	}
}
