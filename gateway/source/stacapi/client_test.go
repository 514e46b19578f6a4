package stacapi

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// roundTripper answers requests without a socket, so that time can be virtual.
type roundTripper func(r *http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func served(handler http.HandlerFunc) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		recorder := httptest.NewRecorder()
		handler(recorder, r)
		response := recorder.Result()
		response.Request = r
		return response, nil
	}
}

func testClient(t *testing.T, address string, change func(*Config)) *Client {
	t.Helper()
	c := Config{URL: address, UserAgent: "streamgate/test", RequestsPerSecond: math.MaxFloat64, MinPause: time.Millisecond}
	if change != nil {
		change(&c)
	}
	client, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// discover reads the landing page.
func discover(t *testing.T, c *Client) error {
	t.Helper()
	_, err := c.Discover(t.Context())
	return err
}

func getFrom(address string) *request {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	return &request{method: http.MethodGet, url: u}
}

// readAll is a decoder that takes everything.
func readAll([]byte, *answer) error { return nil }

// patient asks as seldom, and waits as long, as a client does by default.
func patient(c *Config) { c.RequestsPerSecond, c.MinPause = 0, 0 }

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status        int
		header        func() string
		atLeast, most time.Duration // until the next request
	}{
		"429, seconds":   {429, func() string { return "7" }, 7 * time.Second, 9 * time.Second},
		"503, seconds":   {503, func() string { return "120" }, 2 * time.Minute, 2*time.Minute + 2*time.Second},
		"429, a date":    {429, func() string { return time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat) }, 89 * time.Second, 92 * time.Second},
		"a date gone by": {429, func() string { return time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat) }, DefaultMinPause, 3 * time.Second},
		"too long":       {429, func() string { return "86400" }, maxRetryAfter, maxRetryAfter + 2*time.Second},
		"zero":           {429, func() string { return "0" }, DefaultMinPause, 3 * time.Second},
		"negative":       {429, func() string { return "-5" }, DefaultMinPause, 3 * time.Second},
		"nonsense":       {429, func() string { return "soon" }, DefaultMinPause, 3 * time.Second},
		"none":           {429, func() string { return "" }, DefaultMinPause, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var times []time.Time
				client := testClient(t, "http://api.example.com", patient)
				client.http.Transport = served(func(w http.ResponseWriter, _ *http.Request) {
					times = append(times, time.Now())
					if len(times) == 1 {
						w.Header().Set("Retry-After", c.header())
						w.WriteHeader(c.status)
					}
				})
				if err := client.get(t.Context(), getFrom("http://api.example.com/"), false, readAll); err != nil || len(times) != 2 {
					t.Fatalf("%d requests, %v", len(times), err)
				}
				if pause := times[1].Sub(times[0]); pause < c.atLeast || pause > c.most {
					t.Errorf("the second request came after %s, not %s to %s", pause, c.atLeast, c.most)
				}
			})
		})
	}
}

// TestRetryAfterBindsWhateverComesNext: also when the tries are used up, or the page is made smaller.
func TestRetryAfterBindsWhateverComesNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var last time.Time
		client := testClient(t, "http://api.example.com", patient)
		client.http.Transport = served(func(w http.ResponseWriter, _ *http.Request) {
			if pause := time.Since(last); !last.IsZero() && pause < 30*time.Second {
				t.Errorf("a request came after %s", pause)
			}
			last = time.Now()
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		for range 2 {
			if err := client.get(t.Context(), getFrom("http://api.example.com/"), false, readAll); err == nil {
				t.Error("no error")
			}
		}
	})
}

