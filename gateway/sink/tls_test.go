package sink

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
	"time"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// tlsSink serves HTTP/2 over TLS, and returns a sink for it whose configuration trusts its certificate if told to.
func tlsSink(t *testing.T, handler http.HandlerFunc, trusted bool) (Sink, *atomic.Int64) {
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
	c := Config{URI: server.URL + "/?token=secret"}
	if trusted {
		c.CACerts = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	}
	s, err := New(&c, Options{
		Timeout: 30 * time.Second, Connections: 8, UserAgent: "streamgate/test", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, &opened
}

func anItem(id string) *Item {
	return &Item{Event: rawevent.New(id, "/s", "t")}
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
				if o := s.Deliver(context.Background(), anItem("1")); o.Verdict() != Delivered {
					t.Errorf("%s", o.Describe())
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
	o := s.Deliver(context.Background(), anItem("1"))
	if o.Code != NoResponse || asked.Load() != 0 || !strings.Contains(o.Describe(), "certificate") || strings.Contains(o.Describe(), "secret") {
		t.Errorf("%d requests; outcome %s", asked.Load(), o.Describe())
	}
}
