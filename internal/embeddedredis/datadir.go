package embeddedredis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// maxSocketPath is below the limit of every system for the path of a unix socket (104 bytes or more).
	maxSocketPath = 100
	// orphanTimeout is how long to wait for the server of a gateway that has just been killed to end.
	orphanTimeout = 5 * time.Second
)

// errInUse is wrapped by errors about a directory that another gateway or server uses.
var errInUse = errors.New("set redis.dataDir to a different directory for each gateway, " +
	"or set redis.url to a Redis that they share")

// dataDir is an open data directory: locked against other gateways until close.
type dataDir struct {
	path      string
	temporary bool
	unlock    func() error // nil until it is locked
}

// openDir creates and locks the directory, and ensures that no server runs in it.
func openDir(ctx context.Context, path string) (*dataDir, error) {
	d, err := makeDir(path)
	if err != nil {
		return nil, err
	}
	if d.unlock, err = lockFile(filepath.Join(d.runDir(), "lock")); err != nil {
		if errors.Is(err, errLocked) {
			err = fmt.Errorf("data directory %s is in use by another gateway: %w", d.path, errInUse)
		}
		return nil, errors.Join(err, d.close())
	}
	if err := d.awaitNoOrphan(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// makeDir creates the directory; an empty path means a new temporary one.
func makeDir(path string) (*dataDir, error) {
	d := &dataDir{path: path, temporary: path == ""}
	var err error
	if d.temporary {
		d.path, err = os.MkdirTemp("", "streamgate-")
	} else {
		d.path, err = filepath.Abs(path)
	}
	if err != nil {
		return nil, fmt.Errorf("find data directory: %w", err)
	}
	if err := os.MkdirAll(d.runDir(), 0o700); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	// The socket has no password. It is protected by the mode of its directory, which only the owner can enter.
	if err := os.Chmod(d.runDir(), 0o700); err != nil {
		return nil, fmt.Errorf("protect socket directory: %w", err)
	}
	return d, nil
}

// awaitNoOrphan waits until no server answers on the socket. This process holds the lock, so the gateway of such a
// server was killed: on Linux the kernel ends the server in a moment; elsewhere it stays, and the error tells how to
// stop it.
func (d *dataDir) awaitNoOrphan(ctx context.Context) error {
	socket := d.socketPath()
	if len(socket) > maxSocketPath {
		return nil
	}
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for begun := time.Now(); ; {
		_, err := probe(ctx, endpoint{network: "unix", address: socket})
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil // only these mean that there is no server; one that hangs gives a timeout
		}
		if time.Since(begun) > orphanTimeout {
			return fmt.Errorf("data directory %s is in use by a Redis server, which a killed gateway may have left "+
				"behind: "+
				"stop it with redis-cli -s %s shutdown, or %w", d.path, socket, errInUse)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for data directory: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// close unlocks the directory; a temporary one is removed.
func (d *dataDir) close() error {
	var err error
	if d.unlock != nil {
		err = d.unlock()
	}
	if d.temporary {
		err = errors.Join(err, os.RemoveAll(d.path))
	}
	return err
}

func (d *dataDir) runDir() string     { return filepath.Join(d.path, "run") }
func (d *dataDir) socketPath() string { return filepath.Join(d.runDir(), "redis.sock") }
func (d *dataDir) logPath() string    { return filepath.Join(d.path, "redis.log") }

// log returns the end of the server's log, for an error.
func (d *dataDir) log() string {
	text, err := os.ReadFile(d.logPath())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-logTail):]))
}

// holdsEvents reports whether path contains the append-only file of a server.
func holdsEvents(path string) bool {
	if path == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(path, appendDir))
	return err == nil
}

// endpoint is where the server listens. Every local user can connect over TCP, so that endpoint has a password.
type endpoint struct {
	network, address string // "unix" and a path, or "tcp" and host:port
	password         string
}

// endpoint returns the socket in the directory or, if its path is too long, a TCP port that is free at the moment.
func (d *dataDir) endpoint() (endpoint, error) {
	if socket := d.socketPath(); len(socket) <= maxSocketPath {
		return endpoint{network: "unix", address: socket}, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return endpoint{}, fmt.Errorf("find free port: %w", err)
	}
	ep := endpoint{network: "tcp", address: l.Addr().String(), password: rand.Text()}
	return ep, l.Close()
}

func (ep endpoint) url() string {
	if ep.network == "unix" {
		return (&url.URL{Scheme: "unix", Path: ep.address}).String()
	}
	return (&url.URL{Scheme: "redis", User: url.UserPassword("", ep.password), Host: ep.address}).String()
}

// appendDir is the directory of the append-only file. The name is the default of Redis, but it is set explicitly, so
// that data is found again even if that default changes.
const appendDir = "appendonlydir"

// configuration returns the content of the server's configuration file.
func configuration(dir string, ep endpoint) string {
	lines := []string{
		"dir " + quote(dir),
		"daemonize no",
		"logfile \"\"",
		"loglevel warning", // the log is not rotated, so it must not grow with the load
		"save \"\"",
		"appendonly yes",
		"appendfsync everysec",
		"appenddirname " + appendDir,
		"maxmemory-policy noeviction",
	}
	if ep.network == "unix" {
		lines = append(lines, "port 0", "unixsocket "+quote(ep.address), "unixsocketperm 700")
	} else {
		host, port, _ := strings.Cut(ep.address, ":")
		lines = append(lines, "bind "+host, "port "+port, "requirepass "+ep.password)
	}
	return strings.Join(lines, "\n") + "\n"
}

// quote returns s as a string of the configuration language of Redis, which has no \u escapes.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
