package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/ingress"
	"github.com/streamgate/streamgate/internal/redistest"
)

// dialRaw opens a connection on which a test writes what no client would.
func dialRaw(t testing.TB, url string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

const rawHead = "POST / HTTP/1.1\r\nHost: localhost\r\nCe-Specversion: 1.0\r\nCe-Id: 1\r\nCe-Source: /s\r\nCe-Type: t\r\n"

// TestPathsWithSlash: the paths of brokers and streams are taken with a slash after them, too.
func TestPathsWithSlash(t *testing.T) {
	t.Parallel()
	c := oneStream(redistest.Stream(t))
	c.Streams[0].Path = "/default/broker"
	c.Server = ingress.NewConfig()
	c.Server.Address, c.Server.WebHook.Origins = "127.0.0.1:0", []string{"*"}
	g := start(t, redistest.Shared(t).Client(), c)
	for path, want := range map[string]int{
		"/": 202, "/default/broker": 202, "/default/broker/": 202, "/" + c.Streams[0].Name + "/": 202,
		"/default/broker//": 404, "/default/": 404, "//": 404, "/nosuch/": 404,
	} {
		if status, _ := post(t, g.url+path, event("1")); status != want {
			t.Errorf("POST %s: %d, want %d", path, status, want)
		}
		if status, _, _ := do(t, http.MethodOptions, g.url+path, "", ""); (status == 404) != (want == 404) {
			t.Errorf("OPTIONS %s: %d", path, status)
		}
	}
}

// TestHTTP2WithoutTLS: clients that know that the gateway speaks HTTP/2 may use it, for events and for refusals.
func TestHTTP2WithoutTLS(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	g := start(t, client, oneStream(stream))
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	for path, want := range map[string]int{"/": 202, "/nosuch": 404} {
		for _, size := range []int{10, 900 << 10, 20 << 20} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+path, bytes.NewReader(make([]byte, size)))
			if err != nil {
				t.Fatal(err)
			}
			e := event("1")
			e.WriteHTTP(r.Header)
			response, err := (&http.Client{Transport: transport}).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			expected := want
			if want == 202 && size > 1<<20 {
				expected = 413
			}
			if response.ProtoMajor != 2 || response.StatusCode != expected {
				t.Errorf("%s, %d bytes: %s %d, want %d", path, size, response.Proto, response.StatusCode, expected)
			}
		}
	}
}

// refusals are requests that are refused before their body is read, or in the middle of it.
func refusals(stream string) map[string]struct {
	line, header string
	want         int
} {
	type refusal = struct {
		line, header string
		want         int
	}
	return map[string]refusal{
		"too large":          {"POST /" + stream, "", 413},
		"unknown stream":     {"POST /nosuch", "", 404},
		"wrong method":       {"PUT /", "", 405},
		"compressed":         {"POST /", "Content-Encoding: gzip\r\n", 415},
		"origin not allowed": {"POST /", "WebHook-Request-Origin: evil.example\r\n", 403},
		"over the rate":      {"POST /", "WebHook-Request-Origin: events.example.com\r\n", 429},
	}
}

// TestRefusalReachesAClientThatIsSending: most clients send everything before they look at the answer. None must see a
// broken connection in its place.
func TestRefusalReachesAClientThatIsSending(t *testing.T) {
	t.Parallel()
	stream := redistest.Stream(t)
	c := oneStream(stream)
	c.Server = ingress.NewConfig()
	c.Server.Address, c.Server.WebHook.Origins, c.Server.WebHook.Rate = "127.0.0.1:0", []string{"events.example.com"}, 1
	g := start(t, redistest.Shared(t).Client(), c)
	_, _, _ = do(t, http.MethodPost, g.url, "Webhook-Request-Origin: events.example.com\n", "") // uses up the rate
	const size = 20 << 20
	for name, refusal := range refusals(stream) {
		head := refusal.line + strings.TrimPrefix(rawHead, "POST /") + refusal.header
		t.Run(name+", by length", func(t *testing.T) {
			t.Parallel()
			conn := dialRaw(t, g.url)
			sendThenRead(t, conn, fmt.Sprintf("%sContent-Length: %d\r\n\r\n", head, size), size, "", refusal.want)
		})
		t.Run(name+", in chunks", func(t *testing.T) {
			t.Parallel()
			conn := dialRaw(t, g.url)
			sendThenRead(t, conn, fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n", head, size), size, "\r\n0\r\n\r\n", refusal.want)
		})
		t.Run(name+", waiting for 100", func(t *testing.T) {
			t.Parallel()
			conn := dialRaw(t, g.url)
			sendThenRead(t, conn, fmt.Sprintf("%sExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", head, size), 0, "", refusal.want)
			if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
				t.Errorf("the connection is not closed: %q, %v", rest, err)
			}
		})
	}
}

