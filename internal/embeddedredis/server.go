// Package embeddedredis starts a Redis server for a gateway that has none configured (redis.url: embedded). If
// redis-server or valkey-server is installed, [Start] runs it as a child process with an append-only file in the data
// directory: the same server, data files and guarantees as with a server that is set up by hand. Otherwise an
// in-process substitute (miniredis) keeps events in memory only, with a warning in the log. The child has its own
// process group, so that Ctrl-C reaches only the gateway, which can finish its work before it stops the server. On
// Linux the kernel ends the child when the gateway ends for any reason, including kill -9.
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

// Options configure the server. The zero value runs one whose data is removed by [Server.Close].
type Options struct {
	// DataDir holds the append-only file, the log and the socket; it is created if missing. Only one gateway at a time
	// can use it. Empty means a new temporary directory, which [Server.Close] removes.
	DataDir string
	// Logger gets the kind of server, and a warning if events are kept in memory only. Nil means no logging.
	Logger *slog.Logger
	// LookPath finds a program by its name. Nil means [exec.LookPath].
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

// Server is a running Redis that belongs to this process. [Start] returns it, and its caller must call [Server.Close].
// All methods are safe for concurrent use.
type Server struct {
	kind    string
	url     string
	durable bool

	closing atomic.Bool
	done    chan struct{}
	err     error        // written before done is closed, read after
	failed  chan error   // gets err, unless it is nil, and is closed with done
	end     func() error // ends the server and returns when done is closed
	release func() error // releases the data directory after the server has ended

	closeOnce sync.Once
	closeErr  error
}

// Start runs a server and blocks until it answers PING. That is after it has loaded its append-only file, however long
// that takes. ctx bounds only the start. On an error nothing is left running. It refuses a DataDir that another gateway
// uses, and one that contains events if no server is installed that can read them.
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

// URL returns the address of the server for redis.ParseURL: unix://PATH or redis://:PASSWORD@HOST:PORT. It may contain
// a password and must not be logged.
func (s *Server) URL() string { return s.url }

// Kind returns [KindRedis], [KindValkey] or [KindInMemory].
func (s *Server) Kind() string { return s.kind }

// Durable reports whether acknowledged data is still there after the next [Start] with the same Options. It is false
// for a server in memory and for a temporary DataDir. A durable server writes its append-only file immediately and
// syncs it to disk every second.
func (s *Server) Durable() bool { return s.durable }

// Wait returns the channel on which the owner of s learns that the server has ended: it gets one error if the server
// ended unexpectedly, and is closed then and after [Server.Close]. Each call returns the same channel, and only one
// receiver gets the error. For several receivers use [Server.Done] and [Server.Err].
func (s *Server) Wait() <-chan error { return s.failed }

// Done returns a channel that is closed when the server has ended, by [Server.Close] or unexpectedly; [Server.Err]
// tells which.
func (s *Server) Done() <-chan struct{} { return s.done }

// gone publishes that the server has ended. err is nil after [Server.Close], and otherwise the reason. It is called
// once.
func (s *Server) gone(err error) {
	if err != nil {
		s.err = err
		s.failed <- err
	}
	close(s.failed)
	close(s.done)
}

// Err returns nil while the server runs and after [Server.Close], and otherwise why it has ended.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Close stops the server, blocks until it has ended, and removes a temporary DataDir. Redis has 15 seconds to write its
// append-only file before it is killed. Later calls wait for the first one and return the same error.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		s.closing.Store(true)
		s.closeErr = errors.Join(s.end(), s.release())
	})
	return s.closeErr
}
