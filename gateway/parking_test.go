package gateway

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestDelaysGrowWithinTheirBounds(t *testing.T) {
	t.Parallel()
	const maxDelay = 5 * time.Minute
	for _, c := range []struct {
		policy     string
		attempt    int
		retryAfter time.Duration
		low, high  time.Duration
	}{
		{"exponential", 1, 0, 0, time.Second},
		{"exponential", 2, 0, 0, 2 * time.Second},
		{"exponential", 5, 0, 0, 16 * time.Second},
		{"exponential", 1000, 0, 0, maxDelay},
		{"linear", 1, 0, 0, time.Second},
		{"linear", 3, 0, 0, 3 * time.Second},
		{"linear", 2_000_000_000, 0, 0, maxDelay},
		{"exponential", 1, time.Minute, time.Minute, time.Minute},
	} {
		d := DeliveryConfig{BackoffPolicy: c.policy, BackoffDelay: Duration(time.Second), MaxDelay: Duration(maxDelay)}
		lowest, highest := time.Duration(1<<62), time.Duration(0)
		for range 1000 {
			got := d.delay(c.attempt, c.retryAfter)
			lowest, highest = min(lowest, got), max(highest, got)
		}
		if spread := (c.high - c.low) / 5; lowest < c.low || lowest > c.low+spread || highest > c.high || highest < c.high-spread {
			t.Errorf("%s, attempt %d: %s to %s, want %s to %s", c.policy, c.attempt, lowest, highest, c.low, c.high)
		}
	}
}

func TestParkingLotGivesBackWhatIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParkingLot(10)
		now := time.Now()
		p.park([]string{"c"}, now.Add(3*time.Minute))
		p.park([]string{"a"}, now.Add(time.Minute))
		p.park([]string{"b"}, now.Add(2*time.Minute))
		if due := p.due(10); len(due) != 0 {
			t.Errorf("due at once: %v", due)
		}
		if wait := p.untilNext(); wait != time.Minute {
			t.Errorf("the next is due in %s", wait)
		}
		time.Sleep(2 * time.Minute)
		if due := p.due(1); len(due) != 1 || due[0] != "a" {
			t.Errorf("due: %v", due)
		}
		if due := p.due(10); len(due) != 1 || due[0] != "b" {
			t.Errorf("due: %v", due)
		}
		if p.len() != 1 {
			t.Errorf("%d left", p.len())
		}
	})
}

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	t.Parallel()
	const maxRetryAfter = 15 * time.Minute
	now := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "99999999": maxRetryAfter,
		"Mon, 23 Nov 2026 01:02:33 GMT": 30 * time.Second, "Mon, 23 Nov 2026 01:00:00 GMT": 0,
	} {
		if got := parseRetryAfter(value, now, maxRetryAfter); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}