func TestTriesAndTheirPauses(t *testing.T) {
	t.Parallel()
	forbidden := `{ "message": "Forbidden" }`
	for name, c := range map[string]struct {
		status     int
		body       string
		shrinkable bool
		tries      int
	}{
		"400": {400, "", false, 1}, "401": {401, "", false, 1}, "403": {403, "no key", false, 1}, "404": {404, "", false, 1},
		"405": {405, "", false, 1}, "410": {410, "", false, 1}, "413": {413, "", false, 1}, "422": {422, "", false, 1},
		"408": {408, "", false, maxTries}, "425": {425, "", false, maxTries}, "429": {429, "", false, maxTries},
		"500": {500, "", false, maxTries}, "502": {502, "", false, maxTries}, "503": {503, "", false, maxTries}, "504": {504, "", false, maxTries},
		"403 that throttles":  {403, forbidden, false, maxTries},
		"413, smaller may do": {413, "", true, 1}, "502, smaller may do": {502, "", true, triesPerLimit},
		"504, smaller may do": {504, "", true, triesPerLimit}, "503, smaller will not do": {503, "", true, maxTries},
		"HTML": {200, "<html></html>", false, maxTries}, "HTML, smaller will not do": {200, "<html></html>", true, maxTries},
		"no answer": {0, "", false, maxTries}, "no answer in time": {-1, "", false, maxTries}, "no answer in time, smaller may do": {-1, "", true, triesPerLimit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := testClient(t, "http://api.example.com/?key=secret", patient)
				tries := 0
				var last time.Time
				client.http.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
					tries++
					if pause := time.Since(last); !last.IsZero() && (pause < DefaultMinPause || pause > maxPause+time.Second) {
						t.Errorf("try %d came after %s", tries, pause)
					}
					defer func() { last = time.Now() }()
					switch c.status {
					case 0:
						return nil, errors.New("connection refused")
					case -1:
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					return served(func(w http.ResponseWriter, _ *http.Request) {
						w.WriteHeader(c.status)
						_, _ = io.WriteString(w, c.body)
					})(r)
				})
				err := client.get(t.Context(), getFrom("http://api.example.com/?key=secret"), c.shrinkable, func(text []byte, a *answer) error {
					_, err := decodePage(text, a)
					return err
				})
				if err == nil || tries != c.tries {
					t.Errorf("%d tries, not %d: %v", tries, c.tries, err)
				}
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the error holds a secret: %v", err)
				}
			})
		})
	}
}

func TestTwoRequestsASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := testClient(t, "http://api.example.com", patient)
		client.http.Transport = served(func(http.ResponseWriter, *http.Request) {})
		started := time.Now()
		for range 12 {
			if err := client.get(t.Context(), getFrom("http://api.example.com/"), false, readAll); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(started); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("12 requests in %s", took)
		}
	})
}

func TestEndOfContextEndsEveryWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := testClient(t, "http://api.example.com", patient)
		client.http.Transport = served(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "600")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		for range 2 { // in the pause after an answer, and in the one before a request
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			started := time.Now()
			if err := client.get(ctx, getFrom("http://api.example.com/"), false, readAll); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
			cancel()
			if took := time.Since(started); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
		}
	})
}

// TestRedirects: what stays at the host and keeps its method is followed; a POST that would become a GET, another host
// and a circle are not.
func TestRedirects(t *testing.T) {
	t.Parallel()
	var credentials atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != "" {
			credentials.Add(1)
		}
	}))
	t.Cleanup(other.Close)
	mux := http.NewServeMux()
	for _, status := range []string{"301", "302", "303", "307", "308"} {
		code := map[string]int{"301": 301, "302": 302, "303": 303, "307": 307, "308": 308}[status]
		mux.HandleFunc("/"+status, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/end", code) })
		mux.HandleFunc("/other/"+status, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+"/secret?key=k", code) })
	}
	mux.HandleFunc("/circle", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/circle", http.StatusFound) })
	mux.HandleFunc("/end", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("X-Api-Key") != "secret" || (r.Method == http.MethodPost) != (string(body) == `{"limit":1}`) {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for path, want := range map[string]string{
		"GET /301": "", "GET /302": "", "GET /303": "", "GET /307": "", "GET /308": "",
		"POST /301": "301", "POST /302": "302", "POST /303": "303", "POST /307": "", "POST /308": "",
		"GET /other/301": "301", "GET /other/307": "307", "POST /other/307": "307", "POST /other/308": "308",
		"GET /circle": "302",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			client := testClient(t, server.URL, func(c *Config) { c.Header = http.Header{"X-Api-Key": {"secret"}} })
			method, rest, _ := strings.Cut(path, " ")
			r := getFrom(server.URL + rest)
			if r.method = method; method == http.MethodPost {
				r.body = map[string]any{"limit": 1}
			}
			err := client.get(t.Context(), r, false, readAll)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), "answered "+want+": it redirects to http://127.0.0.1") {
				t.Errorf("error %v, want %q", err, want)
			}
			if err != nil && strings.Contains(err.Error(), "key") {
				t.Errorf("the error holds a secret: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		if credentials.Load() > 0 {
			t.Error("another host got credentials")
		}
	})
}

func TestWhomCredentialsAreFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		one, other string
		want       bool
	}{
		{"https://a/x", "https://a/y", true}, {"http://a/x", "http://a/y", true}, {"http://a/x", "https://a/x", true},
		{"https://a/x", "http://a/x", false}, {"https://a", "https://b", false}, {"https://a", "https://a:8443", false},
		{"https://a", "https://a.b", false}, {"http://a", "ftp://a", false},
	} {
		if got := trusts(getFrom(c.one).url, getFrom(c.other).url); got != c.want {
			t.Errorf("%s trusts %s: %v", c.one, c.other, got)
		}
		client := testClient(t, c.one+"?key=k", func(c *Config) { c.Header = http.Header{"X-Key": {"v"}} })
		if got := client.withBaseQuery(getFrom(c.other).url).RawQuery == "key=k"; got != c.want {
			t.Errorf("the query of %s goes to %s: %v", c.one, c.other, got)
		}
		r, err := client.newRequest(t.Context(), getFrom(c.other))
		if err != nil || (r.Header.Get("X-Key") == "v") != c.want {
			t.Errorf("the headers for %s go to %s: %v, %v", c.one, c.other, r.Header, err)
		}
	}
}

// TestAnswersAreCapped, also those that are small only as long as they are compressed.
func TestAnswersAreCapped(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		var out io.Writer = w
		if r.URL.Path == "/gzip" {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			defer func() { _ = z.Close() }()
			out = z
		}
		_, _ = io.WriteString(out, `{"features":[`+strings.Repeat(" ", 5000)+`]}`)
	}))
	t.Cleanup(server.Close)
	for path, fits := range map[string]bool{"/gzip": false, "/plain": false, "/gzip?fits": true, "/plain?fits": true} {
		client := testClient(t, server.URL, nil)
		client.maxBody = 5000
		if fits {
			client.maxBody = 5015
		}
		before := requests.Load()
		err := client.get(t.Context(), getFrom(server.URL+path), false, func(text []byte, a *answer) error {
			_, err := decodePage(text, a)
			return err
		})
		if fits != (err == nil) || !fits && (!errors.Is(err, errTooLarge) || !isTooMuch(err) || isTemporary(err)) || requests.Load() != before+1 {
			t.Errorf("%s: %d requests, %v", path, requests.Load()-before, err)
		}
	}
}

