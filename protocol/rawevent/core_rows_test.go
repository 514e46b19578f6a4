package rawevent_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// coreRow is one attribute as it stands on the wire, without percent-encoding or escapes.
type coreRow struct {
	attribute, value string
	expect           expectation
}

func (r coreRow) name() string { return r.attribute + " " + r.value }

func kept(attribute, value string) coreRow { return coreRow{attribute, value, has(attribute, value)} }

func changed(attribute, value, want string) coreRow {
	return coreRow{attribute, value, has(attribute, want)}
}

func wrong(attribute, value string) coreRow { return coreRow{attribute, value, invalid(attribute)} }

// coreRows has the rows of the behaviour table that are about values of core attributes.
func coreRows() []coreRow {
	return []coreRow{
		wrong(
			"dataschema",
			"http://ex.com/%zz",
		),
		wrong("dataschema", "/rel"),
		wrong("dataschema", "http://ex.com/a#b"),
		kept("dataschema", "HTTP://EX.com/x?"),
		wrong("source", "a b"),
		wrong("source", "a b%zz"),
		wrong("source", "1-555:x"),
		kept("source", "1-555-123-4567"),
		kept(
			"source",
			"HTTP://EX.com/x",
		),
		kept("source", "http://ex.com/a?#"),
		wrong("source", "http://[zzz]/"),
		kept("source", "http://[::1]:80/"),
		changed(
			"time",
			"2020-01-02t03:04:05z",
			"2020-01-02T03:04:05Z",
		),
		kept("time", "2016-12-31T23:59:60Z"),
		kept("time", "2020-01-02T03:04:05.0123456789Z"),
		kept("time", "2020-01-02T03:04:05+05:30"),
		kept("time", "0001-01-01T00:00:00Z"),
		wrong(
			"time",
			"2020-01-02T03:04:05,5Z",
		),
		wrong("time", "2020-01-02T3:04:05Z"),
		wrong("time", "2020-01-02 03:04:05Z"),
		wrong("time", "2020-01-02T24:00:00Z"),
		wrong("time", "2020-01-02T03:04:05+25:00"),
		wrong("specversion", "0.3"),
		wrong("specversion", "1.1"),
		kept("subject", "1e2"),
	}
}

// TestCoreValues sends each value as JSON, as a header, and as a header over a socket. Unlike the percent-encoded
// values of the tests by specification section, these headers are as a careless sender writes them; "%zz" stands for
// itself.
func TestCoreValues(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for _, row := range coreRows() {
		t.Run(row.name()+", in JSON", func(t *testing.T) {
			t.Parallel()
			e, err := rawevent.FromJSON([]byte(without(row.attribute, `"`+row.attribute+`":"`+row.value+`"`)))
			row.expect(t, &e, err)
		})
		header := httpRow{leave: "ce-" + row.attribute, lines: headers("ce-" + row.attribute + ": " + row.value)}
		t.Run(row.name()+", in a header", func(t *testing.T) {
			t.Parallel()
			e, err := rawevent.FromHTTP(headerOf(header.headerLines()), nil)
			row.expect(t, &e, err)
		})
		t.Run(row.name()+", over a socket", func(t *testing.T) {
			t.Parallel()
			status, e, err := overSocket(t, server, "POST / HTTP/1.1", header.headerLines(), "")
			if status != http.StatusAccepted {
				t.Fatalf("net/http answers %d", status)
			}
			row.expect(t, e, err)
		})
	}
}

// TestConversion has the rows of the behaviour table that go from one content mode to the other.
func TestConversion(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, contentType, body, want string }{
		{"no Content-Type, body hello", "", "hello", `"data_base64":"aGVsbG8="`},
		{"empty Content-Type", " ", "hello", `"data_base64":"aGVsbG8="`},
		{"application/json {bad", "application/json", "{bad", `"datacontenttype":"application/json","data_base64":"e2JhZA=="`},
		{"text/json {bad", "text/json", "{bad", `"datacontenttype":"text/json","data_base64":"e2JhZA=="`},
		{"application/octet-stream 00 FF", "application/octet-stream", "\x00\xff", `"datacontenttype":"application/octet-stream","data_base64":"AP8="`},
		{"application/vnd.x+json", "application/vnd.x+json", `{"a":1}`, `"datacontenttype":"application/vnd.x+json","data":{"a":1}`},
		{"text/plain hi", "text/plain", "hi", `"datacontenttype":"text/plain","data":"hi"`},
		{"empty body with Content-Type", "text/plain", "", `"datacontenttype":"text/plain"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			lines := httpRow{}.headerLines()
			if row.contentType != "" {
				lines = append(lines, "Content-Type: "+row.contentType)
			}
			e, err := rawevent.FromHTTP(headerOf(lines), []byte(row.body))
			accepted(t, &e, err)
			if got := string(e.AppendJSON(nil)); got != with(row.want) {
				t.Errorf("in JSON: %s, want %s", got, with(row.want))
			}
			structured, err := rawevent.FromJSON(e.AppendJSON(nil))
			accepted(t, &structured, err)
			header := http.Header{}
			structured.WriteHTTP(header)
			if got, want := header.Get(
				"Content-Type",
			), strings.TrimSpace(
				row.contentType,
			); got != want ||
				string(structured.Data) != row.body {
				t.Errorf(
					"back in binary mode: Content-Type %q and body %q, want %q and %q",
					got,
					structured.Data,
					want,
					row.body,
				)
			}
		})
	}
}
