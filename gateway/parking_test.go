package gateway

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestDelaysGrowWithinTheirBounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy     string
		attempt    int
		retryAfter time.Duration
		low, high  time.Duration
	}{
		{"exponential", 1, 0, 500 * time.Millisecond, time.Second},
		{"exponential", 2, 0, time.Second, 2 * time.Second},
		{"exponential", 5, 0, 8 * time.Second, 16 * time.Second},
		{"exponential", 1000, 0, maxBackoff / 2, maxBackoff},
		{"linear", 1, 0, 500 * time.Millisecond, time.Second},
		{"linear", 3, 0, 1500 * time.Millisecond, 3 * time.Second},
		{"linear", 100_000, 0, maxBackoff / 2, maxBackoff},
		{"exponential", 1, time.Minute, time.Minute, time.Minute},
	} {
		d := DeliveryConfig{BackoffPolicy: c.policy, BackoffDelay: Duration(time.Second)}
		for range 100 {
			if got := d.delay(c.attempt, c.retryAfter); got < c.low || got > c.high {
				t.Errorf("%s, attempt %d: %s, want %s to %s", c.policy, c.attempt, got, c.low, c.high)
			}
		}
	}
}

func TestParkingLotGivesBackWhatIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParkingLot()
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
		if p.len() != 1 || p.isFull() {
			t.Errorf("%d left", p.len())
		}
	})
}

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "99999999": maxRetryAfter,
		"Mon, 23 Nov 2026 01:02:33 GMT": 30 * time.Second, "Mon, 23 Nov 2026 01:00:00 GMT": 0,
	} {
		if got := parseRetryAfter(value, now); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}
