package ingress

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestBodyMustMakeProgress: a body that stops arriving is given up with 408, also where it is only discarded. One that
// arrives at the minimum rate is read to its end, however long that takes.
func TestBodyMustMakeProgress(t *testing.T) {
	t.Parallel()
	const grace = time.Second
	in := &Handler{budget: maxBodies, bodyGrace: grace, discardTime: grace, metrics: newMetrics(prometheus.NewRegistry(), nil)}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refused" {
			in.refuseUnread(w, r, http.StatusNotFound, "")
			return
		}
		body, _, err := in.readBody(w, r, 1<<20)
		if err != nil {
			in.refuseBody(w, r, err, 1<<20)
			return
		}
		w.WriteHeader(200 + len(body)%2)
	}))
	server.Config.ReadTimeout = grace
	server.Listener = newConnections(server.Listener, &Config{}, in.metrics, slog.New(slog.DiscardHandler))
	server.Config.ConnContext = withConnection
	server.Start()
	t.Cleanup(server.Close)
	request := func(path string, pieces, want int) {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n")
		ticks := time.NewTicker(100 * time.Millisecond)
		defer ticks.Stop()
		for range pieces {
			<-ticks.C
			_, _ = conn.Write(make([]byte, 500))
		}
		started := time.Now()
		reader := bufio.NewReader(conn)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Errorf("%s, %d pieces: %v", path, pieces, err)
			return
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s, %d pieces: status %d, want %d", path, pieces, response.StatusCode, want)
		}
		if want != 200 {
			if _, err := io.Copy(io.Discard, reader); err != nil || time.Since(started) > 5*time.Second {
				t.Errorf("%s, %d pieces: not closed in time: %v", path, pieces, err)
			}
		}
	}
	for _, pieces := range []int{0, 1, 10} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			request("/", pieces, http.StatusRequestTimeout)
			request("/refused", pieces, http.StatusNotFound)
		})
	}
	t.Run("", func(t *testing.T) {
		t.Parallel()
		request("/", 20, http.StatusOK) // in 2 s, of which the grace is one
	})
}
