package rawevent_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// httpRow is one message in binary mode, given as the lines on the wire.
type httpRow struct {
	name    string
	leave   string   // a header of the minimal event that the row goes without
	lines   []string // more headers
	body    string
	request string // the request line; POST by default
	byHTTP  bool   // net/http itself answers 400, before FromHTTP could
	expect  expectation
}

func (r httpRow) headerLines() []string {
	var lines []string
	for _, line := range []string{"ce-specversion: 1.0", "ce-id: 1", "ce-source: /s", "ce-type: t"} {
		if r.leave == "" || !strings.HasPrefix(line, r.leave+":") {
			lines = append(lines, line)
		}
	}
	return append(lines, r.lines...)
}

func headers(lines ...string) []string { return lines }

func manyHeaders(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("ce-x%d: v", i)
	}
	return lines
}

// httpRows has the rows of the behaviour table that are about headers.
var httpRows = []httpRow{
	// Percent-encoding, quoting and characters (HTTP protocol binding section 3.1.3.2).
	{name: "percent-encoded", lines: headers("ce-subject: Euro%20%E2%82%AC"), expect: has("subject", "Euro €")},
	{name: "percent-encoded, lower-case hex", lines: headers("ce-subject: %e2%82%ac"), expect: has("subject", "€")},
	{name: "needless encoding", lines: headers("ce-subject: %61%2Fb"), expect: has("subject", "a/b")},
	{name: "needless encoding of the source and the time", leave: "ce-source",
		lines:  headers("ce-source: https%3A%2F%2Fex.com%2Fa", "ce-time: 2020-01-01T00%3A00%3A00Z"),
		expect: all(has("source", "https://ex.com/a"), has("time", "2020-01-01T00:00:00Z"))},
	{name: "decoded once", lines: headers("ce-subject: 100%2525"), expect: has("subject", "100%25")},
	{name: "double-quoted", lines: headers(`ce-subject: "a \"b\" c"`), expect: has("subject", `a "b" c`)},
	{name: "double-quoted, backslash", lines: headers(`ce-subject: "a\\b\c"`), expect: has("subject", `a\bc`)},
	{
		name:   "double-quoted, then percent-decoded",
		lines:  headers(`ce-subject: "a%20%22b"`),
		expect: has("subject", `a "b`),
	},
	{name: "double-quoted and empty", lines: headers(`ce-foo: ""`), expect: has("foo", "")},
	{name: "a quote that does not end", lines: headers(`ce-subject: "a`), expect: has("subject", `"a`)},
	{name: "a quote and a backslash at the end", lines: headers(`ce-subject: "a\`), expect: has("subject", `"a\`)},
	{name: "a quote that ends early", lines: headers(`ce-subject: "a" b`), expect: has("subject", `"a" b`)},
	{name: "a lone quote", lines: headers(`ce-subject: "`), expect: has("subject", `"`)},
	{name: "a lone percent sign", lines: headers("ce-subject: 100% of %"), expect: has("subject", "100% of %")},
	{
		name:   "a percent sign without hexadecimal digits",
		lines:  headers("ce-subject: %zz%4%4g%41"),
		expect: has("subject", "%zz%4%4gA"),
	},
	{name: "overlong UTF-8", lines: headers("ce-subject: %C0%A0"), expect: invalid("subject")},
	{name: "encoded surrogate", lines: headers("ce-subject: %ED%A0%80"), expect: invalid("subject")},
	{name: "half a character", lines: headers("ce-subject: %E2%82"), expect: invalid("subject")},
	{name: "raw UTF-8", lines: headers("ce-subject: é€"), expect: has("subject", "é€")},
	{
		name:   "raw and encoded UTF-8 in one character",
		lines:  headers("ce-subject: \xe2%82%ac"),
		expect: has("subject", "€"),
	},
	{name: "raw byte E9", lines: headers("ce-subject: caf\xe9"), expect: invalid("subject")},
	{name: "raw byte E9 in a quoted string", lines: headers("ce-subject: \"caf\xe9\""), expect: invalid("subject")},
	{name: "raw U+0001", lines: headers("ce-subject: a\x01b"), byHTTP: true, expect: invalid("subject")},
	{name: "raw U+007F", lines: headers("ce-subject: a\x7fb"), byHTTP: true, expect: invalid("subject")},
	{name: "raw TAB", lines: headers("ce-subject: a\tb"), expect: invalid("subject")},
	{name: "encoded CR LF", lines: headers("ce-subject: a%0D%0Ab"), expect: invalid("subject")},
	{name: "encoded U+0000", lines: headers("ce-subject: %00"), expect: invalid("subject")},
	{name: "encoded U+009F", lines: headers("ce-subject: %C2%9F"), expect: invalid("subject")},
	{name: "encoded U+00A0", lines: headers("ce-subject: %C2%A0"), expect: has("subject", "\u00a0")},
	{name: "encoded noncharacter", lines: headers("ce-subject: %EF%BF%BE"), expect: invalid("subject")},

	// Names.
	{name: "CE-ID", leave: "ce-id", lines: headers("CE-ID: up"), expect: has("id", "up")},
	{name: "Ce-Id", leave: "ce-id", lines: headers("Ce-Id: mixed"), expect: has("id", "mixed")},
	{name: "extension in upper case", lines: headers("CE-FOO: x"), expect: has("foo", "x")},
	{name: "two ce-id", lines: headers("ce-id: 2"), expect: invalid("id")},
	{name: "two ce-id, the same value", lines: headers("ce-id: 1"), expect: invalid("id")},
	{name: "two ce-id, another case", lines: headers("CE-ID: 1"), expect: invalid("id")},
	{name: "two of an extension", lines: headers("ce-foo: 1", "ce-foo: 2"), expect: invalid("foo")},
	{
		name:   "two Content-Type",
		lines:  headers("Content-Type: text/plain", "Content-Type: text/html"),
		expect: invalid("datacontenttype"),
	},
	{name: "ce- with an empty name", lines: headers("ce-: x"), expect: invalid("")},
	{name: "ce-foo-bar", lines: headers("ce-foo-bar: x"), expect: invalid("foo-bar")},
	{name: "ce-foo_bar", lines: headers("ce-foo_bar: x"), expect: invalid("foo_bar")},
	{name: "ce-data", lines: headers("ce-data: x"), expect: invalid("data")},
	{name: "ce-datacontenttype", lines: headers("ce-datacontenttype: text/plain"), expect: invalid("datacontenttype")},
	{
		name:   "name of 40 characters",
		lines:  headers("ce-" + strings.Repeat("n", 40) + ": x"),
		expect: has(strings.Repeat("n", 40), "x"),
	},
	{
		name:   "name of 64 characters",
		lines:  headers("ce-" + strings.Repeat("n", 64) + ": x"),
		expect: has(strings.Repeat("n", 64), "x"),
	},
	{name: "name of 65 characters", lines: headers("ce-" + strings.Repeat("n", 65) + ": x"),
		expect: refused(rawevent.TooLarge, strings.Repeat("n", 64))},
	{
		name:   "ce without a hyphen is not an attribute",
		lines:  headers("cefoo: x", "ce: y", "x-ce-foo: z"),
		expect: lacks("foo"),
	},
	{name: "256 attributes", lines: manyHeaders(252), expect: has("x251", "v")},
	{name: "257 attributes", lines: manyHeaders(253), expect: refused(rawevent.TooLarge, "")},
	{name: "5000 ce- headers", lines: manyHeaders(5000), expect: refused(rawevent.TooLarge, "")},

	// Values.
	{name: "empty ce-subject", lines: headers("ce-subject:"), expect: invalid("subject")},
	{name: "empty ce-time", lines: headers("ce-time: "), expect: invalid("time")},
	{name: "empty extension", lines: headers("ce-foo:"), expect: has("foo", "")},
	{name: "empty ce-id", leave: "ce-id", lines: headers("ce-id:"), expect: invalid("id")},
	{name: "missing ce-id", leave: "ce-id", expect: invalid("id")},
	{name: "missing ce-source", leave: "ce-source", expect: invalid("source")},
	{name: "missing ce-type", leave: "ce-type", expect: invalid("type")},
	{name: "an id of one space", leave: "ce-id", lines: headers("ce-id: %20"), expect: has("id", " ")},
	{name: "missing ce-specversion", leave: "ce-specversion", expect: invalid("specversion")},
	{
		name:   "specversion 1.1",
		leave:  "ce-specversion",
		lines:  headers("ce-specversion: 1.1"),
		expect: invalid("specversion"),
	},
	{
		name:   "specversion 1",
		leave:  "ce-specversion",
		lines:  headers("ce-specversion: 1"),
		expect: invalid("specversion"),
	},
	{
		name:   "specversion 0.3",
		leave:  "ce-specversion",
		lines:  headers("ce-specversion: 0.3"),
		expect: invalid("specversion"),
	},
	{
		name:   "dataschema that is not a URI",
		lines:  headers("ce-dataschema: http://ex.com/%zz"),
		expect: invalid("dataschema"),
	},
	{
		name:   "value of 64 KiB",
		lines:  headers("ce-foo: " + strings.Repeat("v", 64<<10)),
		expect: has("foo", strings.Repeat("v", 64<<10)),
	},
	{
		name:   "value of 64 KiB and a byte",
		lines:  headers("ce-foo: " + strings.Repeat("v", 64<<10+1)),
		expect: refused(rawevent.TooLarge, "foo"),
	},

	// Data.
	{name: "no Content-Type", body: "hello", expect: all(lacks("datacontenttype"), hasData("hello"))},
	{name: "application/json that is not JSON", lines: headers("Content-Type: application/json"), body: "{bad",
		expect: all(has("datacontenttype", "application/json"), hasData("{bad"))},
	{
		name:   "bytes that are not text",
		lines:  headers("Content-Type: application/octet-stream"),
		body:   "\x00\xff\r\n",
		expect: hasData("\x00\xff\r\n"),
	},
	{name: "empty body with Content-Type", lines: headers("Content-Type: application/json"),
		expect: all(has("datacontenttype", "application/json"), noData)},
	{name: "HTTP/1.0", request: "POST / HTTP/1.0", body: "x", expect: hasData("x")},
	{name: "PUT", request: "PUT / HTTP/1.1", body: "x", expect: hasData("x")},
	{
		name:   "Content-Type that is not a media type",
		lines:  headers("Content-Type: json"),
		expect: invalid("datacontenttype"),
	},
	{
		name:   "two media types in one Content-Type",
		lines:  headers("Content-Type: text/plain, text/html"),
		expect: invalid("datacontenttype"),
	},
}

func TestBinaryHTTP(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for _, row := range httpRows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			lines := row.headerLines()
			e, err := rawevent.FromHTTP(headerOf(lines), []byte(row.body))
			row.expect(t, &e, err)
		})
		t.Run(row.name+", over a socket", func(t *testing.T) {
			t.Parallel()
			request := row.request
			if request == "" {
				request = "POST / HTTP/1.1"
			}
			status, e, err := overSocket(t, server, request, row.headerLines(), row.body)
			if row.byHTTP {
				if status != http.StatusBadRequest {
					t.Fatalf("net/http answers %d", status)
				}
				return
			}
			if status != http.StatusAccepted {
				t.Fatalf("net/http answers %d", status)
			}
			row.expect(t, e, err)
		})
	}
}

