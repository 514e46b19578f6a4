package subscriptions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/guard"
	"github.com/streamgate/streamgate/gateway/ingress"
	"github.com/streamgate/streamgate/gateway/stream"
	"github.com/streamgate/streamgate/gateway/subscriptions"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// replica is a gateway with the API.
type replica struct {
	t       *testing.T
	gateway *gateway.Gateway
	url     string
	logs    *redistest.LogBuffer
	stop    func()
}

func startReplica(t *testing.T, client redis.UniversalClient) *replica {
	t.Helper()
	c := gateway.Config{Server: ingress.NewConfig()}
	c.Server.Address = "127.0.0.1:0"
	for _, name := range []string{"events", "other"} {
		stream := stream.NewConfig()
		stream.Name = name
		c.Streams = append(c.Streams, stream)
	}
	fixed := delivery.NewConfig()
	fixed.Name, fixed.Stream, fixed.Sink.Channel = "fixed", "events", "channel"
	fixed.Filters = []filter.Config{
		{Not: &filter.Config{All: []filter.Config{{Prefix: map[string]string{"type": "x"}}}}},
	}
	c.Subscriptions = append(c.Subscriptions, fixed)
	if problems := c.Validate(); len(problems) > 0 {
		t.Fatal(problems)
	}
	r := &replica{t: t, logs: &redistest.LogBuffer{}}
	log := slog.New(slog.NewTextHandler(r.logs, nil))
	var err error
	if r.gateway, err = gateway.New(c, gateway.Env{Redis: client, Logger: log, Registry: prometheus.NewRegistry(),
		UserAgent: "test"}); err != nil {
		t.Fatal(err)
	}
	guard, err := guard.New([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	service := subscriptions.New(r.gateway, &c, client, guard, log)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.gateway.Run(ctx) })
	running.Go(func() { _ = service.Run(ctx) })
	server := httptest.NewServer(service.Handler())
	r.url = server.URL
	r.stop = sync.OnceFunc(func() {
		server.Close()
		cancel()
		running.Wait()
	})
	t.Cleanup(r.stop)
	redistest.Eventually(t, "ready", func() bool { return r.gateway.Ready(context.Background()) == nil })
	return r
}

// call makes a request and decodes the answer.
func (r *replica) call(method, path string, body any, headers ...string) (int, map[string]any, http.Header) {
	r.t.Helper()
	status, text, header := r.raw(method, path, body, headers...)
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil {
		r.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	return status, answer, header
}

func (r *replica) raw(method, path string, body any, headers ...string) (int, []byte, http.Header) {
	r.t.Helper()
	text, ok := body.(string)
	if !ok && body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			r.t.Fatal(err)
		}
		text = string(encoded)
	}
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, bytes.NewReader([]byte(text)))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, answer, response.Header
}

func (r *replica) names() map[string]bool {
	names := map[string]bool{}
	for _, s := range r.gateway.Subscriptions() {
		names[s.Name] = true
	}
	return names
}

func (r *replica) publish(stream, id, eventType string) {
	r.t.Helper()
	e := rawevent.New(id, "/source", eventType)
	if _, err := r.gateway.Publisher().Publish(context.Background(), stream, &e); err != nil {
		r.t.Fatal(err)
	}
}

type object = map[string]any

