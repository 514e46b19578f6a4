package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/state"
)

// Output formats of the commands.
const (
	formatText  = "text"
	formatJSON  = "json"
	formatYAML  = "yaml"
	formatTable = "table"
)

// timeExample is a valid value of a flag that takes a time.
const timeExample = "2026-11-23T00:00:00Z"

// checkChoice returns an error unless the value of a flag is one of those that are allowed.
func checkChoice(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s: %q is not supported; write %s", flag, value, strings.Join(allowed, " or "))
}

// checkRate returns an error if the value of --rate is negative.
func checkRate(rate float64) error {
	if rate < 0 {
		return fmt.Errorf("--rate: %g is negative; write how many per second, or 0 for no limit", rate)
	}
	return nil
}

// parseTime reads the value of a flag as a time in RFC 3339, a date, or how long ago; see [state.ParseTime]. example
// ends the error.
func parseTime(flag, text, example string) (time.Time, error) {
	if at, ok := state.ParseTime(text, time.Now()); ok {
		return at, nil
	}
	return time.Time{}, fmt.Errorf("%s: %q is not a valid time; write one like %s", flag, text, example)
}

// writeIndented writes a value as indented JSON.
func writeIndented(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