// TestLinksCannotChangeHowAnswersAreRead: Go decompresses only what it has asked for itself.
func TestLinksCannotChangeHowAnswersAreRead(t *testing.T) {
	t.Parallel()
	client := testClient(t, "http://a", nil)
	r := getFrom("http://a/")
	r.header = http.Header{"Accept-Encoding": {"br"}, "User-Agent": {"x"}, "X-Session": {"1"}}
	got, err := client.newRequest(t.Context(), r)
	if err != nil || got.Header.Get("Accept-Encoding") != "" || got.Header.Get("User-Agent") != "streamgate/test" || got.Header.Get("X-Session") != "1" {
		t.Errorf("%v %v", got.Header, err)
	}
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	geo := `"type":"application/geo+json"`
	for name, c := range map[string]struct {
		base, links        string
		endpoint, fallback string
		fails              string
	}{
		"POST and GET":      {"/v1", `{"rel":"search",` + geo + `,"href":"/v1/search","method":"GET"},{"rel":"search",` + geo + `,"href":"/v1/search","method":"POST"}`, "POST /v1/search", "GET /v1/search", ""},
		"POST first":        {"/v1/", `{"rel":"search",` + geo + `,"href":"search","method":"post"},{"rel":"search",` + geo + `,"href":"search"}`, "POST /v1/search", "GET /v1/search", ""},
		"only GET":          {"/v1/", `{"rel":"search",` + geo + `,"href":"search"}`, "GET /v1/search", "", ""},
		"only POST":         {"/", `{"rel":"search",` + geo + `,"href":"search","method":"POST"}`, "POST /search", "", ""},
		"no type":           {"/", `{"rel":"search","href":"search"}`, "GET /search", "", ""},
		"type as JSON":      {"/", `{"rel":"search","href":"search","type":"application/json; profile=x"}`, "GET /search", "", ""},
		"other types first": {"/", `{"rel":"search","type":"application/opensearchdescription+xml","href":"osdd"},{"rel":"search","type":"text/html","href":"h","method":"POST"},{"rel":"search",` + geo + `,"href":"s"}`, "GET /s", "", ""},
		"other methods":     {"/", `{"rel":"search",` + geo + `,"href":"s","method":"PUT"},{"rel":"search",` + geo + `,"href":"t"}`, "GET /t", "", ""},
		"query survives":    {"/?key=k", `{"rel":"search",` + geo + `,"href":"/search?a=1","method":"POST"}`, "POST /search?a=1&key=k", "", ""},
		"query stays here":  {"/?key=k", `{"rel":"search",` + geo + `,"href":"http://other.example.com/search?key=own"}`, "GET /search?key=own", "", ""},
		"two of one method": {"/", `{"rel":"search",` + geo + `,"href":"a"},{"rel":"search",` + geo + `,"href":"b"}`, "GET /a", "", ""},
		"no search":         {"/", `{"rel":"self","href":"/"}`, "", "", "no search link"},
		"broken address":    {"/", `{"rel":"search","href":"http://[x"}`, "", "", "no search link"},
		"the search itself": {"/v1/search?key=k", "", "POST /v1/search?key=k", "GET /v1/search?key=k", ""},
		"a slash after it":  {"/v1/search/", "", "POST /v1/search/", "GET /v1/search/", ""},
		"links no list":     {"/", `7`, "", "", "landing page"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if c.links == "7" {
					_, _ = io.WriteString(w, `{"links":7}`)
					return
				}
				_, _ = io.WriteString(w, `{"type":"Catalog","links":[`+c.links+`]}`)
			}))
			t.Cleanup(server.Close)
			client := testClient(t, server.URL+c.base, nil)
			err := discover(t, client)
			if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Fatalf("error %v, want %q", err, c.fails)
			}
			if got := show(client.endpoints.search); got != c.endpoint {
				t.Errorf("endpoint %q, want %q", got, c.endpoint)
			}
			if got := show(client.endpoints.fallback); got != c.fallback {
				t.Errorf("fallback %q, want %q", got, c.fallback)
			}
		})
	}
}

func show(e *endpoint) string {
	if e == nil {
		return ""
	}
	return e.method + " " + e.url.RequestURI()
}

// TestTextFiltersAreForGET (STAC API filter extension), where there is GET.
func TestTextFiltersAreForGET(t *testing.T) {
	t.Parallel()
	post, get := &endpoint{method: http.MethodPost}, &endpoint{method: http.MethodGet}
	for _, c := range []struct {
		filter             string
		endpoint, fallback *endpoint
		want               *endpoint
	}{
		{"a < 1", post, get, get}, {"a < 1", post, nil, post}, {"a < 1", get, nil, get},
		{` {"op":"<"}`, post, get, post}, {"", post, get, post}, {" ", post, get, post},
	} {
		e := endpoints{search: c.endpoint, fallback: c.fallback}
		if got := e.forQuery(&Query{Filter: c.filter}); got != c.want {
			t.Errorf("%q with %s and %v: %s", c.filter, c.endpoint.method, c.fallback, got.method)
		}
	}
}

// TestCollectionsThatAreNotThere: that an API has no such collection is believed only if it offers collections at all.
func TestCollectionsThatAreNotThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		one, all int
		fails    bool
	}{
		"there": {200, 200, false}, "not there": {404, 200, true}, "no collections": {404, 404, false},
		"not allowed": {401, 200, false}, "in trouble": {503, 503, false}, "no list": {404, 405, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch path := r.URL.EscapedPath(); {
				case r.URL.Query().Get("key") != "k":
					w.WriteHeader(http.StatusNotFound)
				case path == "/v1/collections":
					w.WriteHeader(c.all)
				case path == "/v1/collections/a%2Fb":
					w.WriteHeader(c.one)
				}
				_, _ = io.WriteString(w, "{}")
			}))
			t.Cleanup(server.Close)
			client := testClient(t, server.URL+"/v1/?key=k", func(c *Config) { c.Timeout = time.Second })
			if err := client.CheckCollection(t.Context(), "a/b"); (err != nil) != c.fails {
				t.Errorf("error %v", err)
			}
		})
	}
}
