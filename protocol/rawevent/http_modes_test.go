package rawevent_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// TestContentMode: HTTP protocol binding section 3, by the media type, whatever its case and parameters.
func TestContentMode(t *testing.T) {
	t.Parallel()
	for contentType, want := range map[string]rawevent.Mode{
		"":                                                 rawevent.Binary,
		"application/json":                                 rawevent.Binary,
		"application/cloudevent+json":                      rawevent.Binary,
		"text/plain; a=application/cloudevents":            rawevent.Binary,
		"application/cloudevents":                          rawevent.Structured,
		"application/cloudevents;charset=utf-8":            rawevent.Structured,
		"application/cloudevents+json":                     rawevent.Structured,
		"Application/CloudEvents+JSON ; charset=UTF-8":     rawevent.Structured,
		"application/cloudevents+avro":                     rawevent.Structured,
		"application/cloudevents-batch":                    rawevent.Batched,
		"application/cloudevents-batch+json":               rawevent.Batched,
		"APPLICATION/CLOUDEVENTS-BATCH+JSON;charset=utf-8": rawevent.Batched,
		"application/cloudevents-batch+avro":               rawevent.Batched,
	} {
		if got := rawevent.ModeOf(contentType); got != want {
			t.Errorf("ModeOf(%q) = %v, want %v", contentType, got, want)
		}
	}
}

// TestStructuredMode has the rows of the behaviour table that are about the Content-Type of structured mode.
func TestStructuredMode(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	unsupported := refused(rawevent.Unsupported, "")
	for _, row := range []struct {
		name   string
		lines  []string
		expect expectation
	}{
		{"charset=UTF-8", headers("Content-Type: application/cloudevents+json; charset=UTF-8"), has("id", "1")},
		{"charset quoted", headers(`Content-Type: application/cloudevents+json; charset="utf-8"`), has("id", "1")},
		{"charset=us-ascii", headers("Content-Type: application/cloudevents+json;Charset=US-ASCII"), has("id", "1")},
		{"charset=iso-8859-1", headers("Content-Type: application/cloudevents+json; charset=iso-8859-1"), unsupported},
		{"charset=utf-16 after another parameter", headers("Content-Type: application/cloudevents+json; a=b; charset=utf-16"), unsupported},
		{"Application/CloudEvents+JSON", headers("Content-Type: Application/CloudEvents+JSON"), has("id", "1")},
		{"application/cloudevents", headers("Content-Type: application/cloudevents"), unsupported},
		{"application/cloudevents+avro", headers("Content-Type: application/cloudevents+avro"), unsupported},
		{"application/cloudevents+jsonx", headers("Content-Type: application/cloudevents+jsonx"), unsupported},
		{"two media types in one header", headers("Content-Type: application/cloudevents+json, text/plain"), unsupported},
		{"application/cloudevents+avro with ce- headers", append(httpRow{}.headerLines(), "Content-Type: application/cloudevents+avro"), unsupported},
		{"a batch", headers("Content-Type: application/cloudevents-batch+json"), unsupported},
		{"Content-Type twice", headers("Content-Type: application/cloudevents+json", "Content-Type: application/cloudevents+json"), invalid("datacontenttype")},
		{"ce- headers too: the content wins", headers("Content-Type: application/cloudevents+json", "ce-id: header", "ce-foo: x", "ce-: x", "ce-subject: %ff"),
			all(has("id", "1"), lacks("foo"), lacks("subject"))},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			e, err := rawevent.FromHTTP(headerOf(row.lines), []byte(minimal))
			row.expect(t, &e, err)
		})
		t.Run(row.name+", over a socket", func(t *testing.T) {
			t.Parallel()
			status, e, err := overSocket(t, server, "POST / HTTP/1.1", row.lines, minimal)
			if status != http.StatusAccepted {
				t.Fatalf("net/http answers %d", status)
			}
			row.expect(t, e, err)
		})
	}
}

