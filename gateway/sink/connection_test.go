package sink

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamgate/streamgate/internal/redistest"
)

// rawSink is a sink that answers the n-th request of its m-th connection, both from 1, as it likes.
func rawSink(t *testing.T, answer func(conn net.Conn, m, n int) bool) (address string, requests *atomic.Int64) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	requests = new(atomic.Int64)
	var serving sync.WaitGroup
	serving.Go(func() {
		for m := 1; ; m++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer func() { _ = conn.Close() }()
				in := bufio.NewReader(conn)
				for n := 1; ; n++ {
					request, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, request.Body)
					requests.Add(1)
					if !answer(conn, m, n) {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return "http://" + listener.Addr().String(), requests
}

func sinkOf(t *testing.T, address string, change ...func(*Options)) (Sink, *redistest.LogBuffer) {
	t.Helper()
	logs := &redistest.LogBuffer{}
	o := Options{
		Timeout: 10 * time.Second, Connections: 1, UserAgent: "streamgate/test", Logger: slog.New(slog.NewTextHandler(logs, nil)),
		MaxRetryAfter: time.Minute,
	}
	for _, f := range change {
		f(&o)
	}
	s, err := New(&Config{URI: address}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, logs
}

func say(conn net.Conn, text string) bool {
	_, err := io.WriteString(conn, text)
	return err == nil
}

const noContent = "HTTP/1.1 204 No Content\r\n\r\n"

// TestKeptConnectionThatBreaks: a request that meets the end of a connection that was kept open is sent once more, on a
// new one; that is not an attempt. On a new connection the same is one.
func TestKeptConnectionThatBreaks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		second func(conn net.Conn) bool // what the sink does with the second request of a connection
		fails  bool
	}{
		"closed": {second: func(net.Conn) bool { return false }},
		"reset": {second: func(conn net.Conn) bool {
			_ = conn.(*net.TCPConn).SetLinger(0)
			return false
		}},
		"half closed": {second: func(conn net.Conn) bool {
			_ = conn.(*net.TCPConn).CloseWrite()
			return true
		}},
		"some bytes": {fails: true, second: func(conn net.Conn) bool {
			say(conn, "HTTP/1.1 2")
			return false
		}},
		"nonsense": {fails: true, second: func(conn net.Conn) bool { return say(conn, "hello\r\n\r\n") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, requests := rawSink(t, func(conn net.Conn, _, n int) bool {
				if n == 1 {
					return say(conn, noContent)
				}
				return c.second(conn)
			})
			s, _ := sinkOf(t, address)
			if o := s.Deliver(context.Background(), anItem("1")); o.Verdict() != Delivered {
				t.Fatal(o.Describe())
			}
			o := s.Deliver(context.Background(), anItem("2"))
			want := int64(3) // the second event twice
			if c.fails {
				want = 2
			}
			if failed := o.Verdict() != Delivered; failed != c.fails || requests.Load() != want {
				t.Errorf("%s after %d requests, want %d", o.Describe(), requests.Load(), want)
			}
		})
	}
}

// TestNewConnectionThatBreaks: there is no end to a sink that always breaks; it is sent one more request at most.
func TestNewConnectionThatBreaks(t *testing.T) {
	t.Parallel()
	address, requests := rawSink(t, func(conn net.Conn, m, n int) bool { return m == 1 && n == 1 && say(conn, noContent) })
	s, _ := sinkOf(t, address)
	for i, want := range []int64{1, 3, 4} { // the first is answered; the second is sent twice; the third has no kept connection
		o := s.Deliver(context.Background(), anItem("1"))
		if delivered := o.Verdict() == Delivered; delivered != (i == 0) || requests.Load() != want {
			t.Errorf("%d: %s after %d requests, want %d", i, o.Describe(), requests.Load(), want)
		}
		if i > 0 && o.Describe() != "no response: the server closed the connection before it answered" {
			t.Error(o.Describe())
		}
	}
}

// TestKeptConnectionsOverTLS: the same where the end of a connection is a message of TLS, and in HTTP/2.
func TestKeptConnectionsOverTLS(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	s, _ := tlsSink(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if n.Add(1)%2 == 0 {
			w.Header().Set("Connection", "close") // in HTTP/2 that is GOAWAY
		}
		w.WriteHeader(http.StatusNoContent)
	}, true)
	for range 6 {
		if o := s.Deliver(context.Background(), anItem("1")); o.Verdict() != Delivered {
			t.Fatal(o.Describe())
		}
	}
}

