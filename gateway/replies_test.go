package gateway_test

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/sink"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// replier is a sink that answers each event with what reply writes.
func replier(t testing.TB, reply func(w http.ResponseWriter, got rawevent.Event, n int64)) string {
	t.Helper()
	var n atomic.Int64
	return newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		got, err := rawevent.FromHTTP(r.Header, body)
		if err != nil {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		if _, seen := got.Attribute("knativebrokerttl"); seen {
			w.WriteHeader(http.StatusExpectationFailed) // sinks do not see the hop limit
			return
		}
		reply(w, got, n.Add(1))
	}))
}

// writeReply answers with an event, in binary or structured mode.
func writeReply(w http.ResponseWriter, e rawevent.Event, structured bool) {
	body := e.Data
	if structured {
		w.Header().Set("Content-Type", rawevent.MediaTypeJSON)
		body = e.AppendJSON(nil)
	} else {
		e.WriteHTTP(w.Header())
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body)
}

// onlyType lets a subscription have the events of one type.
func onlyType(eventType string) func(*delivery.Config) {
	return func(c *delivery.Config) {
		c.Filters = []filter.Config{{Exact: map[string]string{"type": eventType}}}
	}
}

// TestReplies: the event in an answer goes into the stream that the subscription names, by default its own, in both
// modes.
func TestReplies(t *testing.T) {
	t.Parallel()
	for _, named := range []bool{false, true} {
		for _, structured := range []bool{false, true} {
			t.Run(fmt.Sprintf("named %v structured %v", named, structured), func(t *testing.T) {
				t.Parallel()
				client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
				var prefer atomic.Value
				reply := event("answer")
				reply.Set("type", "answer")
				reply.Set("subject", "ä/1")
				url := replier(t, func(w http.ResponseWriter, _ rawevent.Event, _ int64) { writeReply(w, reply, structured) })
				front := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					prefer.Store(r.Header.Get("Prefer"))
					r2, err := http.NewRequestWithContext(r.Context(), http.MethodPost, url, r.Body)
					if err != nil {
						return
					}
					r2.Header = r.Header
					response, err := http.DefaultClient.Do(r2)
					if err != nil {
						return
					}
					defer func() { _ = response.Body.Close() }()
					for name, values := range response.Header {
						w.Header()[name] = values
					}
					w.WriteHeader(response.StatusCode)
					_, _ = io.Copy(w, response.Body)
				}))
				c := subscribed(oneStream(stream), front, onlyType("com.example.created"))
				into := stream
				if named {
					into = stream + "-replies"
					c.Streams = append(c.Streams, oneStream(into).Streams...)
					c.Subscriptions[0].ReplyStream = into
				}
				g := start(t, client, c)
				publish(t, g, stream, event("1"))
				redistest.Eventually(t, "everything is settled", func() bool {
					return counter(t, g.registry, "streamgate_replies_total", "published") == 1 && nothingPending(client, stream, "sub")
				})
				got := readEvents(t, client, into)
				answer := got[len(got)-1]
				if answer.ID() != "answer" || answer.Type() != "answer" || answer.Subject() != "ä/1" || string(answer.Data) != `{"n": 1}` {
					t.Errorf("the reply became %+v", answer)
				}
				if ttl, _ := answer.Attribute("knativebrokerttl"); ttl != "254" {
					t.Errorf("its hop limit is %q, want 254", ttl)
				}
				if prefer.Load() != "reply" {
					t.Errorf("Prefer: %v", prefer.Load())
				}
			})
		}
	}
}

// TestRepliesEnd: a sink that answers every event with another one does not keep them going round for ever.
func TestRepliesEnd(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	url := replier(t, func(w http.ResponseWriter, got rawevent.Event, _ int64) {
		writeReply(w, event(got.ID()+"+"), false)
	})
	g := start(t, client, subscribed(oneStream(stream), url))
	e := event("e")
	e.Set("knativebrokerttl", "5")
	publish(t, g, stream, e)
	redistest.Eventually(t, "a reply is dropped", func() bool {
		return counter(t, g.registry, "streamgate_replies_total", "dropped") == 1 && nothingPending(client, stream, "sub")
	})
	var hops []string
	for _, e := range readEvents(t, client, stream) {
		ttl, _ := e.Attribute("knativebrokerttl")
		hops = append(hops, e.ID()+ttl)
	}
	if want := []string{"e5", "e+4", "e++3", "e+++2", "e++++1"}; !slices.Equal(hops, want) {
		t.Errorf("events %v, want %v", hops, want)
	}
}

