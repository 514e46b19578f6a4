package gateway_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streamgate/streamgate/gateway"
)

func TestDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "-1s": -time.Second, "168h": 168 * time.Hour, "0s": 0,
		"PT30S": 30 * time.Second, "PT0.2S": 200 * time.Millisecond, "P1DT2H3M4S": 26*time.Hour + 3*time.Minute + 4*time.Second,
		"P2W": 14 * 24 * time.Hour, "PT1H": time.Hour,
	} {
		var d gateway.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.Std() != want {
			t.Errorf("%q: %s, %v; want %s", text, d, err, want)
		}
	}
	for _, text := range []string{"", "5", "0", "soon", "P", "PT", "P1Y", "P1M", "PT5", "5 s", "P1DT", "pt5s", "PT99999999999999999999S"} {
		var d gateway.Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %s", text, d)
		}
	}
}

func TestDurationsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := gateway.Duration(rapid.Int64Range(-1<<60, 1<<60).Draw(t, "d"))
		text, err := want.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got gateway.Duration
		if err := got.UnmarshalText(text); err != nil || got != want {
			t.Fatalf("%s became %s: %v", want, got, err)
		}
	})
}
