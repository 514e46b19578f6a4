package rawevent_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// must is what a section of a specification obliges a reader or a writer to. A message that is read is given as the
// lines of its header and its body; an event that is written is given in JSON.
type must struct {
	section string // and title
	rule    string
	read    []string // lines of a header; nil where it is about writing
	body    string
	expect  expectation
	write   string // in JSON; read strictly
	mode    rawevent.Mode
	lines   []string // that the header must have; one that begins with "!" it must not have
	content string   // that the body must be; "" for any
}

// TestHTTPProtocolBinding has every MUST of the CloudEvents HTTP protocol binding 1.0.2 that is about one message, by
// section. Those about headers and bodies that are wrong are in httpRows and jsonRows.
func TestHTTPProtocolBinding(t *testing.T) {
	t.Parallel()
	const structured = "Content-Type: application/cloudevents+json"
	minimalLines := httpRow{}.headerLines()
	runMusts(t, []must{
		{
			section: "2.1 datacontenttype",
			rule:    "holds the media type of the data in all modes",
			read:    append(minimalLines, "Content-Type: text/xml"),
			body:    "<a/>",
			expect:  all(has("datacontenttype", "text/xml"), hasData("<a/>")),
		},
		{
			section: "2.2 data",
			rule:    "is opaque",
			read:    append(minimalLines, "Content-Type: application/json"),
			body:    "{",
			expect:  hasData("{"),
		},
		{
			section: "3 HTTP message mapping",
			rule:    "batched before structured, whatever the case",
			read:    []string{"Content-Type: APPLICATION/CloudEvents-batch+JSON"},
			body:    "[]",
			expect:  refused(rawevent.Unsupported, ""),
		},
		{
			section: "3 HTTP message mapping",
			rule:    "structured, whatever the case",
			read:    []string{"content-type: Application/CloudEvents+Json"},
			body:    minimal,
			expect:  has("id", "1"),
		},
		{
			section: "3 HTTP message mapping",
			rule:    "else binary",
			read:    append(minimalLines, "Content-Type: application/cloud"),
			body:    "x",
			expect:  hasData("x"),
		},
		{
			section: "3.1.1 HTTP Content-Type",
			rule:    "is datacontenttype",
			write:   with(`"datacontenttype":"text/xml","data":"<a/>"`),
			lines:   []string{"Content-Type: text/xml", "!Ce-Datacontenttype"},
			content: "<a/>",
		},
		{
			section: "3.1.1 HTTP Content-Type",
			rule:    "is absent where datacontenttype is",
			write:   with(`"data_base64":"AA=="`),
			lines:   []string{"!Content-Type"},
			content: "\x00",
		},
		{
			section: "3.1.1 HTTP Content-Type",
			rule:    "ce-datacontenttype must not be there",
			read:    append(minimalLines, "ce-datacontenttype: text/xml"),
			expect:  invalid("datacontenttype"),
		},
		{
			section: "3.1.2 Event Data Encoding",
			rule:    "the data is placed as it is",
			write:   with(`"data":{"b":1 ,"a":1.0}`),
			content: `{"b":1 ,"a":1.0}`,
		},
		{
			section: "3.1.3 Metadata Headers",
			rule:    "every attribute but datacontenttype is a header",
			write:   with(`"subject":"s","foo":true,"n":-1`),
			lines: []string{
				"Ce-Specversion: 1.0",
				"Ce-Id: 1",
				"Ce-Source: /s",
				"Ce-Type: t",
				"Ce-Subject: s",
				"Ce-Foo: true",
				"Ce-N: -1",
			},
		},
		{
			section: "3.1.3.1 HTTP Header Names",
			rule:    "prefixed with ce-, in any case",
			read:    []string{"CE-SPECVERSION: 1.0", "cE-iD: 1", "Ce-source: /s", "ce-Type: t", "CE-FOO: x"},
			expect:  all(has("id", "1"), has("foo", "x")),
		},
		{
			section: "3.1.3.1 HTTP Header Names",
			rule:    "a header without the prefix is not an attribute",
			read:    append(minimalLines, "subject: s", "X-Ce-Foo: x"),
			expect:  all(lacks("subject"), lacks("foo")),
		},
		{
			section: "3.1.3.2 HTTP Header Values",
			rule:    "are percent-encoded",
			write:   with(`"subject":"Euro € 100% \"q\"~!"`),
			lines:   []string{"Ce-Subject: Euro%20%E2%82%AC%20100%25%20%22q%22~!"},
		},
		{
			section: "3.1.3.2 HTTP Header Values",
			rule:    "double-quoted strings are undone first",
			read:    append(minimalLines, `ce-subject: "a \"%22"`),
			expect:  has("subject", `a ""`),
		},
		{
			section: "3.1.3.2 HTTP Header Values",
			rule:    "are decoded once",
			read:    append(minimalLines, "ce-subject: %2541"),
			expect:  has("subject", "%41"),
		},
		{
			section: "3.1.3.2 HTTP Header Values",
			rule:    "in lower-case hexadecimal, too",
			read:    append(minimalLines, "ce-subject: %e2%82%ac"),
			expect:  has("subject", "€"),
		},
		{
			section: "3.1.3.2 HTTP Header Values",
			rule:    "needlessly encoded, too",
			read:    append(minimalLines, "ce-subject: %61"),
			expect:  has("subject", "a"),
		},
		{
			section: "3.1.3.2 HTTP Header Values",
			rule:    "invalid UTF-8 is refused",
			read:    append(minimalLines, "ce-subject: %C0%A0"),
			expect:  invalid("subject"),
		},
		{
			section: "3.2.1 HTTP Content-Type",
			rule:    "is the media type of the format",
			write:   minimal,
			mode:    rawevent.Structured,
			lines:   []string{structured},
		},
		{
			section: "3.2.2 Event Data Encoding",
			rule:    "the format's representation is the body",
			write:   with(`"data":[1, 2]`),
			mode:    rawevent.Structured,
			content: with(`"datacontenttype":"application/json","data":[1, 2]`),
		},
		{
			section: "3.2.3 Metadata Headers",
			rule:    "repeat the payload at most: that counts",
			read:    append(headers(structured), "ce-id: other", "ce-foo: x"),
			body:    minimal,
			expect:  all(has("id", "1"), lacks("foo")),
		},
		{
			section: "3.3.1 HTTP Content-Type",
			rule:    "is the media type of the batch",
			write:   minimal,
			mode:    rawevent.Batched,
			lines:   []string{structuredBatch},
		},
		{
			section: "3.3.2 Event Data Encoding",
			rule:    "the batch is the body",
			write:   minimal,
			mode:    rawevent.Batched,
			content: "[" + minimal + "]",
		},
	})
}

