package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/ingress"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// TestAnswers holds a case for each row of the table of answers, over real sockets.
func TestAnswers(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	c := oneStream(stream)
	c.Server = ingress.NewConfig()
	c.Server.Address, c.Server.MaxEventBytes, c.Server.MaxBatchBytes = "127.0.0.1:0", 128<<10, 256<<10
	g := start(t, client, c)
	const (
		binary     = "Ce-Specversion: 1.0\nCe-Id: 1\nCe-Source: /s\nCe-Type: t\n"
		structured = "Content-Type: application/cloudevents+json\n"
		batch      = "Content-Type: application/cloudevents-batch+json\n"
		one        = `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`
		broken     = `{"specversion":"1.0","id":"","source":"/s","type":"t"}`
	)
	big := strings.Repeat("x", 200<<10)
	bigEvent := `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"` + strings.Repeat("x", 130<<10) + `"}`
	for name, r := range map[string]struct { //nolint:paralleltest // the cases count the entries of one stream
		method, path, header, body string
		want                       int
		detail                     string // in the problem document
		stored                     int64
	}{
		"binary":                      {"POST", "/", binary, "hello", 202, "", 1},
		"binary, named stream":        {"POST", "/" + stream, binary, "", 202, "", 1},
		"structured":                  {"POST", "/", structured, one, 202, "", 1},
		"structured, charset":         {"POST", "/", "Content-Type: Application/CloudEvents+JSON; charset=UTF-8\n", one, 202, "", 1},
		"batch":                       {"POST", "/", batch, "[" + one + "," + one + "]", 202, "", 2},
		"batch, charset":              {"POST", "/", "Content-Type: application/cloudevents-batch+json; charset=utf-8\n", "[" + one + "]", 202, "", 1},
		"empty batch":                 {"POST", "/", batch, "[]", 202, "", 0},
		"batch with one broken":       {"POST", "/", batch, "[" + one + "," + broken + "]", 400, "event 1", 0},
		"batch with one too large":    {"POST", "/", batch, "[" + bigEvent + "]", 413, "event 0", 0},
		"no CloudEvent":               {"POST", "/", "Content-Type: text/plain\n", "hello", 400, "not a CloudEvent", 0},
		"attribute missing":           {"POST", "/", "Ce-Specversion: 1.0\nCe-Id: 1\nCe-Source: /s\n", "", 400, `"type"`, 0},
		"broken JSON":                 {"POST", "/", structured, "{", 400, "not valid JSON", 0},
		"the request that kills SDKs": {"POST", "/", structured, `{"data_base64":1,"specversion":"1.0"}`, 400, "data_base64", 0},
		"the header that kills SDKs":  {"POST", "/", binary + "Ce-: x\n", "", 400, "an attribute has an empty name", 0},
		"unknown stream":              {"POST", "/nosuch", binary, "", 404, "no such stream", 0},
		"path below a stream":         {"POST", "/" + stream + "/x", binary, "", 404, "no such stream", 0},
		"wrong method":                {"GET", "/", "", "", 405, "POST", 0},
		"too large":                   {"POST", "/", binary, big, 413, "larger than", 0},
		"unknown format":              {"POST", "/", "Content-Type: application/cloudevents+avro\n", "x", 415, "not supported", 0},
		"compressed":                  {"POST", "/", binary + "Content-Encoding: gzip\n", "x", 415, "Content-Encoding", 0},
		"not compressed":              {"POST", "/", binary + "Content-Encoding: identity\n", "x", 202, "", 1},
		"foreign charset":             {"POST", "/", "Content-Type: application/cloudevents+json; charset=utf-16\n", one, 415, "charset", 0},
	} {
		t.Run(name, func(t *testing.T) {
			before := client.XLen(context.Background(), stream).Val()
			status, header, body := do(t, r.method, g.url+r.path, r.header, r.body)
			if status != r.want {
				t.Fatalf("status %d, want %d: %s", status, r.want, body)
			}
			if n := client.XLen(context.Background(), stream).Val() - before; n != r.stored {
				t.Errorf("%d events were stored, want %d", n, r.stored)
			}
			if r.detail != "" {
				checkProblem(t, status, header, body, r.detail)
			}
			if r.want == 405 && header.Get("Allow") != "POST" {
				t.Errorf("Allow is %q", header.Get("Allow"))
			}
		})
	}
}

func do(t *testing.T, method, url, header, body string) (int, http.Header, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(header) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if name == "Ce-:" { // Cut has found nothing to cut
			name, value = "Ce-", "x"
		}
		r.Header[name] = []string{value}
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, answer
}

func checkProblem(t *testing.T, status int, header http.Header, body []byte, detail string) {
	t.Helper()
	if contentType := header.Get("Content-Type"); contentType != "application/problem+json" {
		t.Errorf("Content-Type is %q", contentType)
	}
	var problem struct {
		Title, Detail string
		Status        int
	}
	if err := json.Unmarshal(body, &problem); err != nil {
		t.Fatal(err)
	}
	if problem.Status != status || problem.Title == "" || !strings.Contains(problem.Detail, detail) {
		t.Errorf("the problem is %+v, want one about %q", problem, detail)
	}
}

// TestChunkedBodyIsLimited: without Content-Length the limit holds as well.
func TestChunkedBodyIsLimited(t *testing.T) {
	t.Parallel()
	g := start(t, redistest.Shared(t).Client(), oneStream(redistest.Stream(t)))
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, g.url, io.LimitReader(endless{}, 2<<20))
	if err != nil {
		t.Fatal(err)
	}
	e := event("1")
	e.WriteHTTP(r.Header)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413", response.StatusCode)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestEntryIDsAreTold: a producer learns where its events are, in the order of its batch.
