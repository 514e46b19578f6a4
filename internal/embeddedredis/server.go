// Package embeddedredis gives a gateway without a configured Redis one of its own (redis.url: embedded).
//
// Where a redis-server or valkey-server is installed, [Start] runs it as a child process with an append-only file in the
// data directory: the same server, the same data files and the same guarantees as one that is set up by hand. Where
// none is, an in-process imitation serves, which keeps events in memory only and says so in the log.
//
// The child is in a process group of its own, so that Ctrl-C reaches the gateway alone and the gateway can finish its
// work before it stops the server. On Linux the kernel ends the child when the gateway dies in whatever way.
package embeddedredis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"sync"
	"sync/atomic"
)

// The kinds of server, as [Server.Kind] returns them; the first two are also the names looked up on the PATH.
const (
	KindRedis    = "redis-server"
	KindValkey   = "valkey-server"
	KindInMemory = "in-memory"
)

// Options says how to run the server. The zero value runs one whose data is gone after [Server.Close].
type Options struct {
	// DataDir holds the append-only file, the log and the socket; it is made if missing. At most one living gateway can
	// use it. Empty means a new directory for temporary files, removed by [Server.Close].
	DataDir string
	// Logger is told what was started, and warned when events are kept in memory only. Nil means silence.
	Logger *slog.Logger
	// LookPath finds a program by its name. Nil means exec.LookPath.
	LookPath func(string) (string, error)
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.LookPath == nil {
		o.LookPath = exec.LookPath
	}
	return o
}

// Server is a running Redis that belongs to this process. Only [Start] makes one; whoever called it must call
// [Server.Close]. All methods are safe for concurrent use.
type Server struct {
	kind    string
	url     string
	durable bool

	closing atomic.Bool
	done    chan struct{}
	err     error        // written before done is closed, read after
	failed  chan error   // gets err, if there is one, and is closed with done
	end     func() error // ends the server and returns when done is closed
	release func() error // frees what the server used, once it is gone

	closeOnce sync.Once
	closeErr  error
}

// Start runs a server and returns when it answers PING, which is after it has loaded its append-only file, however long
// that takes; ctx bounds the start and nothing after it. An error leaves nothing running.
//
// It refuses a DataDir that another living gateway uses, and one that holds events when no server is installed that
// could read them.
func Start(ctx context.Context, o Options) (*Server, error) {
	o = o.withDefaults()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start embedded redis: %w", err)
	}
	for _, kind := range []string{KindRedis, KindValkey} {
		if path, err := o.LookPath(kind); err == nil {
			return startInDir(ctx, o, program{kind: kind, path: path})
		}
	}
	return startInMemory(o)
}

func startInDir(ctx context.Context, o Options, p program) (*Server, error) {
	d, err := openDir(ctx, o.DataDir)
	if err != nil {
		return nil, fmt.Errorf("start embedded %s: %w", p.kind, err)
	}
	s, err := startProcess(ctx, o.Logger, d, p)
	if err != nil {
		return nil, fmt.Errorf("start embedded %s: %w", p.kind, errors.Join(err, d.close()))
	}
	o.Logger.Info("embedded redis is ready", "kind", s.kind, "data_dir", d.path, "durable", s.durable)
	return s, nil
}

// URL returns the address of the server for go-redis' ParseURL: unix://PATH or redis://:PASSWORD@HOST:PORT. It may hold
// a password and must not be logged.
func (s *Server) URL() string { return s.url }

// Kind returns [KindRedis], [KindValkey] or [KindInMemory].
func (s *Server) Kind() string { return s.kind }

// Durable reports whether what the server acknowledged is still there at the next [Start] with the same Options. It is
// false for a server in memory and for a temporary DataDir. A durable server writes its append-only file at once and
// forces it to disk every second.
func (s *Server) Durable() bool { return s.durable }

// Wait returns the channel on which the owner of s learns that the server is gone: it gets one error when the server died
// on its own, and is closed then and after [Server.Close]. Each call returns the same channel, and only one receiver gets
// the error; [Server.Done] and [Server.Err] serve any number.
func (s *Server) Wait() <-chan error { return s.failed }

// Done returns a channel that is closed when the server is gone, whether it was closed or died on its own; [Server.Err]
// tells which.
func (s *Server) Done() <-chan struct{} { return s.done }

// gone tells everybody that the server has ended; err says why, and is nil when it was told to.
func (s *Server) gone(err error) {
	if err != nil {
		s.err = err
		s.failed <- err
	}
	close(s.failed)
	close(s.done)
}

// Err returns nil while the server runs and after [Server.Close], and otherwise why it is gone.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Close stops the server, waits until it is gone, and removes a temporary DataDir. Redis is given time to write its
// append-only file before it is killed. Later calls wait for the first one and return the same error.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		s.closing.Store(true)
		s.closeErr = errors.Join(s.end(), s.release())
	})
	return s.closeErr
}
