package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestConformance: the gateway follows every rule, and a receiver that accepts or rejects everything does not.
func TestConformance(t *testing.T) {
	t.Parallel()
	gateway := startProcess(t, "serve", "--config", writeFile(t, freePorts))
	url, operators := gateway.addresses()
	awaitReady(t, operators)
	stdout, stderr, code := call(t, "", "conformance", url+"/events")
	if code != exitDone || !strings.Contains(stdout, " passed, 0 failed, 0 warnings, 0 skipped") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	for name, answer := range map[string]int{"accepts everything": 202, "rejects everything": 400,
		"is unavailable": 503} {
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(answer)
		}))
		stdout, stderr, code := call(t, "", "conformance", "-o", "json", receiver.URL)
		var results []checkResult
		if err := json.Unmarshal([]byte(stdout), &results); err != nil || code != exitFailed ||
			len(results) != len(conformanceChecks()) {
			t.Errorf("a receiver that %s: exit code %d, %v\n%s", name, code, err, stderr)
		}
		receiver.Close()
	}
	for remedy, args := range map[string][]string{
		"write one like": {"conformance", "example.com"}, "write text or json": {"conformance", "-o", "xml", url},
		"accepts 1 arg": {"conformance"},
	} {
		if _, stderr, code := call(t, "", args...); code != exitUsage || !strings.Contains(stderr, remedy) {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
	if _, stderr, code := call(t, "", "conformance", "http://127.0.0.1:1/"); code != exitFailed ||
		!strings.Contains(stderr, "is the receiver running?") {
		t.Errorf("no receiver: exit code %d, %s", code, stderr)
	}
}
