package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/admin"
	"github.com/streamgate/streamgate/gateway/deadletter"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/gateway/stream"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// api is the API, on a socket, of a gateway whose subscription sub has dead letters.
type api struct {
	t      *testing.T
	client redis.UniversalClient
	stream string
	url    string
}

// newAPI stores n dead letters e1, e2, ... with the entry ids 1-0 to n-0, of two types in turn: the first with status
// 404, the second without an answer, the others with status 500.
func newAPI(t *testing.T, n int) *api {
	t.Helper()
	a := &api{t: t, client: redistest.Shared(t).Client(), stream: redistest.Stream(t)}
	st, subscription := stream.NewConfig(), delivery.NewConfig()
	st.Name = a.stream
	subscription.Name, subscription.Stream, subscription.Sink.URI = "sub", a.stream, "http://127.0.0.1:1/"
	other := subscription
	other.Name, other.Delivery.DeadLetterSink.Stream = "other", a.stream+"-failures"
	g, err := gateway.New(gateway.Config{Streams: []stream.Config{st},
		Subscriptions: []delivery.Config{subscription, other}},
		gateway.Env{Redis: a.client, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.client.XGroupCreateMkStream(t.Context(), a.stream, "streamgate:sub", "$").Err(); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= n; i++ {
		a.store(i, a.stream, "sub")
	}
	server := admin.NewServer("127.0.0.1:0", admin.Handler(readiness{}, prometheus.NewRegistry(), g),
		slog.New(slog.DiscardHandler))
	address, err := server.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.url = "http://" + address.String()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return a
}

func (a *api) store(i int, stream, subscription string) {
	a.t.Helper()
	e := rawevent.New("e"+strconv.Itoa(i), "/s", "com.example."+strconv.Itoa(i%2))
	code := map[int]string{1: "404", 2: "-1"}[i]
	if code == "" {
		code = "500"
	}
	e.Set("knativeerrorcode", code)
	e.Set("dlstream", stream)
	e.Set("dlsubscription", subscription)
	e.Set("dlattempts", "3")
	err := a.client.XAdd(a.t.Context(), &redis.XAddArgs{
		Stream: state.DeadLetterStream(a.stream), ID: fmt.Sprintf("%d-0", i),
		Values: redisstreams.AppendFields(nil, &e, nil),
	}).Err()
	if err != nil {
		a.t.Fatal(err)
	}
}

// ask sends a request, in which STREAM stands for the stream, and returns the status, the media type and the body.
func (a *api) ask(method, path, body string, header ...string) (status int, mediaType, answer string) {
	a.t.Helper()
	named := strings.NewReplacer("STREAM", a.stream)
	r, err := http.NewRequestWithContext(a.t.Context(), method, a.url+named.Replace(path),
		strings.NewReader(named.Replace(body)))
	if err != nil {
		a.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Content-Type"), string(text)
}

func (a *api) post(path, body string) (status int, answer string) {
	a.t.Helper()
	status, _, answer = a.ask("POST", path, body, "Content-Type", "application/json; charset=utf-8")
	return status, answer
}

// entries returns the event ids in the dead-letter stream or in the inbox.
func (a *api) entries(stream string) (ids []string) {
	a.t.Helper()
	entries, err := a.client.XRange(a.t.Context(), stream, "-", "+").Result()
	if err != nil {
		a.t.Fatal(err)
	}
	for _, e := range entries {
		if stream == state.DeadLetterStream(a.stream) {
			ids = append(ids, e.ID)
		} else {
			ids = append(ids, fmt.Sprint(e.Values["ce_id"], " ", e.Values["ce_redrive"]))
		}
	}
	return ids
}

func TestListDeadLetters(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 12)
	for query, want := range map[string][]string{
		"": {"1-0", "2-0", "3-0", "4-0", "5-0", "6-0", "7-0", "8-0", "9-0", "10-0",
			"11-0", "12-0"},
		"&code=404":                                   {"1-0"},
		"&code=none":                                  {"2-0"},
		"&code=5xx&type=com.example.1":                {"3-0", "5-0", "7-0", "9-0", "11-0"},
		"&type=com.*&after=9-0":                       {"10-0", "11-0", "12-0"},
		"&id=e7":                                      {"7-0"},
		"&entries=10-0&entries=2-0":                   {"2-0", "10-0"},
		"&dead=STREAM-failures":                       {},
		"&subscription=other":                         {},
		"&since=1970-01-01T00:00:00.011Z":             {"11-0", "12-0"},
		"&until=1970-01-01T00:00:00.003Z":             {"1-0", "2-0"},
		"&dead=streamgate:{STREAM}:deadletters&id=e1": {"1-0"},
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			for _, limit := range []string{"", "&limit=1", "&limit=5"} {
				got, next := []string{}, ""
				for more := true; more; {
					path := "/api/v1/deadletters?stream=STREAM" + query + limit
					if next != "" {
						path = strings.Replace(path, "&after=9-0", "", 1) + "&after=" + next
					}
					status, _, text := a.ask("GET", path, "")
					var answer struct {
						DeadLetters []deadletter.Letter
						Next        string
					}
					if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 200 ||
						answer.DeadLetters == nil {
						t.Fatalf("%d %s %v", status, text, err)
					}
					for _, l := range answer.DeadLetters {
						got = append(got, l.ID)
					}
					next = answer.Next
					more = next != ""
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s: %v, want %v", limit, got, want)
				}
			}
		})
	}
}

