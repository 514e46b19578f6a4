package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestProgressWithoutTerminal: a line every ten seconds, and a time that is left which does not jump where pieces of
// work are of different size, nor at work that was half done before.
func TestProgressWithoutTerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := newProgress(&out)
		for i := range 101 {
			p.update(0.5+float64(i)/200, "working")
			if i%10 < 5 {
				time.Sleep(100 * time.Millisecond)
			} else {
				time.Sleep(900 * time.Millisecond)
			}
		}
		p.end()
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) < 4 || len(lines) > 5 {
			t.Fatalf("%d lines in 50 s:\n%s", len(lines), out.String())
		}
		last := time.Minute
		for _, line := range lines {
			_, text, _ := strings.Cut(strings.TrimSuffix(line, " left"), "working, ")
			left, err := time.ParseDuration(text)
			if err != nil || left > last {
				t.Errorf("%q after %s", line, last)
			}
			last = left
		}
	})
}