// sendThenRead sends all before it reads.
func sendThenRead(t *testing.T, conn net.Conn, head string, size int, tail string, want int) {
	t.Helper()
	body := make([]byte, 64<<10)
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	for sent := 0; sent < size; sent += len(body) {
		if _, err := conn.Write(body); err != nil {
			t.Fatalf("after %d bytes: %v", sent, err)
		}
	}
	if _, err := io.WriteString(conn, tail); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != want {
		t.Errorf("status %d, want %d", response.StatusCode, want)
	}
	checkProblem(t, want, response.Header, answer, "")
}

// TestRefusalReachesPython: its standard library sends everything first.
func TestRefusalReachesPython(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3")
	}
	g := start(t, redistest.Shared(t).Client(), oneStream(redistest.Stream(t)))
	const program = `
import sys, urllib.error, urllib.request
header = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
for path in sys.argv[2:]:
    try:
        urllib.request.urlopen(urllib.request.Request(sys.argv[1] + path, b"x" * (20 << 20), header))
    except urllib.error.HTTPError as e:
        print(e.code)
`
	out, err := exec.CommandContext(t.Context(), python, "-c", program, g.url, "/", "/nosuch", "/").CombinedOutput() //nolint:gosec // ours
	if got := strings.Fields(string(out)); err != nil || strings.Join(got, " ") != "413 404 413" {
		t.Errorf("%v: %s", err, out)
	}
}

// TestAmbiguousRequestsAreRefused: a proxy could find another end in these requests than the gateway does. Each is
// refused with a problem document and its connection closed, also behind a request that was sent in the same packet.
// What net/http refuses by itself stands here, too: the gateway counts on it.
func TestAmbiguousRequestsAreRefused(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	g := start(t, client, oneStream(stream))
	for name, r := range map[string]struct {
		rest   string // of the request, after rawHead
		want   int
		detail string
	}{
		"length and coding":          {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "both"},
		"coding and length":          {"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400, "both"},
		"in another spelling":        {"transfer-ENCODING:chunked\r\nX: y\r\ncontent-LENGTH:3\r\n\r\n0\r\n\r\n", 400, "both"},
		"different lengths":          {"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, "several"},
		"one length twice":           {"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, "several"},
		"a list of lengths":          {"Content-Length: 3, 3\r\n\r\nabc", 400, ""},
		"a signed length":            {"Content-Length: +3\r\n\r\nabc", 400, ""},
		"an empty length":            {"Content-Length:\r\n\r\nabc", 400, ""},
		"a space before the colon":   {"Content-Length : 3\r\n\r\nabc", 400, ""},
		"folded, space":              {"X: a\r\n b\r\nContent-Length: 3\r\n\r\nabc", 400, "folded"},
		"folded, tab":                {"Content-Length: 3\r\nX: a\r\n\tb\r\n\r\nabc", 400, "folded"},
		"folded length":              {"Content-Length:\r\n 3\r\n\r\nabc", 400, "not a number"},
		"another coding":             {"Transfer-Encoding: gzip\r\n\r\nabc", 501, ""},
		"two codings":                {"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, ""},
		"chunked twice":              {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "several"},
		"NUL in a value":             {"X: a\x00b\r\nContent-Length: 3\r\n\r\nabc", 400, ""},
		"a chunk without a size":     {"Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n", 400, ""},
		"a negative size of a chunk": {"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", 400, ""},
	} {
		for _, before := range []string{"", rawHead + "Content-Length: 5\r\n\r\nhello", rawHead + "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\nT: x\r\n\r\n"} {
			for _, bytewise := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d before, bytewise %v", name, len(before), bytewise), func(t *testing.T) {
					t.Parallel()
					conn := dialRaw(t, g.url)
					writeRaw(t, conn, before+rawHead+r.rest, bytewise)
					reader := bufio.NewReader(conn)
					if before != "" {
						expectAnswer(t, reader, 202, "")
					}
					expectAnswer(t, reader, r.want, r.detail)
					if rest, err := io.ReadAll(reader); err != nil || len(rest) > 0 {
						t.Errorf("the connection is not closed: %q, %v", rest, err)
					}
				})
			}
		}
	}
	t.Run("HTTP/1.0 with a coding", func(t *testing.T) {
		t.Parallel()
		conn := dialRaw(t, g.url)
		writeRaw(t, conn, strings.Replace(rawHead, "1.1", "1.0", 1)+"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false)
		expectAnswer(t, bufio.NewReader(conn), 400, "HTTP/1.0")
	})
}

// writeRaw writes a request at once or byte by byte.
func writeRaw(t *testing.T, conn net.Conn, request string, bytewise bool) {
	t.Helper()
	step := len(request)
	if bytewise {
		step = 1
	}
	for at := 0; at < len(request); at += step {
		if _, err := io.WriteString(conn, request[at:at+step]); err != nil {
			return // refused before its end; the answer says how
		}
	}
}

func expectAnswer(t *testing.T, reader *bufio.Reader, want int, detail string) {
	t.Helper()
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != want {
		t.Fatalf("status %d, want %d: %s", response.StatusCode, want, body)
	}
	if want != 202 {
		checkProblem(t, want, response.Header, body, detail)
	}
}
