package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/ingress"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/gateway/webhook"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// TestWebHookHandshake holds the receiver's side of section 4 of the CloudEvents Web Hooks specification: permission
// stands in the answer to OPTIONS if and only if it is given.
func TestWebHookHandshake(t *testing.T) {
	t.Parallel()
	c := oneStream(redistest.Stream(t))
	c.Server = ingress.NewConfig()
	c.Server.Address = "127.0.0.1:0"
	c.Server.WebHook = webhook.ReceiverConfig{Origins: []string{"events.example.com", "*.trusted.example"}, Rate: 120}
	g := start(t, redistest.Shared(t).Client(), c)
	for name, r := range map[string]struct {
		path, header string
		want         int
		origin, rate string
	}{
		"4.1.1 allowed":              {"/", "WebHook-Request-Origin: events.example.com\n", 204, "events.example.com", "120"},
		"4.2.1 exact origin":         {"/", "WebHook-Request-Origin: a.trusted.example\n", 204, "a.trusted.example", "120"},
		"case of names":              {"/", "WebHook-Request-Origin: Events.Example.com\n", 204, "Events.Example.com", "120"},
		"4.1.3 less is asked for":    {"/", "WebHook-Request-Origin: events.example.com\nWebHook-Request-Rate: 10\n", 204, "events.example.com", "10"},
		"4.1.3 more is asked for":    {"/", "WebHook-Request-Origin: events.example.com\nWebHook-Request-Rate: 1000\n", 204, "events.example.com", "120"},
		"4.1.3 nonsense":             {"/", "WebHook-Request-Origin: events.example.com\nWebHook-Request-Rate: -1\n", 204, "events.example.com", "120"},
		"4.1.4 callback is not used": {"/", "WebHook-Request-Origin: other.example\nWebHook-Request-Callback: http://127.0.0.1:1/\n", 403, "", ""},
		"4.2 not allowed":            {"/", "WebHook-Request-Origin: other.example\n", 403, "", ""},
		"not a name":                 {"/", "WebHook-Request-Origin: *\n", 403, "", ""},
		"two origins":                {"/", "WebHook-Request-Origin: events.example.com\nWebHook-Request-Origin: other.example\n", 403, "", ""},
		"no origin":                  {"/", "", 204, "", ""},
		"unknown stream":             {"/nosuch", "WebHook-Request-Origin: events.example.com\n", 404, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, header, body := do(t, http.MethodOptions, g.url+r.path, r.header, "")
			if status != r.want || header.Get("WebHook-Allowed-Origin") != r.origin || header.Get("WebHook-Allowed-Rate") != r.rate {
				t.Errorf("%d, origin %q, rate %q: %s", status, header.Get("WebHook-Allowed-Origin"), header.Get("WebHook-Allowed-Rate"), body)
			}
			if status == http.StatusNoContent && header.Get("Allow") != "POST, OPTIONS" {
				t.Errorf("Allow is %q", header.Get("Allow"))
			}
		})
	}
}

// TestWebHookRate: a sender that was granted so many requests a minute gets 429 and Retry-After for more (section
// 4.2.2); one that may not deliver gets 403; one that does not call itself a web hook is not concerned.
func TestWebHookRate(t *testing.T) {
	t.Parallel()
	c := oneStream(redistest.Stream(t))
	c.Server = ingress.NewConfig()
	c.Server.Address = "127.0.0.1:0"
	c.Server.WebHook = webhook.ReceiverConfig{Origins: []string{"*.example.com"}, Rate: 60}
	g := start(t, redistest.Shared(t).Client(), c)
	const binary = "Ce-Specversion: 1.0\nCe-Id: 1\nCe-Source: /s\nCe-Type: t\n"
	send := func(origin string) (int, http.Header) {
		header := binary
		if origin != "" {
			header += "WebHook-Request-Origin: " + origin + "\n"
		}
		status, answer, _ := do(t, http.MethodPost, g.url+"/", header, "x")
		return status, answer
	}
	if status, _ := send("a.example.com"); status != 202 {
		t.Fatalf("status %d", status)
	}
	if status, header := send("A.example.com"); status != 429 || header.Get("Retry-After") != "1" {
		t.Errorf("status %d, Retry-After %q", status, header.Get("Retry-After"))
	}
	if status, _ := send("b.example.com"); status != 202 {
		t.Errorf("another origin: status %d", status)
	}
	if status, _ := send("b.example.org"); status != 403 {
		t.Errorf("a stranger: status %d", status)
	}
	for range 3 {
		if status, _ := send(""); status != 202 {
			t.Errorf("no web hook: status %d", status)
		}
	}
}

// TestNoHandshake: where no origins are configured, OPTIONS is not supported (section 4.2).
func TestNoHandshake(t *testing.T) {
	t.Parallel()
	c := oneStream(redistest.Stream(t))
	g := start(t, redistest.Shared(t).Client(), c)
	status, header, _ := do(t, http.MethodOptions, g.url+"/", "WebHook-Request-Origin: a.example.com\n", "")
	if status != 405 || header.Get("WebHook-Allowed-Origin") != "" {
		t.Errorf("%d %v", status, header)
	}
}

