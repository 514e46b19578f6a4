package stac

import (
	"encoding/json"
	"net/http"
	"net/url"
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
		"GET by default":   {`{"href":"?cursor=x"}`, "GET", "https://api.example.com/v1/search?cursor=x", "", nil},
		"literal colons":   {`{"href":"https://api.example.com/v1/search?token=next:c:id"}`, "GET", "https://api.example.com/v1/search?token=next:c:id", "", nil},
		"line break":       {`{"href":"https://api.example.com/v1/search?token=ab\ncd"}`, "GET", "https://api.example.com/v1/search?token=ab%0Acd", "", nil},
		"headers as lists": {`{"href":"x","headers":{"X-Now":["3"]}}`, "GET", "https://api.example.com/v1/x", "", map[string]string{"X-Now": "3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var l link
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
				if got := next.header.Get(name); got != want {
					t.Errorf("header %s is %q, want %q", name, got, want)
				}
			}
		})
	}
	if _, err := (&link{Href: "http://[broken"}).follow(previous, page); err == nil {
		t.Error("an address that is none is followed")
	}
	if previous.body["token"] != nil || len(previous.header) != 1 {
		t.Error("following changed the request before")
	}
}
