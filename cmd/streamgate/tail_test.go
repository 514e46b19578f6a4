package main

import (
	"strings"
	"testing"

	"github.com/streamgate/streamgate/internal/redistest"
)

// TestTailSelects: a filter, a limit, a table, positions as people write them, and streams that do not exist.
func TestTailSelects(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	stream := redistest.Stream(t)
	for _, kind := range []string{"one", "two", "one", "one"} {
		if _, stderr, code := call(t, "", "send", "--stream", stream, "--redis", server.URL(), "--type", "com.example."+kind,
			"--subject", "s"); code != exitDone {
			t.Fatal(stderr)
		}
	}
	all := []string{"tail", stream, "--redis", server.URL(), "--no-follow", "--from"}
	for _, test := range []struct {
		args  []string
		lines int
		says  string
	}{
		{[]string{"earliest"}, 4, "com.example.two"},
		{[]string{"1h"}, 4, "com.example.two"},
		{[]string{"2026-01-31"}, 4, "com.example.two"},
		{[]string{"latest"}, 0, ""},
		{[]string{"earliest", "--limit", "3"}, 3, "com.example.two"},
		{[]string{"earliest", "--filter", "type LIKE '%.one'"}, 3, "com.example.one"},
		{[]string{"earliest", "--filter", "type LIKE '%.one'", "-n", "1"}, 1, "com.example.one"},
		{[]string{"earliest", "-o", "table"}, 5, "SUBJECT"},
	} {
		stdout, stderr, code := call(t, "", append(all[:len(all):len(all)], test.args...)...)
		if n := strings.Count(stdout, "\n"); code != exitDone || n != test.lines || !strings.Contains(stdout, test.says) {
			t.Errorf("%v: exit code %d, %d lines, want %d: %s%s", test.args, code, n, test.lines, stdout, stderr)
		}
	}
	for _, args := range [][]string{
		{"tail", stream + "x", "--no-follow"}, {"deadletters", "list", stream + "x"}, {"deadletters", "redrive", stream + "x", "--all"},
	} {
		stdout, stderr, code := call(t, "", append(args, "--redis", server.URL())...)
		if code != exitUsage || !strings.Contains(stderr, "no such stream") || !strings.Contains(stderr, stream) {
			t.Errorf("%v: exit code %d: %s%s", args, code, stdout, stderr)
		}
	}
}