// hookSink is a sink that wants to be asked.
type hookSink struct {
	mu     sync.Mutex
	grant  string // WebHook-Allowed-Origin
	rate   string
	answer int // to deliveries
	seen   []string
}

// ServeHTTP implements http.Handler.
func (s *hookSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, fmt.Sprint(r.Method, " ", r.URL.RequestURI(), " ", r.Header.Get("WebHook-Request-Origin"), " ", r.Header.Get("WebHook-Request-Rate"),
		" ", strings.HasPrefix(r.Header.Get("Content-Type"), rawevent.MediaTypeJSON)))
	if r.Method == http.MethodOptions {
		if s.grant != "" {
			w.Header().Set("WebHook-Allowed-Origin", s.grant)
			w.Header().Set("WebHook-Allowed-Rate", s.rate)
		}
		return
	}
	w.WriteHeader(s.answer)
}

func (s *hookSink) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *hookSink) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// hooked subscribes a web hook.
func hooked(t *testing.T, s *hookSink) (g *running, stream string) {
	t.Helper()
	stream = redistest.Stream(t)
	url := newServer(t, s)
	g = start(t, redistest.Shared(t).Client(), subscribed(oneStream(stream), url+"/hook?x=1", func(c *delivery.Config) {
		c.Sink.WebHook = &webhook.SenderConfig{Validate: true, Origin: "gateway.example.com", Rate: 6000}
		c.Delivery.BackoffDelay, c.Delivery.Retry = setting.Duration(1e6), 100
	}))
	return g, stream
}

// TestWebHookIsAsked before the first delivery, and once; each delivery carries the origin; an event without data has a
// payload nevertheless (sections 2.1, 4.1.1, 4.1.2).
func TestWebHookIsAsked(t *testing.T) {
	t.Parallel()
	s := &hookSink{grant: "gateway.example.com", rate: "*", answer: 202}
	g, stream := hooked(t, s)
	publish(t, g, stream, event("1"))
	redistest.Eventually(t, "it is delivered", func() bool { return len(s.requests()) == 2 })
	empty := event("2")
	empty.Data, empty.DataContentType = nil, ""
	publish(t, g, stream, empty)
	redistest.Eventually(t, "the next is delivered", func() bool { return len(s.requests()) == 3 })
	want := []string{
		"OPTIONS /hook?x=1 gateway.example.com 6000 false", "POST /hook?x=1 gateway.example.com  false", "POST /hook?x=1 gateway.example.com  true",
	}
	if got := s.requests(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestWebHookThatDoesNotAgree gets nothing, and nothing is lost: the events wait, as while a sink is down.
func TestWebHookThatDoesNotAgree(t *testing.T) {
	t.Parallel()
	for name, grant := range map[string]string{"no answer": "", "somebody else": "other.example.com"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &hookSink{grant: grant, rate: "*", answer: 202}
			g, stream := hooked(t, s)
			publish(t, g, stream, event("1"))
			redistest.Eventually(t, "it is asked more than once", func() bool { return len(s.requests()) > 2 })
			for _, r := range s.requests() {
				if !strings.HasPrefix(r, "OPTIONS") {
					t.Fatalf("%q without consent", r)
				}
			}
			s.change(func() { s.grant = "*" })
			redistest.Eventually(t, "it is delivered with consent", func() bool {
				return slices.ContainsFunc(s.requests(), func(r string) bool { return strings.HasPrefix(r, "POST") })
			})
			client := redistest.Shared(t).Client()
			if n := client.XLen(context.Background(), state.DeadLetterStream(stream)).Val(); n != 0 {
				t.Errorf("%d dead letters", n)
			}
		})
	}
}

// TestWebHookThatIsGone (410) is left alone, with a notice, and its events wait; 415 is the event's own failure.
func TestWebHookThatIsGone(t *testing.T) {
	t.Parallel()
	client := redistest.Shared(t).Client()
	s := &hookSink{grant: "*", rate: "6000", answer: 410}
	g, stream := hooked(t, s)
	publish(t, g, stream, event("1"), event("2"))
	redistest.Eventually(t, "it has said so", func() bool { return strings.Contains(g.logs.String(), "gone for good") })
	posts := func() (n int) {
		for _, r := range s.requests() {
			if strings.HasPrefix(r, "POST") {
				n++
			}
		}
		return n
	}
	if n := posts(); n > 2 { // both may have been under way
		t.Errorf("%d deliveries", n)
	}
	if n := client.XLen(context.Background(), state.DeadLetterStream(stream)).Val(); n != 0 || nothingPending(client, stream, "sub") {
		t.Errorf("%d dead letters, and what waits is %t", n, !nothingPending(client, stream, "sub"))
	}

	unsupported := &hookSink{grant: "*", rate: "*", answer: 415}
	g, stream = hooked(t, unsupported)
	publish(t, g, stream, event("1"))
	redistest.Eventually(t, "it is a dead letter", func() bool {
		return client.XLen(context.Background(), state.DeadLetterStream(stream)).Val() == 1
	})
	if n := len(unsupported.requests()); n != 2 {
		t.Errorf("%d requests: %q", n, unsupported.requests())
	}
}