// answers are bodies of a 2xx, and what becomes of them.
func answers() map[string]answer {
	return map[string]answer{
		"nothing":            {},
		"text":               {contentType: "text/plain", body: "thanks", strict: "the sink answered 200 OK (text/plain): thanks; the body is not"},
		"JSON":               {contentType: "application/json", body: `{"ok":true}`, strict: `(application/json): {"ok":true}; the body is not a CloudEvent`},
		"no type":            {body: "thanks", strict: "the body is not a CloudEvent"},
		"created":            {status: http.StatusCreated, body: "thanks", strict: "201 Created"},
		"HTML":               {contentType: "text/html", body: "<html><title>Hi</title>", strict: `an HTML page with the title "Hi"`},
		"white space":        {contentType: "text/plain", body: "\n"},
		"accepted":           {status: http.StatusAccepted, contentType: "text/plain", body: "queued"},
		"an event, accepted": {status: http.StatusAccepted, contentType: rawevent.MediaTypeJSON, body: `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`},
		"nonsense, accepted": {status: http.StatusAccepted, contentType: rawevent.MediaTypeJSON, body: `{`},
		"large text":         {contentType: "text/plain", body: strings.Repeat("x", 1<<20+1), strict: "the body is not a CloudEvent"},
		"broken structure":   {contentType: rawevent.MediaTypeJSON, body: `{"specversion":"1.0"`, strict: "that is not valid", invalid: true},
		"no id":              {contentType: rawevent.MediaTypeJSON, body: `{"specversion":"1.0","source":"/s","type":"t"}`, strict: "that is not valid", invalid: true},
		"headers only":       {header: "1.0", strict: "that is not valid", invalid: true},
		"a batch":            {contentType: "application/cloudevents-batch+json", body: `[]`, strict: "that is not valid", invalid: true},
		"a large event":      {contentType: rawevent.MediaTypeJSON, body: strings.Repeat(" ", 1<<20+1), strict: "larger than", invalid: true},
		"compressed with br": {contentType: rawevent.MediaTypeJSON, body: "\x0b", encoding: "br", strict: "compressed with br", invalid: true},
	}
}

type answer struct {
	status            int // 0: 200
	contentType, body string
	header            string // Ce-Specversion
	encoding          string
	strict            string // the reason of the dead letter of a strict subscription; "" for success
	invalid           bool   // a reply that a lenient subscription drops
}

func (c *answer) write(w http.ResponseWriter) {
	for name, value := range map[string]string{
		"Content-Type": c.contentType, "Ce-Specversion": c.header, "Content-Encoding": c.encoding,
	} {
		if value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(max(c.status, http.StatusOK))
	_, _ = io.WriteString(w, c.body)
}

// TestStrictReplies: as in Knative, a body that is not a CloudEvent is a failure like 502; no body is none, and 202 is
// never read as a reply.
func TestStrictReplies(t *testing.T) {
	t.Parallel()
	for name, c := range answers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			url := replier(t, func(w http.ResponseWriter, _ rawevent.Event, _ int64) { c.write(w) })
			g := start(t, client, subscribed(oneStream(stream), url, strict(0)))
			publish(t, g, stream, event("1"))
			settleReply(t, g, stream, c.strict)
			if c.strict != "" && strings.Contains(g.logs.String(), "status 502") {
				t.Error("the log names a status that the sink did not send")
			}
		})
	}
}

func strict(retry int) func(*delivery.Config) {
	return func(c *delivery.Config) { c.Delivery.Retry, c.Delivery.Replies = retry, sink.RepliesStrict }
}

// TestLenientReplies: every 2xx is a success. A body that is not a CloudEvent is ignored; one that says that it is and
// is not valid is dropped, counted and logged.
func TestLenientReplies(t *testing.T) {
	t.Parallel()
	for name, c := range answers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			url := replier(t, func(w http.ResponseWriter, _ rawevent.Event, _ int64) { c.write(w) })
			g := start(t, client, subscribed(oneStream(stream), url, func(c *delivery.Config) { c.Delivery.Retry = 0 }))
			publish(t, g, stream, event("1"))
			settleReply(t, g, stream, "")
			want := 0.0
			if c.invalid {
				want = 1
			}
			if n := counter(t, g.registry, "streamgate_replies_total", "invalid"); n != want || delivered(t, g) != 1 {
				t.Errorf("%v invalid replies, want %v; %v delivered", n, want, delivered(t, g))
			}
			logs := g.logs.String()
			if strings.Contains(logs, "level=WARN") != c.invalid || strings.Contains(logs, "level=ERROR") {
				t.Error(logs)
			}
		})
	}
}

