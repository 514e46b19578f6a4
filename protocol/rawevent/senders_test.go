package rawevent_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

var update = flag.Bool("update", false, "write the golden files")

// message is what a sender posts.
type message struct {
	header http.Header
	body   []byte
}

// senders reads testdata/senders: messages as large senders are known to send them, with values of our own. Each file
// has header lines, an empty line, and the body.
func senders(t testing.TB) map[string]message {
	t.Helper()
	files, err := filepath.Glob("testdata/senders/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no senders: %v", err)
	}
	found := map[string]message{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines, body, _ := strings.Cut(string(text), "\n\n")
		name := strings.TrimSuffix(filepath.Base(file), ".http")
		found[name] = message{headerOf(strings.Split(lines, "\n")), []byte(strings.TrimSuffix(body, "\n"))}
	}
	return found
}

func (m message) read(l *rawevent.Lenient) ([]rawevent.Event, error) {
	isBatch := rawevent.ModeOf(m.header.Get("Content-Type")) == rawevent.Batched
	if isBatch && l == nil {
		return rawevent.BatchFromHTTP(m.header, m.body)
	}
	if isBatch {
		return l.BatchFromHTTP(m.header, m.body)
	}
	var e rawevent.Event
	var err error
	if l == nil {
		e, err = rawevent.FromHTTP(m.header, m.body)
	} else {
		e, err = l.FromHTTP(m.header, m.body)
	}
	return []rawevent.Event{e}, err
}

// TestSenders: a lenient reader takes what large senders send, and says what it had to change. A strict one refuses
// what is not valid.
func TestSenders(t *testing.T) {
	t.Parallel()
	for name, m := range senders(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, strictErr := m.read(nil)
			var l rawevent.Lenient
			events, err := m.read(&l)
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			var got strings.Builder
			for i := range events {
				if err := events[i].Validate(); err != nil {
					t.Errorf("event %d is not valid: %v", i, err)
				}
				fmt.Fprintf(&got, "%s\n", events[i].AppendJSON(nil))
			}
			if isValid := strictErr == nil; isValid != (len(l.Mended) == 0) {
				t.Errorf("a strict reader says %v, but what was mended is %q", strictErr, l.Mended)
			}
			slices.Sort(l.Mended)
			slices.Sort(l.LeftOut)
			fmt.Fprintf(&got, "mended: %s\nleft out: %s\n", strings.Join(l.Mended, ", "), strings.Join(l.LeftOut, ", "))
			golden(t, "testdata/senders/"+name+".want", got.String())
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// FuzzLenientMessage: whatever comes out of a lenient reader is valid, and what a strict reader takes comes out as the
// same, with nothing mended. What only the lenient reader takes has something mended. All modes are tried.
func FuzzLenientMessage(f *testing.F) {
	for _, m := range senders(f) {
		var lines []string
		for key, values := range m.header {
			lines = append(lines, key+": "+values[0])
		}
		f.Add(strings.Join(lines, "\n"), m.body)
	}
	f.Add("Content-Type: application/cloudevents+json; charset=utf-16", []byte("\xff\xfe{\x00}\x00"))
	f.Fuzz(func(t *testing.T, lines string, body []byte) {
		m := message{headerOf(strings.Split(lines, "\n")), body}
		strict, strictErr := m.read(nil)
		var l rawevent.Lenient
		events, err := m.read(&l)
		if err != nil {
			if strictErr == nil {
				t.Fatalf("refused: %v", err)
			}
			fuzzedError(t, err, true)
			return
		}
		for i := range events {
			checked := events[i].Clone()
			if err := checked.Validate(); err != nil {
				t.Fatalf("event %d is not valid: %v", i, err)
			}
			if strictErr == nil && string(events[i].AppendJSON(nil)) != string(strict[i].AppendJSON(nil)) {
				t.Fatalf("event %d is changed: %s", i, events[i].AppendJSON(nil))
			}
		}
		if (strictErr == nil) != (len(l.Mended) == 0) {
			t.Fatalf("a strict reader says %v, but what was mended is %q", strictErr, l.Mended)
		}
		for _, name := range l.LeftOut {
			if !slices.Contains(l.Mended, name) {
				t.Fatalf("%q is left out, but not among %q", name, l.Mended)
			}
		}
	})
}