// TestLife: a subscription is created on one replica, run by both within two seconds, changed and deleted without a
// trace.
func TestLife(t *testing.T) {
	t.Parallel()
	client := redistest.Start(t).Client()
	one, two := startReplica(t, client), startReplica(t, client)
	var mu sync.Mutex
	var got []string
	var authorization string
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.Header.Get("Ce-Id")+r.Header.Get("X-Key"))
		authorization = r.Header.Get("Authorization")
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(sink.Close)
	status, created, header := one.call("POST", "/subscriptions", object{
		"id": "mine", "sink": sink.URL, "protocol": "HTTP", "types": []string{"a", "b"},
		"config": object{"startFrom": "earliest", "delivery": object{"retry": 3},
			"transform": object{"set": object{"id": "{id}."}}},
		"protocolsettings": object{"headers": object{"X-Key": "-secret"}},
		"sinkcredential": object{"credentialtype": "ACCESSTOKEN", "accesstoken": "secret-token",
			"accesstokentype": "bearer"},
	})
	id, _ := created["id"].(string)
	if status != http.StatusCreated || id == "" || id == "mine" || header.Get("Location") != "/subscriptions/"+id ||
		header.Get("Etag") == "" {
		t.Fatalf("%d %v %v", status, created, header)
	}
	for _, r := range []*replica{one, two} {
		started := time.Now()
		redistest.Eventually(t, "the subscription runs", func() bool { return r.names()[id] })
		if took := time.Since(started); took > 3*time.Second {
			t.Errorf("a replica ran it after %s", took)
		}
	}
	two.publish("events", "1", "a")
	two.publish("events", "2", "c")
	two.publish("events", "3", "b")
	redistest.Eventually(t, "delivered", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) >= 2 })
	mu.Lock()
	if text := strings.Join(got, " "); text != "1.-secret 3.-secret" && text != "3.-secret 1.-secret" ||
		authorization != "Bearer secret-token" {
		t.Errorf("delivered %s with %q", text, authorization)
	}
	mu.Unlock()

	status, shown, header := two.call("GET", "/subscriptions/"+id, nil)
	text, _ := json.Marshal(shown)
	if status != http.StatusOK || strings.Contains(string(text), "secret") || shown["sinkcredential"] != nil {
		t.Errorf("%d %s", status, text)
	}
	tag := header.Get("Etag")
	shown["types"] = []string{"c"}
	if status, answer, _ := two.call("PUT", "/subscriptions/"+id, shown, "If-Match",
		`"0"`); status != http.StatusPreconditionFailed {
		t.Errorf("changed over another change: %d %v", status, answer)
	}
	if status, answer, _ := two.call("PUT", "/subscriptions/"+id, shown, "If-Match", tag); status != http.StatusOK {
		t.Errorf("%d %v", status, answer)
	}
	redistest.Eventually(t, "its filters have changed", func() bool {
		one.publish("events", "4", "c")
		mu.Lock()
		defer mu.Unlock()
		return got[len(got)-1] == "4.-secret" && authorization == "Bearer secret-token" // the secrets are kept
	})
	if status, answer, _ := one.call("DELETE", "/subscriptions/"+id, nil); status != http.StatusOK ||
		answer["id"] != id {
		t.Errorf("%d %v", status, answer)
	}
	for _, r := range []*replica{one, two} {
		redistest.Eventually(t, "the subscription has stopped", func() bool { return !r.names()[id] })
	}
	redistest.Eventually(t, "its group is gone", func() bool {
		groups, err := client.XInfoGroups(context.Background(), "events").Result()
		return err == nil && len(groups) == 1
	})
	if status, answer, _ := one.call("DELETE", "/subscriptions/"+id, nil); status != http.StatusNotFound {
		t.Errorf("%d %v", status, answer)
	}
	if logs := one.logs.String() + two.logs.String(); strings.Contains(logs, "secret") ||
		strings.Contains(logs, "level=ERROR") {
		t.Error(logs)
	}
}

// TestLists: pages, and the subscriptions of the configuration, which are read-only.
func TestLists(t *testing.T) {
	t.Parallel()
	r := startReplica(t, redistest.Start(t).Client())
	for range 5 {
		if status, answer, _ := r.call("POST", "/subscriptions",
			object{"sink": "stream:other", "protocol": "REDIS"}); status != http.StatusCreated {
			t.Fatal(status, answer)
		}
	}
	seen := map[string]bool{}
	pages := 0
	for path := "/subscriptions?limit=2"; path != ""; pages++ {
		status, text, header := r.raw("GET", path, nil)
		var page []object
		if err := json.Unmarshal(text, &page); err != nil || status != http.StatusOK || len(page) > 2 {
			t.Fatalf("%d %s", status, text)
		}
		for _, o := range page {
			seen[o["id"].(string)] = true
		}
		path, _, _ = strings.Cut(strings.TrimPrefix(header.Get("Link"), "<"), ">")
	}
	if len(seen) != 6 || pages != 3 || !seen["fixed"] {
		t.Errorf("%v in %d pages", seen, pages)
	}
	status, o, _ := r.call("GET", "/subscriptions/fixed", nil)
	filter, _ := json.Marshal(o["filters"])
	if status != http.StatusOK || o["sink"] != "channel:channel" ||
		string(filter) != `[{"not":{"all":[{"prefix":{"type":"x"}}]}}]` {
		t.Errorf("%d %v", status, o)
	}
	o["types"] = []string{"x"}
	for _, method := range []string{"PUT", "DELETE"} {
		if status, answer, header := r.call(method, "/subscriptions/fixed", o); status != http.StatusMethodNotAllowed ||
			header.Get("Allow") != "GET, OPTIONS" {
			t.Errorf("%s: %d %v", method, status, answer)
		}
	}
	if status, _, header := r.raw("OPTIONS", "/subscriptions", nil); status != http.StatusOK ||
		header.Get("Allow") != "GET, POST, OPTIONS" {
		t.Errorf("%d %v", status, header)
	}
}

