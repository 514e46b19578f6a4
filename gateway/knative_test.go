package gateway_test

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/internal/redistest"
)

// TestKnativeBrokerPath: /{namespace}/{broker} is one more way into a stream, with the answers of any other.
func TestKnativeBrokerPath(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	c := oneStream(stream)
	c.Streams = append(c.Streams, oneStream(stream+"-broker").Streams...)
	c.Streams[1].Path = "/default/my-broker"
	g := start(t, client, c)
	invalid := event("2")
	invalid.Delete("type")
	for _, r := range []struct {
		path string
		bad  bool
		want int
	}{
		{"/default/my-broker", false, 202}, {"/default%2Fmy-broker", false, 202}, {"/" + stream + "-broker", false, 202},
		{"/default/my-broker", true, 400}, {"/default/other", false, 404}, {"/default", false, 404},
		{"/default/my-broker/", false, 202}, {"/my-broker", false, 404}, {"//default/my-broker", false, 404},
	} {
		e := event("1")
		if r.bad {
			e = invalid
		}
		if status, _ := post(t, g.url+r.path, e); status != r.want {
			t.Errorf("%s: status %d, want %d", r.path, status, r.want)
		}
	}
	if first, second := client.XLen(context.Background(), stream).Val(), client.XLen(context.Background(), stream+"-broker").Val(); first != 0 || second != 4 {
		t.Errorf("%d and %d entries, want 0 and 4", first, second)
	}
}

// TestKnativeSink: CloudEvent overrides, certificates and the token go with each request, and not into dead letters.
func TestKnativeSink(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"binary", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			token := filepath.Join(t.TempDir(), "token")
			replace := func(text string) {
				if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
					t.Error(err)
				}
			}
			replace("first\n")
			s := newSink(t, func(_ *http.Request, n int) int {
				replace("second")
				return map[int]int{1: 204, 2: 400}[n]
			})
			server := httptest.NewTLSServer(s)
			t.Cleanup(server.Close)
			g := start(t, client, subscribed(oneStream(stream), server.URL, func(c *delivery.Config) {
				c.Sink.Extensions, c.Sink.TokenFile, c.Concurrency = map[string]string{"team": "ä", "site": "b"}, token, 1
				c.Sink.CACerts = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
				c.Delivery.Format = format
			}))
			for _, id := range []string{"1", "2"} {
				e := event(id)
				e.Set("team", "the event's own")
				publish(t, g, stream, e)
			}
			redistest.Eventually(t, "both are settled", func() bool { return nothingPending(client, stream, "sub") })
			requests := s.all()
			if len(requests) != 2 {
				t.Fatalf("%d requests", len(requests))
			}
			for i, want := range []string{"Bearer first", "Bearer second"} {
				team, _ := requests[i].event.Attribute("team")
				site, _ := requests[i].event.Attribute("site")
				if got := requests[i].header.Get("Authorization"); got != want || team != "ä" || site != "b" || string(requests[i].event.Data) != `{"n": 1}` {
					t.Errorf("request %d: %s, %+v", i, got, requests[i].event)
				}
			}
			letter := readEvents(t, client, state.DeadLetterStream(stream))[0]
			team, _ := letter.Attribute("team")
			if _, found := letter.Attribute("site"); found || team != "the event's own" {
				t.Errorf("the dead letter is %+v", letter)
			}
			if strings.Contains(g.logs.String(), "second") {
				t.Error("the log holds the token")
			}
		})
	}
}

// TestKnativeTokenIsAwaited: without its token nothing is sent, and no retry is used up.
func TestKnativeTokenIsAwaited(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"missing": "-", "empty": " \n", "two words": "a b"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			token := filepath.Join(t.TempDir(), "token")
			write := func(text string) {
				if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if content != "-" {
				write(content)
			}
			s := newSink(t, nil)
			g := start(t, client, subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
				c.Sink.TokenFile, c.Delivery.Retry = token, 1
			}))
			publish(t, g, stream, event("1"))
			redistest.Eventually(t, "the circuit opens", func() bool { return strings.Contains(g.logs.String(), "sink.tokenFile") })
			if n := len(s.all()); n != 0 {
				t.Errorf("%d requests without a token", n)
			}
			write("there")
			redistest.Eventually(t, "it is delivered", func() bool { return delivered(t, g) == 1 })
			if got := s.all()[0].header.Get("Authorization"); got != "Bearer there" {
				t.Errorf("Authorization: %s", got)
			}
		})
	}
}

// TestKnativeErrorData: knativeerrordata is base64 of the answer, cut to 1024 bytes; knativeerrorcode its status.
func TestKnativeErrorData(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"none": 0, "short": 10, "cut": 5000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			body := strings.Repeat("\x00", size)
			url := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusUnprocessableEntity)
				_, _ = w.Write([]byte(body))
			}))
			g := start(t, client, subscribed(oneStream(stream), url+"/a?key=secret"))
			publish(t, g, stream, event("1"))
			redistest.Eventually(t, "it is settled", func() bool { return nothingPending(client, stream, "sub") })
			letter := readEvents(t, client, state.DeadLetterStream(stream))[0]
			dest, _ := letter.Attribute("knativeerrordest")
			code, _ := letter.Attribute("knativeerrorcode")
			data, _ := letter.Attribute("knativeerrordata")
			if want := base64.StdEncoding.EncodeToString([]byte(body[:min(size, 1024)])); dest != url+"/a" || code != "422" || data != want {
				t.Errorf("%q %q %q", dest, code, data)
			}
		})
	}
}

// TestKnativeTTL: the hop limit is not shown to sinks, an event without one begins with 255, each reply has one less,
// and at its end replies are dropped while the event itself is still delivered.
func TestKnativeTTL(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"": "254", "255": "254", "2": "1", "1": "", "0": "", "-3": "", "x": "254"} {
		t.Run("ttl "+given, func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			var mu sync.Mutex
			var seen []string
			reply := event("answer")
			reply.Set("type", "answer")
			url := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				seen = append(seen, r.Header.Get("Ce-Knativebrokerttl"), r.Header.Get("Prefer"))
				mu.Unlock()
				writeReply(w, reply, false)
			}))
			g := start(t, client, subscribed(oneStream(stream), url, onlyType("com.example.created")))
			e := event("1")
			if given != "" {
				e.Set("knativebrokerttl", given)
			}
			publish(t, g, stream, e)
			redistest.Eventually(t, "it is settled", func() bool { return delivered(t, g) == 1 && nothingPending(client, stream, "sub") })
			got := readEvents(t, client, stream)[1:]
			switch {
			case want == "" && len(got) != 0:
				t.Errorf("a reply came back: %+v", got)
			case want != "":
				if ttl, _ := got[0].Attribute("knativebrokerttl"); len(got) != 1 || ttl != want {
					t.Errorf("%d replies with hop limit %q, want %q", len(got), ttl, want)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(seen, []string{"", "reply"}) {
				t.Errorf("the sink saw %q", seen)
			}
		})
	}
}
