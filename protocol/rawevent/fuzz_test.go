package rawevent_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// fuzzedError checks an error on input that can be anything.
func fuzzedError(t *testing.T, err error, inBatch bool) {
	t.Helper()
	e := asError(t, err)
	if !utf8.ValidString(e.Rule) || len(e.Rule) > 300 {
		t.Fatalf("the rule %q is not fit to be shown", e.Rule)
	}
	if e.Index < -1 || !inBatch && e.Index != -1 {
		t.Fatalf("the index is %d", e.Index)
	}
	if other := (*rawevent.Error)(nil); !errors.As(err, &other) || other != e {
		t.Fatalf("the error is wrapped: %#v", err)
	}
}

// fuzzedEvent checks that an accepted event is valid, and the same after either encoding.
func fuzzedEvent(t *testing.T, e rawevent.Event) {
	t.Helper()
	validated := e.Clone()
	if err := validated.Validate(); err != nil {
		t.Fatalf("accepted, but Validate says: %v", err)
	}
	if diff := cmp.Diff(e, validated); diff != "" {
		t.Fatalf("Validate changes an accepted event:\n%s", diff)
	}
	written := e.AppendJSON(nil)
	again, err := rawevent.FromJSON(written)
	if err != nil || !json.Valid(written) {
		t.Fatalf("written as %q, which is refused: %v", written, err)
	}
	if diff := cmp.Diff(afterJSON(e), again); diff != "" {
		t.Fatalf("through JSON:\n%s", diff)
	}
	if rawevent.ModeOf(e.DataContentType) != rawevent.Binary {
		return // an event in an event: binary mode cannot tell the two apart
	}
	header := http.Header{}
	e.WriteHTTP(header)
	again, err = rawevent.FromHTTP(header, e.Data)
	if err != nil {
		t.Fatalf("written as %v, which is refused: %v", header, err)
	}
	if diff := cmp.Diff(afterHTTP(e), again); diff != "" {
		t.Fatalf("through HTTP:\n%s", diff)
	}
}

func FuzzFromJSON(f *testing.F) {
	for _, rows := range [][]jsonRow{jsonRows, dataRows} {
		for _, row := range rows {
			if len(row.input) < 10_000 {
				f.Add([]byte(row.input))
			}
		}
	}
	f.Add([]byte(with(`"datacontenttype":"application/cloudevents+json","data":` + minimal)))
	f.Fuzz(func(t *testing.T, input []byte) {
		before := string(input)
		e, err := rawevent.FromJSON(input)
		if string(input) != before {
			t.Fatal("the input was changed")
		}
		if err != nil {
			fuzzedError(t, err, false)
			return
		}
		if !json.Valid(input) || !utf8.Valid(input) {
			t.Fatal("accepted, but no JSON")
		}
		fuzzedEvent(t, e)
	})
}

func FuzzBatchFromJSON(f *testing.F) {
	f.Add([]byte("[]"))
	f.Add([]byte("[null]"))
	f.Add([]byte(" [ " + minimal + " , " + with(`"data":[1,2],"foo":1`) + " ] "))
	for _, row := range dataRows {
		f.Add([]byte("[" + minimal + "," + row.input + "]"))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		events, err := rawevent.BatchFromJSON(input)
		if err != nil {
			fuzzedError(t, err, true)
			return
		}
		var members []json.RawMessage
		if err := json.Unmarshal(input, &members); err != nil || len(members) != len(events) {
			t.Fatalf("%d events, but encoding/json sees %d: %v", len(events), len(members), err)
		}
		again, err := rawevent.BatchFromJSON(rawevent.AppendBatch(nil, events))
		if err != nil || len(again) != len(events) {
			t.Fatalf("written again, there are %d events of %d: %v", len(again), len(events), err)
		}
		for i := range events {
			fuzzedEvent(t, events[i])
			if diff := cmp.Diff(afterJSON(events[i]), again[i]); diff != "" {
				t.Fatalf("event %d:\n%s", i, diff)
			}
			alone, err := rawevent.FromJSON(members[i])
			if err != nil {
				t.Fatalf("event %d is refused outside of the batch: %v", i, err)
			}
			if diff := cmp.Diff(events[i], alone); diff != "" {
				t.Fatalf("event %d is another one outside of the batch:\n%s", i, diff)
			}
		}
	})
}

func FuzzFromHTTP(f *testing.F) {
	for _, row := range httpRows {
		if lines := strings.Join(row.headerLines(), "\n"); len(lines) < 10_000 {
			f.Add(lines, []byte(row.body))
		}
	}
	f.Add("Content-Type: application/cloudevents+json; charset=utf-8", []byte(minimal))
	f.Add("Content-Type: application/cloudevents-batch+json", []byte("["+minimal+"]"))
	f.Fuzz(func(t *testing.T, lines string, body []byte) {
		header := headerOf(strings.Split(lines, "\n"))
		e, err := rawevent.FromHTTP(header, body)
		if err != nil {
			fuzzedError(t, err, false)
			return
		}
		fuzzedEvent(t, e)
		if rawevent.ModeOf(header.Get("Content-Type")) == rawevent.Binary && string(e.Data) != string(body) {
			t.Fatalf("the body %q became %q", body, e.Data)
		}
	})
}

// FuzzValidJSON: what is JSON for this package is JSON for encoding/json, and the other way round.
func FuzzValidJSON(f *testing.F) {
	for _, row := range append(jsonRows, dataRows...) {
		if len(row.input) < 4096 {
			f.Add([]byte(row.input))
		}
	}
	for _, seed := range []string{"-0.5e+7", "01", "1.", ".5", "1e", "[1,]", `{"a"}`, `{"a":1,}`, "\"\\u12g4\"", "\"\x00\"", "nul", "[[]", " \r\n\t1 ", "1 2", "\"12345678\x1f\"", "\"1234567\\\"\"", "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		e := rawevent.New("1", "/s", "t")
		e.DataContentType, e.Data = "application/json", input
		asJSON := bytes.Contains(e.AppendJSON(nil), []byte(`,"data":`))
		if want := json.Valid(input) &&
			utf8.Valid(input); want != asJSON &&
			bytes.Count(input, []byte("["))+bytes.Count(input, []byte("{")) <= 126 {
			t.Errorf("%q: encoding/json says %v", input, want)
		}
	})
}