// TestCompressedReply: a reply that is compressed, unasked, is stored unpacked.
func TestCompressedReply(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	reply := event("answer")
	url := replier(t, func(w http.ResponseWriter, _ rawevent.Event, _ int64) {
		reply.WriteHTTP(w.Header())
		w.Header().Set("Content-Encoding", "gzip")
		packer := gzip.NewWriter(w)
		_, _ = packer.Write([]byte("\xff\x00 not text"))
		_ = packer.Close()
	})
	c := subscribed(oneStream(stream), url, onlyType("com.example.created"))
	reply.Set("type", "answer")
	g := start(t, client, c)
	publish(t, g, stream, event("1"))
	redistest.Eventually(t, "the reply is stored", func() bool {
		return counter(t, g.registry, "streamgate_replies_total", "published") == 1
	})
	got := readEvents(t, client, stream)
	if data := got[len(got)-1].Data; string(data) != "\xff\x00 not text" {
		t.Errorf("the data became %q", data)
	}
}

// settleReply checks the dead letter that is expected for a reason, or that there is none.
func settleReply(t *testing.T, g *running, stream, reason string) {
	t.Helper()
	client := redistest.Shared(t).Client()
	if reason == "" {
		redistest.Eventually(t, "it is settled", func() bool { return nothingPending(client, stream, "sub") })
		if n := client.XLen(context.Background(), state.DeadLetterStream(stream)).Val(); n != 0 {
			t.Errorf("%d dead letters", n)
		}
		return
	}
	dead := state.DeadLetterStream(stream)
	redistest.Eventually(t, "it is dead-lettered", func() bool {
		return client.XLen(context.Background(), dead).Val() == 1 && nothingPending(client, stream, "sub")
	})
	letter := readEvents(t, client, dead)[0]
	code, _ := letter.Attribute("knativeerrorcode")
	data, _ := letter.Attribute("knativeerrordata")
	if text, err := base64.StdEncoding.DecodeString(data); err != nil || code != "502" || !strings.Contains(string(text), reason) {
		t.Errorf("the dead letter says %s: %s", code, text)
	}
	if n := counter(t, g.registry, "streamgate_replies_total"); n != 0 {
		t.Errorf("%v replies", n)
	}
}

// TestEventThatIsAnsweredWithNonsense: it is one event's failure, and no outage of the sink.
func TestEventThatIsAnsweredWithNonsense(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	url := replier(t, func(w http.ResponseWriter, _ rawevent.Event, _ int64) { _, _ = io.WriteString(w, "thanks") })
	g := start(t, client, subscribed(oneStream(stream), url, strict(8)))
	publish(t, g, stream, event("1"))
	settleReply(t, g, stream, "not a CloudEvent")
	if n := counter(t, g.registry, "streamgate_delivery_attempts_total"); n != 9 {
		t.Errorf("%v attempts, want 9", n)
	}
}

// TestAnswersAreNotReadWithoutReplies: with replyStream: none any body is as good as no body.
func TestAnswersAreNotReadWithoutReplies(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	var preferred atomic.Bool
	url := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		preferred.Store(r.Header.Get("Prefer") != "")
		if r.Header.Get("Ce-Id") == "event" {
			writeReply(w, event("answer"), false)
			return
		}
		_, _ = io.WriteString(w, "thanks")
	}))
	g := start(t, client, subscribed(oneStream(stream), url, func(c *delivery.Config) { c.ReplyStream = "none" }))
	publish(t, g, stream, event("event"), event("text"))
	redistest.Eventually(t, "both are delivered", func() bool { return delivered(t, g) == 2 && nothingPending(client, stream, "sub") })
	if n := client.XLen(context.Background(), stream).Val(); n != 2 {
		t.Errorf("%d events in the stream", n)
	}
	if preferred.Load() {
		t.Error("a reply was asked for")
	}
}

// TestReplyIsStoredBeforeTheEventIsDone: where Redis does not take the reply, the event is delivered again, and so is
// answered again.
func TestReplyIsStoredBeforeTheEventIsDone(t *testing.T) {
	t.Parallel()
	stream := redistest.Stream(t)
	proxy, client := behindProxy(t)
	direct := redistest.Shared(t).Client()
	var lost <-chan struct{}
	url := replier(t, func(w http.ResponseWriter, got rawevent.Event, n int64) {
		if n == 1 {
			lost = proxy.DropCommands(1, "XADD")
		}
		writeReply(w, event("answer-to-"+got.ID()), false)
	})
	c := subscribed(oneStream(stream), url)
	into := stream + "-replies"
	c.Streams = append(c.Streams, oneStream(into).Streams...)
	c.Subscriptions[0].ReplyStream = into
	g := start(t, client, c)
	publish(t, g, stream, event("1"))
	redistest.Eventually(t, "it is settled", func() bool { return nothingPending(direct, stream, "sub") && delivered(t, g) == 1 })
	select {
	case <-lost:
	default:
		t.Fatal("nothing was broken")
	}
	if got := readEvents(t, direct, into); len(got) != 1 || got[0].ID() != "answer-to-1" {
		t.Errorf("the replies are %+v", got)
	}
}
