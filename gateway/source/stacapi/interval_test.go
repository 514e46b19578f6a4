package stacapi

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestIntervals(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2020-01-01T00:00:00Z":                      "2020-01-01T00:00:00Z",
		"2020-01-01T01:00:00+01:00/..":              "2020-01-01T00:00:00Z/..",
		"../2020-01-01T00:00:00.5Z":                 "../2020-01-01T00:00:00.5Z",
		"/2020-01-01T00:00:00Z":                     "../2020-01-01T00:00:00Z",
		"2020-01-01T00:00:00Z/2021-01-01T00:00:00Z": "2020-01-01T00:00:00Z/2021-01-01T00:00:00Z",
		"2020-01-01T00:00:00Z/2020-01-01T00:00:00Z": "2020-01-01T00:00:00Z", // T/T gives nothing at some servers
		"..":         "",
		"../..":      "",
		"2020-01-01": "",
		"2021-01-01T00:00:00Z/2020-01-01T00:00:00Z":      "",
		"2020-01-01T00:00:00Z/2020-01-02T00:00:00Z/more": "",
	} {
		i, err := ParseInterval(text)
		if (err == nil) != (want != "") || err == nil && i.String() != want {
			t.Errorf("%q: %q, %v; want %q", text, i.String(), err, want)
		}
	}
}

// TestHalvesShareTheirEnd, whatever the interval.
func TestHalvesShareTheirEnd(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		i := Interval{From: time.Unix(rapid.Int64Range(0, 2e9).Draw(t, "from"), 0).UTC()}
		i.To = i.From.Add(time.Duration(rapid.Int64Range(1, 1e18).Draw(t, "length")))
		switch rapid.IntRange(0, 2).Draw(t, "open") {
		case 1:
			i.From = time.Time{}
		case 2:
			i.To = time.Time{}
		}
		older, newer, ok := i.halves(now)
		if !ok {
			if length := i.To.Sub(i.From); length > 2*time.Second {
				t.Fatalf("%s of %s cannot be halved", i, length)
			}
			return
		}
		if !older.From.Equal(i.From) || !newer.To.Equal(i.To) || !older.To.Equal(newer.From) || older.To.Nanosecond() != 0 {
			t.Fatalf("%s became %s and %s", i, older, newer)
		}
	})
}
