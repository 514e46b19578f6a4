package setting

import (
	"fmt"
	"math"
	"regexp"
	"time"
)

// Duration is a length of time in a configuration, written as in Go ("30s"), with days and weeks of 24 and 168 hours
// before that ("7d", "2w", "1d12h"), or as in ISO 8601 and Knative ("PT30S"). A number other than 0 needs a unit.
type Duration time.Duration

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns d as Go writes it.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. The text behind the "; " of an error is the remedy.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	parsed, ok := parseDuration(s)
	if !ok {
		parsed, ok = parseISODuration(s)
	}
	if !ok {
		return fmt.Errorf("%q is not a valid duration; write a number with a unit, like 30s, 5m, 168h or PT30S", s)
	}
	*d = Duration(parsed)
	return nil
}

// parseDuration reads a duration of Go with weeks and days before it.
func parseDuration(s string) (time.Duration, bool) {
	if s == "0" {
		return 0, true
	}
	pattern := regexp.MustCompile(`^([-+]?)(?:(\d+(?:\.\d+)?)w)?(?:(\d+(?:\.\d+)?)d)?((?:[\d.]+(?:ns|us|µs|μs|ms|s|m|h))*)$`)
	parts := pattern.FindStringSubmatch(s)
	if parts == nil || s == parts[1] {
		return 0, false
	}
	if parts[2] == "" && parts[3] == "" {
		std, err := time.ParseDuration(s)
		return std, err == nil
	}
	var total time.Duration
	for i, hours := range []time.Duration{7 * 24, 24} {
		if parts[i+2] == "" {
			continue
		}
		n, err := time.ParseDuration(parts[i+2] + "h")
		if err != nil || n > math.MaxInt64/2/hours {
			return 0, false
		}
		total += n * hours
	}
	if parts[4] != "" {
		rest, err := time.ParseDuration(parts[4])
		if err != nil || rest > math.MaxInt64-total {
			return 0, false
		}
		total += rest
	}
	if parts[1] == "-" {
		total = -total
	}
	return total, total == 0 || total > 0 == (parts[1] != "-")
}

// maxISODuration bounds each part, so that their sum does not overflow.
const maxISODuration = 1 << 60

// parseISODuration reads weeks, days, hours, minutes and seconds; months and years have no fixed length.
func parseISODuration(s string) (time.Duration, bool) {
	pattern := regexp.MustCompile(`^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d{1,9})?)S)?)?$`)
	parts := pattern.FindStringSubmatch(s)
	if parts == nil || s[len(s)-1] == 'P' || s[len(s)-1] == 'T' {
		return 0, false
	}
	var total time.Duration
	for i, unit := range []time.Duration{7 * 24 * time.Hour, 24 * time.Hour, time.Hour, time.Minute, time.Second} {
		if parts[i+1] == "" {
			continue
		}
		n, err := time.ParseDuration(parts[i+1] + "s") // exact, unlike a float
		if err != nil || n > maxISODuration/(unit/time.Second) {
			return 0, false
		}
		total += n * (unit / time.Second)
	}
	return total, true
}
