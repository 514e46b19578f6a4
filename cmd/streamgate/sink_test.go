package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestSinkCommand: events of every content mode are printed, failures are injected, and mistakes are refused.
func TestSinkCommand(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		args   []string
		status int
		prints bool
	}{
		{"text", nil, http.StatusNoContent, true},
		{"json", []string{"-o", "json", "--status", "202"}, http.StatusAccepted, true},
		{"fails", []string{"--fail", "100%", "--fail-status", "429"}, http.StatusTooManyRequests, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			read, write := io.Pipe()
			said, say := io.Pipe()
			done := make(chan int, 1)
			go func() {
				code := run(ctx, append([]string{"sink", "--address", "127.0.0.1:0"}, test.args...), nil, write, say)
				_ = write.Close()
				_ = say.Close()
				done <- code
			}()
			line, err := bufio.NewReader(said).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, said) }()
			url := regexp.MustCompile(`http://[^/]+/`).FindString(line)
			lines := bufio.NewScanner(read)
			for mediaType, body := range map[string]string{
				"application/cloudevents+json":       `{"specversion":"1.0","id":"a","source":"/s","type":"t"}`,
				"application/cloudevents-batch+json": `[{"specversion":"1.0","id":"a","source":"/s","type":"t"}]`,
			} {
				answered := make(chan int, 1)
				go func() { answered <- postTo(t, url, mediaType, body) }()
				if test.prints && (!lines.Scan() || !strings.Contains(lines.Text(), "a")) {
					t.Errorf("%s: printed %q", mediaType, lines.Text())
				}
				if status := <-answered; status != test.status {
					t.Errorf("%s: status %d, want %d", mediaType, status, test.status)
				}
			}
			if status := postTo(t, url, "text/plain", "hello"); status != http.StatusBadRequest {
				t.Errorf("what is not an event: status %d", status)
			}
			cancel()
			if code := <-done; code != exitDone {
				t.Errorf("exit code %d", code)
			}
		})
	}
	for _, args := range [][]string{
		{"--fail", "2"}, {"--fail", "NaN"}, {"--status", "99"}, {"--delay", "-1s"}, {"-o", "xml"}, {"extra"},
	} {
		if _, stderr, code := call(t, "", append([]string{"sink"}, args...)...); code != exitUsage || stderr == "" {
			t.Errorf("%v: exit code %d, %q", args, code, stderr)
		}
	}
}

func postTo(t *testing.T, url, mediaType, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0
	}
	r.Header.Set("Content-Type", mediaType)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode
}
