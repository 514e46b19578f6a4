package setting_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streamgate/streamgate/gateway/setting"
)

func TestDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "-1s": -time.Second, "168h": 168 * time.Hour, "0s": 0,
		"PT30S": 30 * time.Second, "PT0.2S": 200 * time.Millisecond, "P1DT2H3M4S": 26*time.Hour + 3*time.Minute + 4*time.Second,
		"P2W": 14 * 24 * time.Hour, "PT1H": time.Hour, "P1W1D": 8 * 24 * time.Hour, "PT0S": 0, "P0D": 0, "PT90M": 90 * time.Minute,
		"PT1.001S": 1001 * time.Millisecond, "PT4.004S": 4004 * time.Millisecond, "PT1M1.5S": 61500 * time.Millisecond, "P100D": 2400 * time.Hour, "1.5h": 90 * time.Minute, "250ms": 250 * time.Millisecond,
		"9223372036854775807ns": 1<<63 - 1,
		"0":                     0, "1d": 24 * time.Hour, "7d": 168 * time.Hour, "2w": 336 * time.Hour, "1d12h": 36 * time.Hour,
		"1w2d3h4m5s": 219*time.Hour + 4*time.Minute + 5*time.Second, "1.5d": 36 * time.Hour, "-1d": -24 * time.Hour,
		"-1d12h": -36 * time.Hour, "0d": 0, "0.5w": 84 * time.Hour, "+1d": 24 * time.Hour, "1d0.5h": 24*time.Hour + 30*time.Minute,
	} {
		var d setting.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.Std() != want {
			t.Errorf("%q: %s, %v; want %s", text, d, err, want)
		}
	}
	for _, text := range []string{"", "5", "soon", "P", "PT", "P1Y", "P1M", "PT5", "5 s", "P1DT", "pt5s", "PT99999999999999999999S",
		"P100000000W", "+0", "-0", "1d2w", "1d1d", "d", "w", "-", "+", "1d-2h", "1 d", "1D", "1w ", "1.d", "60000d", "99999999999w", "106750d48h", "-60000d", "00", "0.0", "7days", "1e3s", " 1s", "1s ", "PT.5S", "PT1.S", "PT1,5S", "PT1S2M", "PT1H1H", "P1H", "PT1D", "-PT5S", "P-5D", "PT1S\n",
		"PT1S; PT2S", "9223372036854775808ns", "PT1.1234567891S",
	} {
		var d setting.Duration
		if err := d.UnmarshalText([]byte(text)); err == nil || !strings.HasSuffix(err.Error(), "; write a number with a unit, like 30s, 5m, 168h or PT30S") {
			t.Errorf("%q is taken for %s, %v", text, d, err)
		}
	}
}

// TestISODurations: the parts add up.
func TestISODurations(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var parts [5]int
		for i := range parts {
			parts[i] = rapid.IntRange(0, 200).Draw(t, "part")
		}
		text := fmt.Sprintf("P%dW%dDT%dH%dM%dS", parts[0], parts[1], parts[2], parts[3], parts[4])
		want := time.Duration(parts[0]*7+parts[1])*24*time.Hour + time.Duration(parts[2])*time.Hour +
			time.Duration(parts[3])*time.Minute + time.Duration(parts[4])*time.Second
		var got setting.Duration
		if err := got.UnmarshalText([]byte(text)); err != nil || got.Std() != want {
			t.Fatalf("%s: %s, %v; want %s", text, got, err, want)
		}
	})
}

// TestAWrongDurationChangesNothing.
func TestAWrongDurationChangesNothing(t *testing.T) {
	t.Parallel()
	d := setting.Duration(time.Minute)
	if err := d.UnmarshalText([]byte("PT1Y")); err == nil || d != setting.Duration(time.Minute) {
		t.Errorf("%s, %v", d, err)
	}
}

func TestDurationsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := setting.Duration(rapid.Int64Range(-1<<60, 1<<60).Draw(t, "d"))
		text, err := want.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got setting.Duration
		if err := got.UnmarshalText(text); err != nil || got != want {
			t.Fatalf("%s became %s: %v", want, got, err)
		}
	})
}
