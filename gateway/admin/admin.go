// Package admin is the operators' HTTP API of a gateway: liveness, readiness, metrics, the state of subscriptions and
// sources, and dead letters.
//
// The handlers do no authentication. They belong on a listener of their own, on loopback by default.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/source"
)

const (
	readHeaderTimeout = 5 * time.Second
	requestTimeout    = 30 * time.Second
	shutdownTimeout   = 2 * time.Second
)

// Subject is the gateway that the API describes. Its methods must be safe for concurrent use.
type Subject interface {
	// Ready returns nil if the gateway can do its work, and otherwise the reason why it cannot.
	Ready(ctx context.Context) error
	// Faults returns what keeps single streams from working while the others do.
	Faults() []string
	// Subscriptions returns the state of each subscription.
	Subscriptions() []delivery.Status
	// Sources returns the state of each source.
	Sources(ctx context.Context) ([]source.Status, error)
}

var _ Subject = (*gateway.Gateway)(nil)

// Handler returns the handler of these paths:
//
//   - /healthz: 200 while the process runs,
//   - /readyz: 200 when Redis answers and every subscription has its consumer group, else 503 with the reason; 200 with a
//     reason when single streams cannot be used and the others can,
//   - /metrics: the metrics in the text format of Prometheus,
//   - /api/v1/subscriptions: the state of each subscription on this replica, such as whether its circuit is open,
//   - /api/v1/sources: the state of each source, such as how it watches and the progress of its backfills,
//   - /api/v1/deadletters: dead letters, to list, show, redrive and discard; not served if source is nil.
func Handler(subject Subject, metrics prometheus.Gatherer, source DeadLetterSource) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, "ok", "")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := subject.Ready(r.Context()); err != nil {
			write(w, http.StatusServiceUnavailable, "not ready", err.Error())
			return
		}
		write(w, http.StatusOK, "ready", strings.Join(subject.Faults(), "; "))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /api/v1/subscriptions", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, "application/json", map[string]any{"subscriptions": subject.Subscriptions()})
	})
	mux.HandleFunc("GET /api/v1/sources", func(w http.ResponseWriter, r *http.Request) {
		sources, err := subject.Sources(r.Context())
		if err != nil {
			write(w, http.StatusServiceUnavailable, "unknown", err.Error())
			return
		}
		writeJSON(w, http.StatusOK, "application/json", map[string]any{"sources": sources})
	})
	if source != nil {
		(&deadLetters{source}).register(mux)
	}
	return mux
}

// write answers with a status object, which probes understand.
func write(w http.ResponseWriter, status int, state, reason string) {
	answer := map[string]string{"status": state}
	if reason != "" {
		answer["reason"] = reason
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // the client may have gone
}

// Server is the operators' listener. Call [Server.Listen], then [Server.Run], each once.
type Server struct {
	handler  http.Handler
	address  string
	log      *slog.Logger
	listener net.Listener
}

// NewServer returns a server for an address of the form host:port. It does no I/O.
func NewServer(address string, handler http.Handler, log *slog.Logger) *Server {
	return &Server{handler: handler, address: address, log: log}
}

// Listen opens the listener and returns its address. It is apart from Run, so that an address in use is an error before
// anything else runs. On loopback, requests for any other host name are refused.
func (s *Server) Listen(ctx context.Context) (net.Addr, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.address)
	if err != nil {
		return nil, fmt.Errorf("listen for operators (admin.address): %w", err)
	}
	s.listener = listener
	if address, ok := listener.Addr().(*net.TCPAddr); ok && address.IP.IsLoopback() {
		s.handler = onlyLocalNames(s.handler)
	}
	return listener.Addr(), nil
}

// onlyLocalNames refuses requests whose Host is a name other than localhost. Otherwise a web page could let its own
// name resolve to loopback (DNS rebinding), and its scripts could read and change everything through the browser.
func onlyLocalNames(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := (&url.URL{Host: r.Host}).Hostname()
		if host != "" && host != "localhost" && net.ParseIP(host) == nil {
			write(w, http.StatusMisdirectedRequest, "misdirected",
				"this listener is on loopback and answers only to localhost and IP addresses; "+
					"use http://127.0.0.1, or set another admin.address")
			return
		}
		handler.ServeHTTP(w, r)
	})
}

// Run serves until ctx ends, and then returns nil after its goroutines have ended. [Server.Listen] must have succeeded.
func (s *Server) Run(ctx context.Context) error {
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: requestTimeout,
		WriteTimeout: requestTimeout,
		ErrorLog:     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(s.listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve operators: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		_ = server.Close() // ends the requests that take too long
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve operators: %w", err)
	}
	return nil
}
