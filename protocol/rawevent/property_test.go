package rawevent_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// legal reports whether a String of the CloudEvents type system may contain r; written apart from the package's own
// way.
func legal(r rune) bool {
	return r >= 0x20 && (r < 0x7f || r > 0x9f) && (r < 0xfdd0 || r > 0xfdef) && r&0xffff != 0xfffe && r&0xffff != 0xffff
}

func legalString(minLength int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.Rune().Filter(legal), minLength, 40, -1)
}

// anEvent returns a generator of any valid event. (Generators are not safe for use by several tests at a time.)
func anEvent() *rapid.Generator[rawevent.Event] { return rapid.Custom(drawEvent) }

func drawEvent(t *rapid.T) rawevent.Event {
	var e rawevent.Event
	e.Set("specversion", "1.0")
	e.Set("id", legalString(1).Draw(t, "id"))
	e.Set("type", legalString(1).Draw(t, "type"))
	e.Set("source", rapid.StringMatching(
		`([A-Za-z][A-Za-z0-9+.-]{0,5}:)?(//([a-z]{0,4}@)?([A-Za-z0-9.]{0,8}|\[::1\])(:[0-9]{0,5})?)?/([A-Za-z0-9;=@:._~-]{1,6}/){0,2}(%[0-9A-Fa-f]{2})?(\?[a-z/?=&]{0,5})?(#[a-z/?]{0,5})?`,
	).Draw(t, "source"))
	if rapid.Bool().Draw(t, "has time") {
		e.Set("time", rapid.StringMatching(
			`[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]{1,12})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])`,
		).Draw(t, "time"))
	}
	if rapid.Bool().Draw(t, "has subject") {
		e.Set("subject", legalString(1).Draw(t, "subject"))
	}
	if rapid.Bool().Draw(t, "has dataschema") {
		e.Set("dataschema", rapid.StringMatching(
			`[A-Za-z][A-Za-z0-9+.-]{0,5}:(//[a-z.]{1,8})?(/[A-Za-z0-9._~-]{1,6}(%[0-9A-Fa-f]{2})?){1,3}(\?[a-z/?=&]{0,5})?`,
		).Draw(t, "dataschema"))
	}
	for name, value := range rapid.MapOfN(extensionName(), legalString(0), 0, 5).Draw(t, "extensions") {
		e.Set(name, value)
	}
	e.DataContentType = rapid.SampledFrom([]string{
		"",
		"application/json",
		"Application/Vnd.X+JSON ; charset=utf-8",
		"text/json",
		"text/x+json",
		"text/plain; a=\"b;c\"",
		"application/xml",
		"image/png",
		"application/octet-stream",
	}).Draw(t, "datacontenttype")
	switch rapid.IntRange(0, 4).Draw(t, "kind of data") {
	case 0: // none
	case 1:
		e.Data = []byte{}
	case 2:
		e.Data = rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
	case 3:
		e.Data = []byte(rapid.String().Draw(t, "text"))
	case 4:
		e.Data = []byte(drawJSON(t, 3))
	}
	return e
}

func extensionName() *rapid.Generator[string] {
	return rapid.StringMatching(`[a-z0-9]{1,20}`).Filter(func(name string) bool {
		switch name {
		case "specversion", "id", "type", "source", "time", "subject", "dataschema", "datacontenttype", "data":
			return false
		}
		return true
	})
}

// drawJSON draws JSON with white space, keys that occur twice, and numbers no type can hold.
func drawJSON(t *rapid.T, depth int) string {
	space := rapid.StringMatching(`[ \t\r\n]{0,2}`).Draw(t, "space")
	kind := rapid.IntRange(0, 4).Draw(t, "kind")
	if depth == 0 {
		kind %= 3
	}
	var text string
	switch kind {
	case 0:
		text = rapid.SampledFrom([]string{"null", "true", "false", `"\ud83d"`, `"\\\""`, `"{[\u005d"`}).
			Draw(t, "constant")
	case 1:
		text = rapid.StringMatching(`-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?`).Draw(t, "number")
	case 2:
		encoded, _ := json.Marshal(rapid.String().Draw(t, "string"))
		text = string(encoded)
	default:
		parts := make([]string, rapid.IntRange(0, 3).Draw(t, "length"))
		for i := range parts {
			if parts[i] = drawJSON(t, depth-1); kind == 4 {
				parts[i] = rapid.SampledFrom([]string{` "a" :`, `"b":`, `"\"}":`}).Draw(t, "key") + parts[i]
			}
		}
		if text = strings.Join(parts, ","); kind == 4 {
			text = "{" + text + space + "}"
		} else {
			text = "[" + space + text + "]"
		}
	}
	return space + text + space
}

// afterJSON returns what e is once it has been JSON: white space around a JSON value is not part of the data.
func afterJSON(e rawevent.Event) rawevent.Event {
	if rawevent.IsJSON(e.DataContentType) && json.Valid(e.Data) &&
		utf8.Valid(e.Data) { // json.Valid lets broken UTF-8 pass
		e.Data = bytes.Trim(e.Data, " \t\r\n")
	}
	return e
}

// afterHTTP returns what e is once it has been on HTTP, where an empty body is none.
func afterHTTP(e rawevent.Event) rawevent.Event {
	if len(e.Data) == 0 {
		e.Data = nil
	}
	return e
}

