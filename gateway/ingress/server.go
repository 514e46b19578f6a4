package ingress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of the event listener on what a client can hold open.
const (
	headerTime     = 5 * time.Second // from its first byte, or from the beginning of the connection
	idleTime       = 2 * time.Minute
	maxHeaderBytes = 256 << 10 // an event of 64 KiB may be all attributes, percent-encoded

	maxStreams  = 100              // of a connection with HTTP/2
	pingAfter   = 15 * time.Second // without a frame
	pingTimeout = 10 * time.Second
)

// Server serves a [Handler] on the address of its configuration, with HTTP/1.1 and with HTTP/2 without TLS (by prior
// knowledge). It bounds what slow clients can hold.
type Server struct {
	config   Config
	handler  *Handler
	log      *slog.Logger
	listener net.Listener
}

// NewServer returns a server of a valid configuration. It does no I/O.
func NewServer(c *Config, handler *Handler, log *slog.Logger) *Server {
	return &Server{config: *c, handler: handler, log: log}
}

// Listen opens the listener, so that an address in use is known before anything runs. Run does so by itself. It must
// not be called at the same time as another method.
func (s *Server) Listen(ctx context.Context) (net.Addr, error) {
	if s.listener == nil {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.config.Address)
		if err != nil {
			return nil, fmt.Errorf("listen for events (server.address): %w", err)
		}
		s.listener = listener
	}
	return s.listener.Addr(), nil
}

// Run serves until ctx ends. Then it accepts nothing more, lets the requests in work finish until workCtx ends, and
// returns nil with all its goroutines gone. It returns an error when it cannot listen or accept.
func (s *Server) Run(ctx, workCtx context.Context) error {
	address, err := s.Listen(ctx)
	if err != nil {
		return err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           s.guard(address),
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       s.handler.bodyGrace, // the handler prolongs it while the body makes progress
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnContext:       withConnection,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() {
		served <- server.Serve(newConnections(s.listener, &s.config, s.handler.metrics, s.log))
	}()
	select {
	case err := <-served:
		_ = server.Close() // the connections that are open
		return fmt.Errorf("serve events: %w", err)
	case <-ctx.Done():
	}
	if err := server.Shutdown(workCtx); err != nil {
		_ = server.Close() // requests that took too long
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve events: %w", err)
	}
	return nil
}

// guard puts the checks before the handler that keep pages of other sites out.
func (s *Server) guard(_ net.Addr) http.Handler { return s.handler }
