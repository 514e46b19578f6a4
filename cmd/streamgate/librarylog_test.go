package main

import (
	"bytes"
	"log"
	"log/slog"
	"strings"
	"testing"
)

func TestLibraryLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := log.New(libraryLog{slog.New(slog.NewJSONHandler(&out, nil))}, "", 0)
	l.Print(`Unsolicited response received on idle HTTP channel starting with "surprise"; err=<nil>`)
	l.Print("http2: something\nelse")
	got := out.String()
	for _, want := range []string{`"level":"WARN"`, "data that belongs to no request", `"detail":"http2: something else"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if strings.Contains(got, "surprise") || strings.Count(got, "\n") != 2 {
		t.Error(got)
	}
}