const structuredBatch = "Content-Type: application/cloudevents-batch+json"

// TestJSONEventFormat has every MUST of the CloudEvents JSON event format 1.0.2, batches included, by section.
func TestJSONEventFormat(t *testing.T) {
	t.Parallel()
	read := func(section, rule, body string, expect expectation) must {
		return must{
			section: section,
			rule:    rule,
			read:    []string{"Content-Type: application/cloudevents+json"},
			body:    body,
			expect:  expect,
		}
	}
	write := func(section, rule, event, content string) must {
		return must{section: section, rule: rule, write: event, mode: rawevent.Structured, content: content}
	}
	runMusts(t, []must{
		read("2 Attributes", "extensions are top-level members", with(`"foo":"x"`), has("foo", "x")),
		read("2.2 Type System Mapping", "Boolean is boolean", with(`"foo":false`), has("foo", "false")),
		read(
			"2.2 Type System Mapping",
			"Integer is number, its integer component only",
			with(`"foo":1.5`),
			invalid("foo"),
		),
		read("2.2 Type System Mapping", "String is string", with(`"subject":5`), invalid("subject")),
		read("2.2 Type System Mapping", "Binary is a string in base64", with(`"foo":"AP8="`), has("foo", "AP8=")),
		read("2.2 Type System Mapping", "URI is a string", with(`"dataschema":"urn:x"`), has("dataschema", "urn:x")),
		read(
			"2.2 Type System Mapping",
			"Timestamp is a string",
			with(`"time":"2020-01-02T03:04:05Z"`),
			has("time", "2020-01-02T03:04:05Z"),
		),
		read(
			"2.2 Type System Mapping",
			"null is absent",
			with(`"foo":null,"subject":null`),
			all(lacks("foo"), lacks("subject")),
		),
		read("3 Envelope", "required attributes are members", without("source", ""), invalid("source")),
		write(
			"3 Envelope",
			"every present attribute is a member",
			with(`"subject":"s","foo":"x"`),
			with(`"subject":"s","foo":"x"`),
		),
		write(
			"3.1.1 Payload Serialization",
			"Binary is data_base64, without a type",
			with(`"data_base64":"AP8="`),
			with(`"data_base64":"AP8="`),
		),
		write(
			"3.1.1 Payload Serialization",
			"JSON is a JSON value",
			with(`"datacontenttype":"application/vnd.x+json; a=b","data":{"a":1}`),
			with(`"datacontenttype":"application/vnd.x+json; a=b","data":{"a":1}`),
		),
		write(
			"3.1.1 Payload Serialization",
			"text is a string",
			with(`"datacontenttype":"text/xml","data":"<a/>"`),
			with(`"datacontenttype":"text/xml","data":"<a/>"`),
		),
		read(
			"3.1.1 Payload Serialization",
			"data and data_base64 are mutually exclusive",
			with(`"data":1,"data_base64":"AA=="`),
			invalid("data_base64"),
		),
		read(
			"3.1.2 Payload Deserialization",
			"data_base64 is decoded",
			with(`"data_base64":"AP8="`),
			all(hasData("\x00\xff"), lacks("datacontenttype")),
		),
		read(
			"3.1.2 Payload Deserialization",
			"a JSON string stays one",
			with(`"datacontenttype":"application/json","data":"{\"a\":1}"`),
			hasData(`"{\"a\":1}"`),
		),
		read(
			"3.1.2 Payload Deserialization",
			"without a type it is JSON",
			with(`"data":"hi"`),
			all(hasData(`"hi"`), has("datacontenttype", "application/json")),
		),
		read("3.1.2 Payload Deserialization", "null is a payload", with(`"data":null`), hasData("null")),
		read(
			"3.1.2 Payload Deserialization",
			"other types are strings",
			with(`"datacontenttype":"text/plain","data":1`),
			invalid("data"),
		),
		{
			section: "4.1 Mapping CloudEvents",
			rule:    "a batch is an array of events",
			write:   minimal,
			mode:    rawevent.Batched,
			content: "[" + minimal + "]",
		},
		{
			section: "4.2 Envelope",
			rule:    "and has a media type of its own",
			write:   minimal,
			mode:    rawevent.Batched,
			lines:   []string{structuredBatch},
		},
	})
}