// TestListTellsWhatIsKnown: a listed dead letter has the fields that the command line prints.
func TestListTellsWhatIsKnown(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 1)
	const want = `{"deadLetters":[{"entry":"1-0","stream":"STREAM","subscription":"sub","type":"com.example.1",` +
		`"source":"/s","id":"e1","code":404,"attempts":3}]}` + "\n"
	if _, mediaType, got := a.ask("GET", "/api/v1/deadletters?stream=STREAM", ""); got != strings.ReplaceAll(want,
		"STREAM", a.stream) || mediaType != "application/json" {
		t.Errorf("%s %s", mediaType, got)
	}
}

func TestShowDeadLetter(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 3)
	status, mediaType, text := a.ask("GET", "/api/v1/deadletters/3-0?stream=STREAM", "")
	var event map[string]string
	if err := json.Unmarshal([]byte(text), &event); err != nil || status != 200 ||
		mediaType != "application/cloudevents+json" {
		t.Fatalf("%d %s %s %v", status, mediaType, text, err)
	}
	if event["id"] != "e3" || event["knativeerrorcode"] != "500" || event["dlsubscription"] != "sub" {
		t.Errorf("%v", event)
	}
}

// TestRedriveAndDiscard: only the selected dead letters go to the inbox of the subscription that failed, or are
// deleted.
func TestRedriveAndDiscard(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 9)
	a.store(10, a.stream, "gone")
	a.store(11, "", "")
	for i, c := range []struct {
		path, body string
		want       string
		left       string // dead letters
		inbox      string
	}{
		{"redrive", `{"stream":"STREAM","code":"404","dryRun":true}`, `{"done":1,"deadLetters":[{"entry":"1-0",`,
			"1 2 3 4 5 6 7 8 9 10 11", ""},
		{"redrive", `{"stream":"STREAM","code":"404"}`, `{"done":1}`, "2 3 4 5 6 7 8 9 10 11", "e1 1"},
		{"redrive?stream=STREAM&entries=3-0&entries=1-0", "", `{"done":1,"missing":["1-0"]}`, "2 4 5 6 7 8 9 10 11",
			"e1 1 e3 1"},
		{"redrive", `{"stream":"STREAM","type":"com.example.0","until":"1970-01-01T00:00:00.005Z","rate":1000}`,
			`{"done":2}`, "5 6 7 8 9 10 11", "e1 1 e3 1 e2 1 e4 1"},
		{"discard", `{"stream":"STREAM","id":"e5"}`, `{"done":1}`, "6 7 8 9 10 11", "e1 1 e3 1 e2 1 e4 1"},
		{"discard?stream=STREAM&after=7-0&dryRun=true&limit=1", "", `{"done":4,"deadLetters":[{"entry":"8-0"`,
			"6 7 8 9 10 11", "e1 1 e3 1 e2 1 e4 1"},
		{"discard?stream=STREAM&since=1970-01-01T00:00:00.007Z&until=1970-01-01T00:00:00.010Z", "", `{"done":3}`,
			"6 10 11", "e1 1 e3 1 e2 1 e4 1"},
		{"redrive", `{"stream":"STREAM","all":true}`,
			`{"done":1,"skipped":[{"entry":"10-0","reason":"redrive dead letter 10-0: no such subscription`, "10 11",
			"e1 1 e3 1 e2 1 e4 1 e6 1"},
		{"discard", `{"stream":"STREAM","all":true}`, `{"done":2}`, "", "e1 1 e3 1 e2 1 e4 1 e6 1"},
	} {
		status, answer := a.post("/api/v1/deadletters/"+c.path, c.body)
		left := strings.ReplaceAll(strings.Join(a.entries(state.DeadLetterStream(a.stream)), " "), "-0", "")
		inbox := strings.Join(a.entries(state.InboxStream(a.stream, "sub")), " ")
		if status != 200 || !strings.HasPrefix(answer, c.want) || left != c.left || inbox != c.inbox {
			t.Fatalf("%d: %s %s: %d %s, want %s\nleft %q, want %q\ninbox %q, want %q", i, c.path, c.body, status,
				answer, c.want, left, c.left, inbox, c.inbox)
		}
	}
}