func TestEntryIDsAreTold(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	g := start(t, client, oneStream(stream))
	status, header := post(t, g.url, event("single"))
	entries, err := client.XRange(context.Background(), stream, "-", "+").Result()
	if err != nil || status != 202 || len(entries) != 1 || header.Get("Streamgate-Entry-Id") != entries[0].ID {
		t.Fatalf("status %d, header %q, entries %v, %v", status, header.Get("Streamgate-Entry-Id"), entries, err)
	}
	events := []rawevent.Event{event("a"), event("b"), event("c")}
	r, err := http.Post(g.url, rawevent.MediaTypeBatch, bytes.NewReader(rawevent.AppendBatch(nil, events))) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	var ids []string
	if err := json.NewDecoder(r.Body).Decode(&ids); err != nil || len(ids) != 3 {
		t.Fatalf("ids %v, %v", ids, err)
	}
	for i, id := range ids {
		if got := client.XRange(context.Background(), stream, id, id).Val(); len(got) != 1 || got[0].Values["ce_id"] != events[i].ID() {
			t.Errorf("entry %s holds %v, want event %s", id, got, events[i].ID())
		}
	}
}

// TestRedisAwayMeans503InTime: producers hear within a second that Redis is away, however it is away, and can go on
// when it is back. What was accepted is there; what was refused may be sent again.
func TestRedisAwayMeans503InTime(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]struct{ begin, end func(*redistest.Server) }{
		"killed": {(*redistest.Server).Kill, (*redistest.Server).Restart},
		"silent": {(*redistest.Server).Pause, (*redistest.Server).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, redistest.WithAOF("always"))
			stream := redistest.Stream(t)
			g := start(t, server.Client(), oneStream(stream))
			accepted := map[string]bool{}
			for i := range 20 {
				id := fmt.Sprintf("before-%d", i)
				if status, _ := post(t, g.url, event(id)); status != 202 {
					t.Fatalf("status %d", status)
				}
				accepted[id] = true
			}
			away.begin(server)
			var asking sync.WaitGroup
			for i := range 20 {
				asking.Go(func() {
					started := time.Now()
					status, header := post(t, g.url, event(fmt.Sprintf("during-%d", i)))
					if took := time.Since(started); status != 503 || header.Get("Retry-After") == "" || took > 1500*time.Millisecond {
						t.Errorf("status %d, Retry-After %q, after %s", status, header.Get("Retry-After"), took)
					}
				})
			}
			asking.Wait()
			away.end(server)
			redistest.Eventually(t, "events are accepted again", func() bool {
				status, _ := post(t, g.url, event("after"))
				return status == 202
			})
			accepted["after"] = true
			entries, err := server.Client().XRange(context.Background(), stream, "-", "+").Result()
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				if id, ok := entry.Values["ce_id"].(string); ok {
					delete(accepted, id)
				}
			}
			if len(accepted) > 0 {
				t.Errorf("accepted and not there: %v", accepted)
			}
			if n := strings.Count(g.logs.String(), "cannot store events"); n != 1 {
				t.Errorf("the outage was logged %d times, want once", n)
			}
		})
	}
}

// TestNothingIsAcceptedBeforeTheGroupsExist: a new subscription begins at the end of its stream, so an event that came
// before its group would be delivered to nobody.
func TestNothingIsAcceptedBeforeTheGroupsExist(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client, stream := server.Client(), redistest.Stream(t)
	s := newSink(t, nil)
	if err := client.Set(context.Background(), stream, "no stream", 0).Err(); err != nil { // the group cannot be created
		t.Fatal(err)
	}
	c := subscribed(oneStream(stream), s.url, func(c *delivery.Config) { c.StartFrom = "latest" })
	c.Server = ingress.NewConfig()
	c.Server.Address = "127.0.0.1:0"
	g := launch(t, client, c)
	if status, header := post(t, g.url, event("early")); status != 503 || header.Get("Retry-After") == "" {
		t.Errorf("status %d", status)
	}
	if err := client.Del(context.Background(), stream).Err(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, "an event is accepted", func() bool {
		status, _ := post(t, g.url, event("first"))
		return status == 202
	})
	redistest.Eventually(t, "the first event that was accepted is delivered", func() bool { return len(s.ids()) == 1 })
}

// TestHalfClosedClientHearsTheTruth: a client that closes its half of the connection after the request still reads the
// answer, and must not take a 200 for a 503.
func TestHalfClosedClientHearsTheTruth(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	g := start(t, server.Client(), oneStream(redistest.Stream(t)))
	e := event("1")
	for _, want := range []string{"HTTP/1.1 202", "HTTP/1.1 503"} {
		if want == "HTTP/1.1 503" {
			server.Kill()
		}
		for range 10 {
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(g.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			request := bytes.Replace(rawRequest(&e), []byte("/"+benchStream), []byte("/"), 1)
			if _, err := conn.Write(request); err != nil {
				t.Fatal(err)
			}
			if half, ok := conn.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
				t.Fatal("cannot close half of the connection")
			}
			answer, _ := io.ReadAll(conn)
			_ = conn.Close()
			if !strings.HasPrefix(string(answer), want) {
				t.Fatalf("answered %q, want %s", answer, want)
			}
		}
	}
}
