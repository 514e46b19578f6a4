package state_test

import (
	"errors"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/state"
)

func TestStartPosition(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"latest": "$", "earliest": "0", "0": "0", "1700000000000-0": "1700000000000-0", "1700000000000": "1700000000000",
		"0-0": "0-0", "1-18446744073709551615": "1-18446744073709551615",
		"2026-11-23T00:00:00Z": "1795391999999-18446744073709551615", "2026-11-23": "1795391999999-18446744073709551615",
	} {
		if got, err := state.StartPosition(text); got != want || err != nil {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "1h30", "-1h", "5", "2026-13-01", "1-2-3", "$", "1-", "2026-11-23T00:00:00"} {
		if got, err := state.StartPosition(text); text != "5" && !errors.Is(err, state.ErrPosition) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"1h": now.Add(-time.Hour), "PT30M": now.Add(-30 * time.Minute), "2026-11-22": now.Add(-36 * time.Hour),
		"2026-11-23T12:00:00+01:00": now.Add(-time.Hour),
	} {
		if got, ok := state.ParseTime(text, now); !ok || !got.Equal(want) {
			t.Errorf("%q: %s, %v, want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "0s", "-1h", "soon", "1700000000000-0", "5"} {
		if got, ok := state.ParseTime(text, now); ok {
			t.Errorf("%q: %s", text, got)
		}
	}
}