// TestListIsComplete: a client that knows nothing of pages gets all.
func TestListIsComplete(t *testing.T) {
	t.Parallel()
	r := startReplica(t, redistest.Start(t).Client())
	for range 120 {
		if status, answer, _ := r.call("POST", "/subscriptions", object{"sink": "stream:other", "protocol": "REDIS", "config": object{"stream": "events"}}); status != http.StatusCreated {
			t.Fatal(status, answer)
		}
	}
	_, text, header := r.raw("GET", "/subscriptions", nil)
	var all []object
	if err := json.Unmarshal(text, &all); err != nil || len(all) != 121 || header.Get("Link") != "" {
		t.Errorf("%d of 121, %v, Link %q", len(all), err, header.Get("Link"))
	}
}

// TestSecretsAreNotShown: neither those of the sink nor those of dead letters, whatever the spelling of the keys; and
// an update with what was shown keeps them.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	client := redistest.Start(t).Client()
	r := startReplica(t, client)
	status, created, _ := r.call("POST", "/subscriptions", object{
		"sink": "https://u:SINKPW@example.com/p?token=SINKQUERY", "protocol": "HTTP",
		"config": object{"delivery": object{"DeadLetterSink": object{"URI": "https://u:DEADPW@example.com/d?token=DEADQUERY"}, "retry": 3}},
	})
	if status != http.StatusCreated {
		t.Fatal(status, created)
	}
	path := "/subscriptions/" + created["id"].(string)
	stored := func() string {
		var all strings.Builder
		for _, object := range client.HGetAll(context.Background(), "streamgate:{subscriptions}:objects").Val() {
			all.WriteString(object)
		}
		return all.String()
	}
	check := func(when string, text []byte) {
		t.Helper()
		for _, secret := range []string{"SINKPW", "SINKQUERY", "DEADPW", "DEADQUERY"} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s: %s is shown: %s", when, secret, text)
			}
			if !strings.Contains(stored(), secret) {
				t.Errorf("%s: %s was lost: %s", when, secret, stored())
			}
		}
	}
	text, _ := json.Marshal(created)
	check("created", text)
	_, text, _ = r.raw("GET", "/subscriptions", nil)
	check("list", text)
	_, text, _ = r.raw("GET", path, nil)
	check("get", text)
	if !bytes.Contains(text, []byte("https://example.com/d?...")) {
		t.Errorf("the address is not shown: %s", text)
	}
	if status, text, _ := r.raw("PUT", path, string(text)); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	_, text, _ = r.raw("GET", path, nil)
	check("updated", text)
	status, text, _ = r.raw("DELETE", path, nil)
	if status != http.StatusOK || bytes.Contains(text, []byte("PW")) || bytes.Contains(text, []byte("QUERY")) {
		t.Errorf("%d %s", status, text)
	}
}