// TestBatch has the rows of the behaviour table that are about batched mode. at is the index of the event at fault, -1
// for the batch as a whole.
func TestBatch(t *testing.T) {
	t.Parallel()
	const batch = rawevent.MediaTypeBatch
	second := strings.Replace(minimal, `"id":"1"`, `"id":"2"`, 1)
	for _, row := range []struct {
		name, contentType, body string
		ids                     []string
		reason                  rawevent.Reason
		attribute               string
		at                      int
	}{
		{name: "empty", contentType: batch, body: "[]", ids: []string{}},
		{name: "empty, white space", contentType: batch, body: " [ \n] ", ids: []string{}},
		{name: "one", contentType: batch, body: "[" + minimal + "]", ids: []string{"1"}},
		{name: "two", contentType: batch, body: "[" + minimal + " ,\n" + second + "]", ids: []string{"1", "2"}},
		{name: "equal events", contentType: batch, body: "[" + minimal + "," + minimal + "]", ids: []string{"1", "1"}},
		{name: "charset=utf-8", contentType: batch + "; charset=utf-8", body: "[" + minimal + "]", ids: []string{"1"}},
		{name: "upper case", contentType: "Application/CloudEvents-Batch+JSON", body: "[" + minimal + "]", ids: []string{"1"}},
		{name: "charset=iso-8859-1", contentType: batch + "; charset=iso-8859-1", body: "[]", reason: rawevent.Unsupported, at: -1},
		{name: "unknown format", contentType: "application/cloudevents-batch+avro", body: "[]", reason: rawevent.Unsupported, at: -1},
		{name: "one event's type", contentType: rawevent.MediaTypeJSON, body: "[]", reason: rawevent.Unsupported, at: -1},
		{name: "no type", body: "[]", reason: rawevent.Unsupported, at: -1},
		{name: "null", contentType: batch, body: "null", at: -1},
		{name: "an event", contentType: batch, body: minimal, at: -1},
		{name: "nothing", contentType: batch, body: "", at: -1},
		{name: "text after it", contentType: batch, body: "[" + minimal + "] x", at: -1},
		{name: "two arrays", contentType: batch, body: "[][]", at: -1},
		{name: "comma at the end", contentType: batch, body: "[" + minimal + ",]", at: -1},
		{name: "not UTF-8", contentType: batch, body: "[\"\xff\"]", at: -1},
		{name: "null among events", contentType: batch, body: "[" + minimal + ",null]", at: 1},
		{name: "an array among events", contentType: batch, body: "[[],null]", at: 0},
		{name: "invalid member", contentType: batch, body: "[" + minimal + "," + second + "," + without("id", "") + "]", attribute: "id", at: 2},
		{name: "1.0 and 0.3", contentType: batch, body: "[" + minimal + "," + without("specversion", `"specversion":"0.3"`) + "]", attribute: "specversion", at: 1},
		{name: "10000 events", contentType: batch, body: "[" + strings.Repeat(minimal+",", 9999) + minimal + "]", ids: strings.Split(strings.Repeat("1", 10000), "")},
		{name: "10001 events", contentType: batch, body: "[" + strings.Repeat(minimal+",", 10000) + minimal + "]", reason: rawevent.TooLarge, at: -1},
		{name: "129 levels", contentType: batch, body: "[" + with(`"data":`+strings.Repeat("[", 127)+strings.Repeat("]", 127)) + "]", reason: rawevent.TooLarge, at: -1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			if row.contentType != "" {
				header.Set("Content-Type", row.contentType)
			}
			events, err := rawevent.BatchFromHTTP(header, []byte(row.body))
			if row.ids == nil {
				if err == nil {
					t.Fatalf("accepted as %+v", events)
				}
				got := asError(t, err)
				if got.Reason != row.reason || got.Attribute != row.attribute || got.Index != row.at || events != nil {
					t.Errorf("refused as %#v with %d events, want %+v", *got, len(events), row)
				}
				if at := fmt.Sprintf(
					"event %d of the batch",
					row.at,
				); strings.Contains(
					got.Error(),
					at,
				) != (row.at >= 0) {
					t.Errorf("the error says %q", got)
				}
				return
			}
			if err != nil || len(events) != len(row.ids) {
				t.Fatalf("%d events, error %v; want %d", len(events), err, len(row.ids))
			}
			for i := range events {
				if events[i].ID() != row.ids[i] {
					t.Errorf("event %d has the id %q", i, events[i].ID())
				}
			}
		})
	}
	if _, err := rawevent.BatchFromHTTP(http.Header{"Content-Type": {batch, batch}}, []byte("[]")); !isInvalid(err) {
		t.Errorf("two Content-Type headers: %v", err)
	}
}

func isInvalid(err error) bool {
	var e *rawevent.Error
	return errors.As(err, &e) && e.Reason == rawevent.Invalid
}
