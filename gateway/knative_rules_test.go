package gateway

import (
	"net/http"
	"testing"
	"time"
)

// TestKnativeVerdicts: of all answers, which are a success, which are tried again, and which are final.
func TestKnativeVerdicts(t *testing.T) {
	t.Parallel()
	again := map[int]bool{
		http.StatusNotFound: true, http.StatusRequestTimeout: true, http.StatusConflict: true, http.StatusTooManyRequests: true, noResponse: true,
	}
	for _, code := range append([]int{noResponse}, between(200, 600)...) {
		want := rejected
		switch {
		case code >= 200 && code < 300:
			want = delivered
		case code >= 500 || again[code]:
			want = retryable
		}
		if o := (outcome{code: code}); o.verdict() != want {
			t.Errorf("%d: verdict %d, want %d", code, o.verdict(), want)
		}
	}
}

func between(from, to int) []int {
	var all []int
	for n := from; n < to; n++ {
		all = append(all, n)
	}
	return all
}

// TestKnativeBackoff: the bound below which a delay is drawn is Knative's delay, but for linear, which begins one step later:
// attempt n (from 1) waits below delay*2^(n-1), or below delay*n.
func TestKnativeBackoff(t *testing.T) {
	t.Parallel()
	const delay = 100 * time.Millisecond
	for policy, bounds := range map[string][]time.Duration{
		"exponential": {delay, 2 * delay, 4 * delay, 8 * delay, 16 * delay},
		"linear":      {delay, 2 * delay, 3 * delay, 4 * delay, 5 * delay},
	} {
		c := DeliveryConfig{BackoffPolicy: policy, BackoffDelay: Duration(delay), MaxDelay: Duration(time.Hour)}
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

// TestKnativeRetryAfter: max(backoff, min(Retry-After, retryAfterMax)), in both forms of the header.
func TestKnativeRetryAfter(t *testing.T) {
	t.Parallel()
	c := DeliveryConfig{BackoffPolicy: "exponential", BackoffDelay: Duration(time.Second), MaxDelay: Duration(time.Hour)}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"120": 2 * time.Minute, "Mon, 23 Nov 2026 12:02:00 GMT": 2 * time.Minute, "3600": 10 * time.Minute,
	} {
		if got := c.delay(1, parseRetryAfter(value, now, 10*time.Minute)); got != want {
			t.Errorf("%s: %s, want %s", value, got, want)
		}
	}
	for range 1000 { // what is shorter than the backoff changes nothing
		if got := c.delay(5, parseRetryAfter("1", now, 10*time.Minute)); got < time.Second || got >= 16*time.Second {
			t.Fatalf("%s", got)
		}
	}
}
