package gateway

import (
	"context"
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

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// tlsSink serves HTTP/2 over TLS, and returns a sink for it whose configuration trusts its certificate if told to.
func tlsSink(t *testing.T, handler http.HandlerFunc, trusted bool) (*httpSink, *atomic.Int64) {
	t.Helper()
	var opened atomic.Int64
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = nil
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	c := NewSubscriptionConfig()
	c.Sink.URI, c.Concurrency = server.URL+"/?token=secret", 8
	if trusted {
		c.Sink.CACerts = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	}
	s := newHTTPSink(&c, "streamgate/test", slog.New(slog.DiscardHandler))
	t.Cleanup(s.close)
	return s, &opened
}

func aJob(id string) *job {
	return &job{event: rawevent.New(id, "/s", "t")}
}

// TestDeliveryOverHTTP2: where the sink offers it, deliveries share connections.
func TestDeliveryOverHTTP2(t *testing.T) {
	t.Parallel()
	var others atomic.Int64
	s, opened := tlsSink(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.Header.Get("Ce-Id") == "" {
			others.Add(1)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
	}, true)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for range 25 {
				if o := s.deliver(context.Background(), aJob("1")); o.verdict() != delivered {
					t.Errorf("%s", o.describe())
				}
			}
		})
	}
	workers.Wait()
	if others.Load() != 0 {
		t.Errorf("%d deliveries were not made over HTTP/2", others.Load())
	}
	if n := opened.Load(); n > 8 {
		t.Errorf("%d connections for 200 deliveries", n)
	}
}

// TestUnknownCertificateIsRefused: nothing is sent, and the reason says what is wrong, without the address.
func TestUnknownCertificateIsRefused(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	s, _ := tlsSink(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) }, false)
	o := s.deliver(context.Background(), aJob("1"))
	if o.code != noResponse || asked.Load() != 0 || !strings.Contains(o.describe(), "certificate") || strings.Contains(o.describe(), "secret") {
		t.Errorf("%d requests; outcome %s", asked.Load(), o.describe())
	}
}
