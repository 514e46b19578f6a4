package redistest

import (
	"bytes"
	"sync"
	"testing"
	"time"
)

const awaitTimeout = 60 * time.Second

// Eventually polls until condition holds. If it does not within a minute, the test fails with what as the description.
// It blocks and calls condition in the goroutine of the test.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(awaitTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %s: %s", awaitTimeout, what)
		case <-tick.C:
		}
	}
}

// LogBuffer collects what a logger writes. It is safe for concurrent use.
type LogBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *LogBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns everything written so far.
func (l *LogBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
