package sink

import (
	"testing"
	"time"
)

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	t.Parallel()
	const maxRetryAfter = 15 * time.Minute
	now := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "99999999": maxRetryAfter,
		"4294967296": maxRetryAfter, "99999999999999999999999999": maxRetryAfter, " 7 ": 7 * time.Second, "7.5": 0, "+7": 0,
		"Fri, 31 Dec 9999 23:59:59 GMT": maxRetryAfter,
		"Mon, 23 Nov 2026 01:04:03 GMT": 2 * time.Minute, "3600": maxRetryAfter,
		"Mon, 23 Nov 2026 01:02:33 GMT": 30 * time.Second, "Mon, 23 Nov 2026 01:00:00 GMT": 0,
	} {
		if got := parseRetryAfter(value, now, maxRetryAfter); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}
