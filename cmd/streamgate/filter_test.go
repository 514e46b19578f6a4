package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestFilterTest: the output that docs/filters.md shows, the JSON format, and errors in expressions and events.
func TestFilterTest(t *testing.T) {
	t.Parallel()
	const event = `{"specversion":"1.0","id":"1","source":"/sensors/17","type":"com.example.measured","celsius":21}`
	filters := documents(t)[root+"/docs/filters.md"]
	_, shown, _ := strings.Cut(filters, "```text\n")
	shown, _, _ = strings.Cut(shown, "```")
	stdout, stderr, code := call(t, event, "filter", "test", "type LIKE 'com.example.%' AND celsius > 20", "--event",
		"-")
	if code != exitDone || stdout != shown || shown == "" {
		t.Errorf("exit code %d, %s\n%swant\n%s", code, stderr, stdout, shown)
	}
	var answer struct {
		Passes bool
		Result shownStep
	}
	stdout, stderr, code = call(t, event, "filter", "test", "INT(nosuch) = 1", "-o", "json", "--event", "-")
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil || code != exitDone || answer.Passes ||
		!strings.Contains(answer.Result.Error, "nosuch") {
		t.Errorf("exit code %d, %v, %+v %s", code, err, answer, stderr)
	}
	stdout, _, code = call(t, event, "filter", "test", "LENGTH(id)", "--event", writeFile(t, event))
	if code != exitDone || !strings.Contains(stdout, "does not pass\nthis expression is rejected as a filter") {
		t.Errorf("exit code %d, %s", code, stdout)
	}
	for remedy, args := range map[string][]string{
		"expected an attribute":               {"filter", "test", "type = ", "--event", "-"},
		"--event is missing":                  {"filter", "test", "TRUE"},
		"not a CloudEvent in the JSON format": {"filter", "test", "TRUE", "--event", writeFile(t, "{}")},
		"write text or json":                  {"filter", "test", "TRUE", "--event", "-", "-o", "xml"},
		"no such file":                        {"filter", "test", "TRUE", "--event", "nosuch.json"},
	} {
		if stdout, stderr, code := call(t, event, args...); code == exitDone || stdout != "" ||
			!strings.Contains(stderr, remedy) {
			t.Errorf("%v: exit code %d, %q, %q", args, code, stdout, stderr)
		}
	}
}