func TestAnyEventIsValid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := anEvent().Draw(t, "event")
		before := e.Clone()
		if err := e.Validate(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, e); diff != "" {
			t.Fatalf("Validate changes the event:\n%s", diff)
		}
	})
}

func TestAnyEventThroughJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := anEvent().Draw(t, "event")
		written := e.AppendJSON([]byte("x"))[1:]
		if !json.Valid(written) {
			t.Fatalf("no JSON: %q", written)
		}
		got, err := rawevent.FromJSON(written)
		if err != nil {
			t.Fatalf("%v: %s", err, written)
		}
		if diff := cmp.Diff(afterJSON(e), got); diff != "" {
			t.Fatalf("%s\n%s", written, diff)
		}
	})
}

func TestAnyEventThroughHTTP(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := anEvent().Draw(t, "event")
		header := http.Header{}
		e.WriteHTTP(header)
		for key, values := range header {
			for i, c := range []byte(values[0]) {
				if key != "Content-Type" && (c < 0x21 || c > 0x7e || c == '"') {
					t.Fatalf("%s has the byte %#x at %d: %q", key, c, i, values[0])
				}
			}
		}
		got, err := rawevent.FromHTTP(header, e.Data)
		if err != nil {
			t.Fatalf("%v: %v", err, header)
		}
		if diff := cmp.Diff(afterHTTP(e), got); diff != "" {
			t.Fatalf("%v\n%s", header, diff)
		}
	})
}

func TestAnyBatchThroughJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(anEvent(), 0, 5).Draw(t, "events")
		written := rawevent.AppendBatch(nil, events)
		got, err := rawevent.BatchFromJSON(written)
		if err != nil || len(got) != len(events) {
			t.Fatalf("%d events, %v: %s", len(got), err, written)
		}
		for i := range events {
			if diff := cmp.Diff(afterJSON(events[i]), got[i]); diff != "" {
				t.Fatalf("event %d of %s\n%s", i, written, diff)
			}
		}
	})
}

// TestDeepDataThroughJSON: what AppendJSON and AppendBatch write can be read again, however deep a body is nested.
func TestDeepDataThroughJSON(t *testing.T) {
	t.Parallel()
	for _, depth := range []int{1, 125, 126, 127, 128, 129, 10_000, 100_000} {
		e := rawevent.New("1", "/s", "t")
		e.DataContentType, e.Data = "application/json", []byte(strings.Repeat("[", depth)+strings.Repeat("]", depth))
		got, err := rawevent.FromJSON(e.AppendJSON(nil))
		if err != nil || !bytes.Equal(got.Data, e.Data) {
			t.Errorf("depth %d: %v", depth, err)
		}
		events, err := rawevent.BatchFromJSON(rawevent.AppendBatch(nil, []rawevent.Event{e}))
		if err != nil || len(events) != 1 || !bytes.Equal(events[0].Data, e.Data) {
			t.Errorf("depth %d, in a batch: %v", depth, err)
		}
	}
}

// TestSDKReadsJSON: the CloudEvents SDK reads what AppendJSON writes, for events that the SDK can represent. It
// counts white space before the data to the data, and refuses numbers beyond a float64 such as 1E310.
func TestSDKReadsJSON(t *testing.T) {
	t.Parallel()
	words := rapid.StringMatching(`[A-Za-z][A-Za-z0-9 "\\/é€😀<&.-]{0,20}[a-z]`)
	rapid.Check(t, func(t *rapid.T) {
		e := rawevent.New(words.Draw(t, "id"), "https://example.com/things?a=b", words.Draw(t, "type"))
		e.Set("time", "2020-01-02T03:04:05.123456789Z")
		e.Set("subject", words.Draw(t, "subject"))
		e.Set("dataschema", "urn:example:x")
		extensions := rapid.MapOfN(extensionName(), words, 0, 4).Draw(t, "extensions")
		for name, value := range extensions {
			e.Set(name, value)
		}
		e.DataContentType = rapid.SampledFrom([]string{"", "application/json", "text/plain", "application/xml", "application/octet-stream"}).
			Draw(t, "datacontenttype")
		if e.DataContentType == "application/json" {
			e.Data = []byte(
				rapid.SampledFrom([]string{"null", "{}", ` { "a" : [ 1.50, -7 ] } `, `"hi"`, `[{"a":1,"a":2}]`, "12345678901234567890"}).
					Draw(t, "json"),
			)
		} else {
			e.Data = []byte(words.Draw(t, "data"))
		}
		written := e.AppendJSON(nil)
		var sdk event.Event
		if err := json.Unmarshal(written, &sdk); err != nil {
			t.Fatalf("%v: %s", err, written)
		}
		if err := sdk.Validate(); err != nil {
			t.Fatalf("%v: %s", err, written)
		}
		got := []string{
			sdk.SpecVersion(),
			sdk.ID(),
			sdk.Source(),
			sdk.Type(),
			sdk.Subject(),
			sdk.DataSchema(),
			sdk.DataContentType(),
			strings.TrimSpace(string(sdk.Data())),
		}
		want := []string{
			"1.0",
			e.ID(),
			e.Source(),
			e.Type(),
			e.Subject(),
			"urn:example:x",
			e.DataContentType,
			string(afterJSON(e).Data),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s\n%s", written, diff)
		}
		for name, value := range extensions {
			if got := sdk.Extensions()[name]; got != value {
				t.Fatalf("extension %s = %v, want %q: %s", name, got, value, written)
			}
		}
	})
}