// TestRefusals: nothing is changed, and the problem document tells the remedy.
func TestRefusals(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 2)
	isJSON := []string{"Content-Type", "application/json"}
	long := `{"stream":"STREAM","entries":["` + strings.Repeat("1", 1<<20) + `"]}`
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		says               string
	}{
		"no stream":                   {"GET", "", "", nil, 400, "stream is missing"},
		"unknown stream":              {"GET", "?stream=nosuch", "", nil, 404, "name one of those under streams"},
		"a stream of ordinary events": {"GET", "?stream=STREAM&dead=STREAM", "", nil, 404, "leave dead out"},
		"unknown parameter":           {"GET", "?stream=STREAM&reason=404", "", nil, 400, "the parameters are stream"},
		"repeated parameter":          {"GET", "?stream=STREAM&code=404&code=500", "", nil, 400, "write it once"},
		"invalid status":              {"GET", "?stream=STREAM&code=x", "", nil, 400, "write one like 404"},
		"invalid time":                {"GET", "?stream=STREAM&since=yesterday", "", nil, 400, "write a time like"},
		"invalid id":                  {"GET", "?stream=STREAM&after=x", "", nil, 400, "like 1700000000000-0"},
		"limit":                       {"GET", "?stream=STREAM&limit=1001", "", nil, 400, "continue with after"},
		"broken query":                {"GET", "?stream=%zz", "", nil, 400, "percent-encoded"},
		"show an invalid id":          {"GET", "/x?stream=STREAM", "", nil, 400, "like 1700000000000-0"},
		"show a missing entry":        {"GET", "/7-0?stream=STREAM", "", nil, 404, "to list the dead letters"},
		"no content type": {"POST", "/discard", `{"stream":"STREAM","all":true}`, nil, 415,
			"content-type: application/json"},
		"form": {"POST", "/discard?stream=STREAM&all=true", "",
			[]string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "application/json"},
		"another site": {"POST", "/discard", `{"stream":"STREAM","all":true}`,
			append([]string{"Sec-Fetch-Site", "cross-site"}, isJSON...), 403, "command line"},
		"another origin": {"POST", "/discard", `{"stream":"STREAM","all":true}`,
			append([]string{"Origin", "https://evil.example"}, isJSON...), 403, "command line"},
		"nothing selected": {"POST", "/discard", `{"stream":"STREAM"}`, isJSON, 400, "all: true"},
		"nothing at all":   {"POST", "/discard", "", isJSON, 400, "all: true"},
		"misspelled": {"POST", "/discard", `{"stream":"STREAM","all":true,"cod":"404"}`, isJSON, 400,
			"write one like"},
		"two objects": {"POST", "/discard", `{"stream":"STREAM","all":true}{}`, isJSON, 400, "text follows"},
		"query and body": {"POST", "/discard?dryRun=true", `{"stream":"STREAM","all":true}`, isJSON, 400,
			"only one of them"},
		"rate": {"POST", "/redrive", `{"stream":"STREAM","all":true,"rate":-1}`, isJSON, 400,
			"0 for no limit"},
		"rate is not a number": {"POST", "/redrive?stream=STREAM&all=true&rate=NaN", "", isJSON, 400,
			"0 for no limit"},
		"large body": {"POST", "/discard", long, isJSON, 413, "fewer entries"},
		"discard of the events": {"POST", "/discard", `{"stream":"STREAM","dead":"STREAM","all":true}`, isJSON, 404,
			"leave dead out"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, mediaType, answer := a.ask(c.method, "/api/v1/deadletters"+c.path, c.body, c.header...)
			var problem struct {
				Title, Detail string
				Status        int
			}
			if err := json.Unmarshal([]byte(answer), &problem); err != nil || mediaType != "application/problem+json" {
				t.Fatalf("%d %s %s: %v", status, mediaType, answer, err)
			}
			if status != c.status || problem.Status != c.status || problem.Title != http.StatusText(c.status) ||
				!strings.Contains(problem.Detail, c.says) {
				t.Errorf("%d %s", status, answer)
			}
			if n := len(a.entries(state.DeadLetterStream(a.stream))); n != 2 {
				t.Errorf("%d dead letters are left", n)
			}
		})
	}
	if status, _, _ := a.ask("GET", "/api/v1/deadletters/redrive/x?stream=STREAM", ""); status != 404 {
		t.Errorf("status %d", status)
	}
}

// TestWithoutRedis: the answer blames Redis, not the request.
func TestWithoutRedis(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 0)
	if err := a.client.Set(t.Context(), state.DeadLetterStream(a.stream), "no stream", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for method, path := range map[string]string{"GET": "?stream=STREAM", "POST": "/discard?stream=STREAM&all=true"} {
		status, mediaType, answer := a.ask(method, "/api/v1/deadletters"+path, "", "Content-Type", "application/json")
		if status != 503 || mediaType != "application/problem+json" || !strings.Contains(answer, "/readyz") {
			t.Errorf("%s: %d %s %s", method, status, mediaType, answer)
		}
	}
}
