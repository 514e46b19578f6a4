package setting

import (
	"fmt"
	"regexp"
	"time"
)

// Duration is a length of time in a configuration, written as in Go ("30s") or as in ISO 8601 and Knative ("PT30S").
// A number without a unit is an error.
type Duration time.Duration

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns d as Go writes it.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	if std, err := time.ParseDuration(s); err == nil && s[len(s)-1] != '0' { // 0, +0 and -0 need no unit for Go
		*d = Duration(std)
		return nil
	}
	iso, ok := parseISODuration(s)
	if !ok {
		return fmt.Errorf("%q is no duration; write a number with a unit, like 30s, 5m, 168h or PT30S", s)
	}
	*d = Duration(iso)
	return nil
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
