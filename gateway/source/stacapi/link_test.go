package stacapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestFollowingNextLinks holds a case for each form of next link that was seen (STAC API item search, paging).
func TestFollowingNextLinks(t *testing.T) {
	t.Parallel()
	page := &url.URL{Scheme: "https", Host: "api.example.com", Path: "/v1/search"}
	previous := &request{
		method: http.MethodPost, url: page, body: map[string]any{"collections": []any{"c"}, "limit": 10},
		header: http.Header{"X-Before": {"1"}},
	}
	for name, c := range map[string]struct {
		link   string
		method string
		url    string
		body   string
		header map[string]string
	}{
		"POST, merge false": {`{"href":"https://api.example.com/v1/search","method":"POST","merge":false,"body":{"limit":10,"next":"a,b"}}`,
			"POST", "https://api.example.com/v1/search", `{"limit":10,"next":"a,b"}`, map[string]string{"X-Before": ""}},
		"POST, merge true": {`{"href":"/v1/search","method":"post","merge":true,"body":{"token":"t"},"headers":{"X-Now":"2"}}`,
			"POST", "https://api.example.com/v1/search", `{"collections":["c"],"limit":10,"token":"t"}`, map[string]string{"X-Before": "1", "X-Now": "2"}},
		"POST, only the token": {`{"href":"search","method":"POST","body":{"next":"a9f3"}}`,
			"POST", "https://api.example.com/v1/search", `{"next":"a9f3"}`, nil},
		"GET by default": {`{"href":"?cursor=x"}`, "GET", "https://api.example.com/v1/search?cursor=x", "", nil},
		"literal colons": {`{"href":"https://api.example.com/v1/search?token=next:c:id"}`, "GET", "https://api.example.com/v1/search?token=next:c:id", "", nil},
		"line break":     {`{"href":"https://api.example.com/v1/search?token=ab\ncd"}`, "GET", "https://api.example.com/v1/search?token=ab%0Acd", "", nil},
		"headers as lists": {`{"href":"x","merge":true,"headers":{"X-Now":["3","4"],"X-Before":["2"],"X-Number":7}}`, "GET", "https://api.example.com/v1/x", "",
			map[string]string{"X-Now": "3, 4", "X-Before": "2", "X-Number": "7"}},
		"no headers":    {`{"href":"x","headers":null,"body":null,"merge":null,"method":null}`, "GET", "https://api.example.com/v1/x", "", map[string]string{"X-Before": ""}},
		"POST, no body": {`{"href":"x","method":"POST"}`, "POST", "https://api.example.com/v1/x", `{}`, nil},
		"POST, long number": {`{"href":"x","method":"POST","merge":true,"body":{"limit":5,"next":12345678901234567890}}`, "POST", "https://api.example.com/v1/x",
			`{"collections":["c"],"limit":5,"next":12345678901234567890}`, nil},
		"query of its own": {`{"href":"https://other.example.com/s?a=%2B&b=c%20d&a=e+f"}`, "GET", "https://other.example.com/s?a=%2B&b=c%20d&a=e+f", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var l Link
			if err := json.Unmarshal([]byte(c.link), &l); err != nil {
				t.Fatal(err)
			}
			next, err := l.follow(previous, page)
			if err != nil || next.method != c.method || next.url.String() != c.url {
				t.Fatalf("%+v, %v", next, err)
			}
			if c.body != "" {
				body, err := json.Marshal(next.body)
				if err != nil || string(body) != c.body {
					t.Errorf("body %s, want %s (%v)", body, c.body, err)
				}
			}
			for name, want := range c.header {
				if got := strings.Join(next.header.Values(name), ", "); got != want {
					t.Errorf("header %s is %q, want %q", name, got, want)
				}
			}
		})
	}
	if _, err := (&Link{Href: "http://[broken"}).follow(previous, page); err == nil {
		t.Error("an address that is none is followed")
	}
	if previous.body["token"] != nil || len(previous.header) != 1 {
		t.Error("following changed the request before")
	}
}

// TestNextLinksThatForget holds the forms in which servers were seen to lose parts of the search, and those in which
// the search is in a token.
func TestNextLinksThatForget(t *testing.T) {
	t.Parallel()
	q := Query{
		Collection: "c", Window: Interval{From: day(0)}, Limit: 10,
		Filter: `{"op":"x"}`, BBox: []float64{1, 2, 3, 4},
	}
	whole := `"bbox":[1,2,3,4],"collections":["c"],"datetime":"2021-01-01T12:00:00Z/..","filter":{"op":"x"},"filter-lang":"cql2-json","limit":10`
	for name, c := range map[string]struct{ body, want string }{
		"nothing forgotten":   {`{` + whole + `,"token":"t"}`, `{` + whole + `,"token":"t"}`},
		"the filter":          {`{"bbox":[1,2,3,4],"collections":["c"],"datetime":"2021-01-01T12:00:00Z/..","limit":10,"token":"t"}`, `{` + whole + `,"token":"t"}`},
		"all but collections": {`{"collections":["c"],"limit":5,"token":"t"}`, strings.Replace(`{`+whole+`,"token":"t"}`, `"limit":10`, `"limit":5`, 1)},
		"all, counting":       {`{"limit":10,"page":2}`, `{` + whole + `,"page":2}`},
		"only a token":        {`{"next":"t"}`, `{"next":"t"}`},
		"token and limit":     {`{"limit":5,"token":"t"}`, `{"limit":5,"token":"t"}`},
		"in other forms": {`{"collections":["c"],"datetime":"d","filter":"x","intersects":{},"limit":10}`,
			`{"collections":["c"],"datetime":"d","filter":"x","intersects":{},"limit":10}`},
		"nothing": {`{}`, `{}`},
	} {
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(c.body), &members); err != nil {
			t.Fatal(err)
		}
		r := &request{method: http.MethodPost, url: &url.URL{Host: "x"}, body: map[string]any{}}
		for name, value := range members {
			r.body[name] = value
		}
		q.restore(r)
		if got := marshalledRaw(t, r.body); got != marshalled(t, json.RawMessage(c.want)) && got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	all := "bbox=1%2C2%2C3%2C4&collections=c&datetime=2021-01-01T12%3A00%3A00Z%2F..&filter=%7B%22op%22%3A%22x%22%7D&filter-lang=cql2-json&limit=10"
	for name, c := range map[string]struct{ query, want string }{
		"nothing forgotten": {all + "&token=t", all + "&token=t"},
		"the filter":        {"collections=c&limit=10&bbox=1,2,3,4&datetime=2021-01-01T12:00:00Z/..&token=t", all + "&token=t"},
		"all, counting":     {"limit=10&offset=10", all + "&offset=10"},
		"only a token":      {"token=next:c:i", "token=next:c:i"},
		"another language":  {"collections=c&filter=x&limit=1&datetime=d&bbox=1", "bbox=1&collections=c&datetime=d&filter=x&limit=1"},
		"nothing":           {"", ""},
	} {
		u := &url.URL{Scheme: "https", Host: "x", RawQuery: c.query}
		r := &request{method: http.MethodGet, url: u}
		q.restore(r)
		if got := r.url.RawQuery; got != c.want || u.RawQuery != c.query {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