// TestKeptTLSConnectionThatBreaks: the second request of each connection meets its end, with and without the message
// that announces it in TLS.
func TestKeptTLSConnectionThatBreaks(t *testing.T) {
	t.Parallel()
	for name, abruptly := range map[string]bool{"announced": false, "abruptly": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests sync.Map // by address of the client
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if _, again := requests.LoadOrStore(r.RemoteAddr, true); !again {
					w.WriteHeader(http.StatusNoContent)
					return
				}
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				if secured, ok := conn.(*tls.Conn); ok && abruptly {
					conn = secured.NetConn()
				}
				_ = conn.Close()
			}))
			server.StartTLS()
			t.Cleanup(server.Close)
			ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
			s, err := New(&Config{URI: server.URL, CACerts: ca}, Options{
				Timeout: 10 * time.Second, Connections: 1, Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			for range 4 {
				if o := s.Deliver(context.Background(), anItem("1")); o.Verdict() != Delivered {
					t.Error(o.Describe())
				}
			}
		})
	}
}

// TestBodyWithoutPermission: a body behind 204 is reported once, with our log, and does not disturb the next delivery.
func TestBodyWithoutPermission(t *testing.T) {
	t.Parallel()
	for name, split := range map[string]bool{"together": false, "later": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, requests := rawSink(t, func(conn net.Conn, _, _ int) bool {
				if split {
					return say(conn, noContent) && say(conn, "surprise")
				}
				return say(conn, noContent+"surprise")
			})
			s, logs := sinkOf(t, address)
			for range 3 {
				if o := s.Deliver(context.Background(), anItem("1")); o.Verdict() != Delivered && !split {
					t.Error(o.Describe())
				}
				if !split {
					continue
				}
				redistest.Eventually(t, "it is reported", func() bool { return logs.String() != "" })
			}
			got := logs.String()
			if strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") || strings.Contains(got, "surprise") {
				t.Errorf("%d requests; the log has %q", requests.Load(), got)
			}
		})
	}
}

// TestRemedies: a failure says what was answered, and what helps.
func TestRemedies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer  string
		subject string
		format  string
		want    []string
	}{
		"431": {
			answer: "431 Request Header Fields Too Large", subject: strings.Repeat("s", 20000),
			want: []string{"431 Request Header Fields Too Large; the attributes", "delivery.format: json"},
		},
		"400, long headers": {
			answer: "400 Bad Request", subject: strings.Repeat("s", 20000), want: []string{"many servers answer with 400", "delivery.format: json"},
		},
		"400":             {answer: "400 Bad Request", want: []string{"400 Bad Request"}},
		"400, structured": {answer: "400 Bad Request", subject: strings.Repeat("s", 20000), format: FormatJSON, want: []string{"400 Bad Request"}},
		"redirect": {
			answer: "301 Moved Permanently\r\nLocation: /new?x=1", want: []string{"a redirect to http://", "/new, which is not followed; if that is"},
		},
		"401": {answer: "401 Unauthorized", want: []string{"check the credentials"}},
		"405": {answer: "405 Method Not Allowed", want: []string{"POST"}},
		"413": {answer: "413 Too Large", want: []string{"of this size"}},
		"415": {answer: "415 Unsupported", want: []string{"delivery.format"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, _ := rawSink(t, func(conn net.Conn, _, _ int) bool {
				return say(conn, "HTTP/1.1 "+c.answer+"\r\nContent-Length: 0\r\n\r\n")
			})
			s, _ := sinkOf(t, address, func(o *Options) { o.Format = c.format })
			item := anItem("1")
			if c.subject != "" {
				item.Event.Set("subject", c.subject)
			}
			o := s.Deliver(context.Background(), item)
			for _, want := range c.want {
				if !strings.Contains(o.Describe(), want) {
					t.Errorf("%s, want %s", o.Describe(), want)
				}
			}
			if len(c.want) == 1 && c.want[0] == "400 Bad Request" && o.Describe() != c.want[0] {
				t.Error(o.Describe())
			}
		})
	}
}