func runMusts(t *testing.T, musts []must) {
	t.Helper()
	server := newServer(t)
	for _, m := range musts {
		t.Run(m.section+"/"+m.rule, func(t *testing.T) {
			t.Parallel()
			if m.read == nil {
				m.checkWritten(t)
				return
			}
			status, e, err := overSocket(t, server, "POST / HTTP/1.1", m.read, m.body)
			if status != http.StatusAccepted {
				t.Fatalf("net/http answers %d", status)
			}
			m.expect(t, e, err)
		})
	}
}

func (m *must) checkWritten(t *testing.T) {
	t.Helper()
	e, err := rawevent.FromJSON([]byte(m.write))
	accepted(t, &e, err)
	header, body := http.Header{}, e.Data
	switch m.mode {
	case rawevent.Structured:
		header.Set("Content-Type", rawevent.MediaTypeJSON)
		body = e.AppendJSON(nil)
	case rawevent.Batched:
		header.Set("Content-Type", rawevent.MediaTypeBatch)
		body = rawevent.AppendBatch(nil, []rawevent.Event{e})
	default:
		e.WriteHTTP(header)
	}
	for _, line := range m.lines {
		name, value, _ := strings.Cut(line, ": ")
		if absent, ok := strings.CutPrefix(name, "!"); ok {
			if header[absent] != nil {
				t.Errorf("there is a header %s: %q", absent, header[absent])
			}
		} else if header.Get(name) != value {
			t.Errorf("%s is %q, want %q", name, header.Get(name), value)
		}
	}
	if m.content != "" && string(body) != m.content {
		t.Errorf("the body is %s, want %s", body, m.content)
	}
}