// TestRefused: each answer is a problem document that tells what is wrong and what to do.
func TestRefused(t *testing.T) {
	t.Parallel()
	r := startReplica(t, redistest.Start(t).Client())
	good := func(change object) object {
		o := object{"sink": "http://example.com/", "protocol": "HTTP"}
		for name, value := range change {
			o[name] = value
		}
		return o
	}
	for name, c := range map[string]struct {
		body   any
		status int
		part   string
	}{
		"no JSON":               {"{", 400, "not a subscription: the content is not valid JSON: it ends too early"},
		"two":                   {`{"sink":"http://a/","protocol":"HTTP"}{}`, 400, "follows"},
		"unknown member":        {good(object{"filter": []any{}}), 400, `"filter"`},
		"no protocol":           {good(object{"protocol": ""}), 400, "write HTTP or REDIS"},
		"other protocol":        {good(object{"protocol": "KAFKA"}), 400, "not supported"},
		"no address":            {good(object{"sink": "example.com"}), 400, "sink.uri"},
		"private address":       {good(object{"sink": "http://169.254.169.254/latest"}), 400, "admin.allowSinks"},
		"wrong template":        {good(object{"config": object{"transform": object{"set": object{"subject": "{nothing}"}}}}), 400, "is not a known placeholder"},
		"a file of the gateway": {good(object{"config": object{"transform": object{"schemas": []object{{"File": "/etc/passwd"}}}}}), 400, "files are not for"},
		"private dead end":      {good(object{"config": object{"delivery": object{"deadLetterSink": object{"uri": "http://10.0.0.1/"}}}}), 400, "admin.allowSinks"},
		"method":                {good(object{"protocolsettings": object{"method": "PUT"}}), 400, "protocolsettings.method"},
		"header of an event":    {good(object{"protocolsettings": object{"headers": object{"Ce-Id": "1"}}}), 400, "protocolsettings.headers.Ce-Id"},
		"header with a line":    {good(object{"protocolsettings": object{"headers": object{"A": "b\r\nc"}}}), 400, "headers.A"},
		"dialect":               {good(object{"filters": []any{object{"sqlx": "true"}}}), 400, "the dialect"},
		"two dialects":          {good(object{"filters": []any{object{"exact": object{"type": "a"}, "prefix": object{"type": "a"}}}}), 400, "one member"},
		"area":                  {good(object{"filters": []any{object{"intersects": object{"type": "Circle"}}}}), 400, "not a GeoJSON type"},
		"no area":               {good(object{"filters": []any{object{"intersects": object{}}}}), 400, "either a box or a geometry"},
		"nested dialect":        {good(object{"filters": []any{object{"all": []any{object{"not": object{"nope": 1}}}}}}), 400, "filters[0].all[0].not"},
		"attribute":             {good(object{"filters": []any{object{"exact": object{"Type": "a"}}}}), 400, "not a valid attribute name"},
		"no types":              {good(object{"types": []string{}}), 400, "types"},
		"credential":            {good(object{"sinkcredential": object{"credentialtype": "REFRESHTOKEN"}}), 400, "write PLAIN or ACCESSTOKEN"},
		"expired":               {good(object{"sinkcredential": object{"credentialtype": "ACCESSTOKEN", "accesstoken": "a", "accesstokenexpiresutc": "2020-01-01T00:00:00Z"}}), 400, "expired"},
		"config":                {good(object{"config": object{"conc": 1}}), 400, "conc"},
		"stream":                {good(object{"config": object{"stream": "nope"}}), 400, "there is no stream"},
		"concurrency":           {good(object{"config": object{"concurrency": 0}}), 400, "concurrency"},
		"circle":                {good(object{"protocol": "REDIS", "sink": "stream:events"}), 400, "back into the stream"},
		"a type with a star":    {good(object{"types": []string{"a", "com.example.*"}}), 400, "types[1]"},
		"source is empty":       {good(object{"source": ""}), 400, "source is empty"},
		"source is no URI":      {good(object{"source": "%zz"}), 400, "not a URI reference"},
		"config is null":        {good(object{"config": nil}), 400, "config is null"},
		"source is null":        {good(object{"source": nil}), 400, "source is null"},
		"null within":           {good(object{"config": object{"delivery": object{"retry": nil}}}), 400, "config.delivery.retry is null"},
		"null in a list":        {good(object{"filters": []any{nil}}), 400, "filters[0] is null"},
		"null alone":            {"null", 400, "not a JSON object"},
		"a list":                {"[]", 400, "it is a JSON array instead of an object"},
		"upper case":            {`{"Sink":"http://example.com/","protocol":"HTTP"}`, 400, `"Sink" is not a member`},
		"a number":              {good(object{"source": 1}), 400, "source cannot be a JSON number"},
		"dead letters anywhere": {good(object{"config": object{"delivery": object{"deadLetterSink": object{"stream": "session:42"}}}}), 400, "config.delivery.deadLetterSink.stream"},
		"dead letters, address": {good(object{"config": object{"delivery": object{"deadLetterSink": object{"uri": "http://10.0.0.1/"}}}}), 400, `"config.delivery.deadLetterSink.uri"`},
		"channel anywhere":      {good(object{"protocol": "REDIS", "sink": "channel:private"}), 400, "the configuration has no channel"},
		"too large":             {good(object{"source": strings.Repeat("x", 70_000)}), 413, "65536"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, answer, header := r.call("POST", "/subscriptions", c.body)
			text, _ := json.Marshal(answer)
			if status != c.status || !strings.Contains(strings.ReplaceAll(string(text), `\"`, `"`), c.part) ||
				header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%d %s", status, text)
			}
		})
	}
	if status, _, _ := r.call("POST", "/subscriptions", good(nil), "Content-Type",
		"text/plain"); status != http.StatusUnsupportedMediaType {
		t.Errorf("text/plain: %d", status)
	}
	if status, text, _ := r.raw("POST", "/subscriptions", good(nil), "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden || !bytes.HasPrefix(text, []byte(`{"type":"about:blank"`)) {
		t.Errorf("from another site: %d %s", status, text)
	}
	if status, _, _ := r.call("PUT", "/subscriptions/nope",
		good(object{"id": "other"})); status != http.StatusBadRequest {
		t.Errorf("another id: %d", status)
	}
	for _, path := range []string{"/subscriptions?limit=0", "/subscriptions?limit=x"} {
		if status, _, _ := r.call("GET", path, nil); status != http.StatusBadRequest {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// TestOpenAPI: the document describes exactly the paths and methods that the handler serves.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	r := startReplica(t, redistest.Start(t).Client())
	status, document, _ := r.call("GET", "/openapi.json", nil)
	if status != http.StatusOK {
		t.Fatal(status)
	}
	paths := document["paths"].(object)
	for path, methods := range map[string]string{"/subscriptions": "get options post",
		"/subscriptions/{id}": "delete get options put"} {
		for _, method := range []string{"get", "post", "put", "delete", "options", "patch"} {
			_, documented := paths[path].(object)[method]
			if documented != strings.Contains(methods, method) {
				t.Errorf("%s %s: documented %v", method, path, documented)
			}
			status, _, _ := r.raw(strings.ToUpper(method), strings.ReplaceAll(path, "{id}", "none"), nil)
			if served := status != http.StatusMethodNotAllowed; served != documented {
				t.Errorf("%s %s: %d, documented %v", method, path, status, documented)
			}
		}
	}
}

// TestRedisAway: without Redis, subscriptions continue and the API answers 503; afterwards both work as before.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.WithAOF("always"))
	r := startReplica(t, server.Client())
	status, created, _ := r.call("POST", "/subscriptions", object{"sink": "channel:channel", "protocol": "REDIS"})
	if status != http.StatusCreated {
		t.Fatal(status, created)
	}
	id := created["id"].(string)
	redistest.Eventually(t, "the subscription runs", func() bool { return r.names()[id] })
	server.Kill()
	if status, answer, header := r.call("GET", "/subscriptions", nil); status != http.StatusServiceUnavailable ||
		header.Get("Retry-After") == "" {
		t.Errorf("%d %v", status, answer)
	}
	redistest.Eventually(t, "it is logged", func() bool {
		return strings.Contains(r.logs.String(), "the subscriptions of the API could not be read")
	})
	if !r.names()[id] {
		t.Error("the subscription has stopped")
	}
	server.Restart()
	redistest.Eventually(t, "it is logged", func() bool {
		return strings.Contains(r.logs.String(), "the subscriptions of the API can be read again")
	})
	if status, _, _ := r.raw("GET", "/subscriptions", nil); status != http.StatusOK || !r.names()[id] {
		t.Errorf("%d", status)
	}
}

// TestWebHookOfTheAPI: the sink is validated before the first delivery, and each delivery has the origin of the
// gateway.
func TestWebHookOfTheAPI(t *testing.T) {
	t.Parallel()
	one := startReplica(t, redistest.Start(t).Client())
	var mu sync.Mutex
	var got []string
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.Method+" "+r.Header.Get("WebHook-Request-Origin"))
		w.Header().Set("WebHook-Allowed-Origin", "gateway.example.com")
	}))
	t.Cleanup(sink.Close)
	status, created, _ := one.call("POST", "/subscriptions", object{
		"sink": sink.URL, "protocol": "HTTP",
		"config": object{"startFrom": "earliest", "webHook": object{"validate": true, "origin": "gateway.example.com"}},
	})
	id, _ := created["id"].(string)
	if status != http.StatusCreated {
		t.Fatalf("%d %v", status, created)
	}
	redistest.Eventually(t, "the subscription runs", func() bool { return one.names()[id] })
	one.publish("events", "1", "a")
	redistest.Eventually(t, "delivered", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == 2 })
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"OPTIONS gateway.example.com", "POST gateway.example.com"}; !slices.Equal(got, want) {
		t.Errorf("requests %q", got)
	}
}
