package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/ingress"
	"github.com/streamgate/streamgate/internal/redistest"
)

// crowded is a gateway that holds few connections.
func crowded(t *testing.T, most, perAddress int) *running {
	t.Helper()
	c := oneStream(redistest.Stream(t))
	c.Server = ingress.NewConfig()
	c.Server.Address, c.Server.MaxConnections, c.Server.MaxConnectionsPerAddress = "127.0.0.1:0", most, perAddress
	return start(t, redistest.Shared(t).Client(), c)
}

// TestUnfinishedRequestsKeepNobodyOut: connections that hold everything there is make room for the next producer at
// once, whatever they have sent so far. It is counted, and logged once.
func TestUnfinishedRequestsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{
		"nothing":           "",
		"a part of headers": rawHead,
		"a part of a body":  rawHead + "Content-Length: 1000\r\n\r\nhello",
		"a part of a chunk": rawHead + "Transfer-Encoding: chunked\r\n\r\nff\r\nhello",
		"a refused body":    strings.Replace(rawHead, "/", "/nosuch", 1) + "Content-Length: 1000000\r\n\r\nhello",
	} {
		for _, perAddress := range []int{0, 20} {
			t.Run(fmt.Sprintf("%s, %d an address", name, perAddress), func(t *testing.T) {
				t.Parallel()
				g := crowded(t, 20+perAddress, perAddress)
				for range 60 {
					_, _ = io.WriteString(dialRaw(t, g.url), sent)
				}
				client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
				for range 10 {
					started := time.Now()
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url, strings.NewReader("x"))
					if err != nil {
						t.Fatal(err)
					}
					e := event("1")
					e.WriteHTTP(r.Header)
					response, err := client.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					_ = response.Body.Close()
					if took := time.Since(started); response.StatusCode != 202 || took > 4*time.Second {
						t.Fatalf("status %d after %s", response.StatusCode, took)
					}
				}
				reason := map[int]string{0: "total-bound", 20: "address-bound"}[perAddress]
				if n := counter(t, g.registry, "streamgate_connections_closed_total", reason); n < 40 {
					t.Errorf("%v connections were closed by the %s", n, reason)
				}
				if n := strings.Count(g.logs.String(), "too many connections"); n != 1 {
					t.Errorf("%d lines in the log", n)
				}
			})
		}
	}
}

// TestHealthyConnectionsStay: idle connections go before those of requests in work, and a producer that is sending goes
// last.
func TestHealthyConnectionsStay(t *testing.T) {
	t.Parallel()
	g := crowded(t, 20, 0)
	producer := dialRaw(t, g.url)
	answers := bufio.NewReader(producer)
	for range 50 {
		stuck := dialRaw(t, g.url)
		_, _ = io.WriteString(stuck, rawHead+"Content-Length: 1000\r\n\r\n")
		if _, err := io.WriteString(producer, rawHead+"Content-Length: 5\r\n\r\nhello"); err != nil {
			t.Fatal(err)
		}
		expectAnswer(t, answers, 202, "")
	}
}