// TestNoEvent: messages that are not CloudEvents are refused as such.
func TestNoEvent(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]http.Header{
		"no header": {}, "nil": nil,
		"only a Content-Type": {"Content-Type": {"application/json"}},
		"another prefix":      {"X-Ce-Id": {"1"}, "Ce": {"1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := rawevent.FromHTTP(header, []byte(minimal))
			invalid("")(t, &e, err)
			if !strings.Contains(err.Error(), "not a CloudEvent") {
				t.Errorf("the error says %q", err)
			}
		})
	}
}

// TestHeaderMapOfAnotherServer is about header maps that net/http would not make: it alone brings names into one form.
func TestHeaderMapOfAnotherServer(t *testing.T) {
	t.Parallel()
	base := func() http.Header { return headerOf(httpRow{}.headerLines()) }

	header := base()
	header["ce-id"] = []string{"1"}
	e, err := rawevent.FromHTTP(header, nil)
	invalid("id")(t, &e, err)

	header = base()
	header["ce-\u212a"] = []string{"x"} // the Kelvin sign, which Unicode folds to k
	e, err = rawevent.FromHTTP(header, nil)
	if err == nil {
		t.Errorf("accepted as %+v", e)
	}

	header = base()
	header["Ce-Foo"] = nil
	e, err = rawevent.FromHTTP(header, nil)
	invalid("foo")(t, &e, err)
}
