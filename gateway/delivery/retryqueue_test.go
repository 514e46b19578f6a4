package delivery

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgate/streamgate/gateway/setting"
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
		d := Spec{BackoffPolicy: c.policy, BackoffDelay: setting.Duration(time.Second), MaxDelay: setting.Duration(maxDelay)}
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

func TestRetryQueueReturnsWhatIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newRetryQueue()
		now := time.Now()
		q.add([]string{"c"}, now.Add(3*time.Minute))
		q.add([]string{"a"}, now.Add(time.Minute))
		q.add([]string{"b"}, now.Add(2*time.Minute))
		if due := q.due(10); len(due) != 0 {
			t.Errorf("due at once: %v", due)
		}
		if wait := q.untilNext(); wait != time.Minute {
			t.Errorf("the next is due in %s", wait)
		}
		time.Sleep(2 * time.Minute)
		if due := q.due(1); len(due) != 1 || due[0] != "a" {
			t.Errorf("due: %v", due)
		}
		if due := q.due(10); len(due) != 1 || due[0] != "b" {
			t.Errorf("due: %v", due)
		}
		if q.len() != 1 {
			t.Errorf("%d left", q.len())
		}
	})
}

// TestKnativeBackoff: the bound below which a delay is drawn is Knative's delay, but for linear, which begins one step
// later: attempt n (from 1) waits below delay*2^(n-1), or below delay*n.
func TestKnativeBackoff(t *testing.T) {
	t.Parallel()
	const delay = 100 * time.Millisecond
	for policy, bounds := range map[string][]time.Duration{
		"exponential": {delay, 2 * delay, 4 * delay, 8 * delay, 16 * delay},
		"linear":      {delay, 2 * delay, 3 * delay, 4 * delay, 5 * delay},
	} {
		c := Spec{BackoffPolicy: policy, BackoffDelay: setting.Duration(delay), MaxDelay: setting.Duration(time.Hour)}
		for i, bound := range bounds {
			longest := time.Duration(0)
			for range 2000 {
				longest = max(longest, c.delay(i+1, 0))
			}
			if longest >= bound || longest < bound*9/10 {
				t.Errorf("%s, attempt %d: at most %s, want nearly %s", policy, i+1, longest, bound)
			}
		}
	}
}

// TestRetryAfterIsALowerBound: what a sink asks for counts where it is more than the backoff.
func TestRetryAfterIsALowerBound(t *testing.T) {
	t.Parallel()
	c := Spec{BackoffPolicy: "exponential", BackoffDelay: setting.Duration(time.Second), MaxDelay: setting.Duration(time.Hour)}
	if got := c.delay(1, 2*time.Minute); got != 2*time.Minute {
		t.Errorf("waits %s", got)
	}
	for range 1000 {
		if got := c.delay(5, time.Second); got < time.Second || got >= 16*time.Second {
			t.Fatalf("waits %s", got)
		}
	}
}
