package embeddedredis

import (
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// clockInterval is how late a key in memory may expire.
const clockInterval = 100 * time.Millisecond

// startInMemory runs the imitation. Where DataDir holds events that it could not serve, silently beginning with none
// would look like their loss, so that is refused.
func startInMemory(o Options) (*Server, error) {
	if holdsEvents(o.DataDir) {
		return nil, fmt.Errorf("start embedded redis: data directory %s holds events, but neither redis-server nor valkey-server "+
			"is on the PATH to serve them: install one, or set redis.url or another redis.dataDir", o.DataDir)
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
	o.Logger.Warn("no redis-server or valkey-server found: events are kept in memory and are lost when this process ends; " +
		"install redis-server, or set redis.url to a running Redis")
	return s, nil
}

// keepTime lets the keys of m expire, which they do not by themselves, and returns what ends that and m,
// and then calls gone.
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
