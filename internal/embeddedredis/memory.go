package embeddedredis

import (
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// clockInterval is how late a key of the in-memory server may expire.
const clockInterval = 100 * time.Millisecond

// startInMemory runs miniredis. It refuses a DataDir that contains events: miniredis cannot read them, and an empty
// server would look as if they were lost.
func startInMemory(o Options) (*Server, error) {
	if holdsEvents(o.DataDir) {
		return nil, fmt.Errorf("start embedded redis: data directory %s contains events, but neither redis-server nor "+
			"valkey-server "+
			"is on the PATH to serve them: install one of them, or set redis.url or another redis.dataDir", o.DataDir)
	}
	m := miniredis.NewMiniRedis()
	password := rand.Text()
	m.RequireAuth(password)
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start in-memory redis: %w", err)
	}
	s := &Server{
		kind: KindInMemory, url: endpoint{network: "tcp", address: m.Addr(), password: password}.url(),
		done: make(chan struct{}), failed: make(chan error, 1), release: func() error { return nil },
	}
	s.end = keepTime(m, s.gone)
	o.Logger.Warn("neither redis-server nor valkey-server is on the PATH: events are kept in memory and are lost " +
		"when " +
		"this process " +
		"ends; install redis-server, or set redis.url to a running Redis")
	return s, nil
}

// keepTime advances the clock of m, which miniredis does not do on its own, so that keys expire. It returns the
// function that stops the clock and m, and then calls gone.
func keepTime(m *miniredis.Miniredis, gone func(error)) func() error {
	quit := make(chan struct{})
	var clock sync.WaitGroup
	clock.Go(func() {
		tick := time.NewTicker(clockInterval)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-quit:
				return
			case <-tick.C:
				now := time.Now()
				m.FastForward(now.Sub(last))
				last = now
			}
		}
	})
	return func() error {
		close(quit)
		clock.Wait()
		m.Close()
		gone(nil)
		return nil
	}
}
