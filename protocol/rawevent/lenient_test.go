package rawevent_test

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// lenientRow is an input that only a lenient reader takes, and the event that it makes of it, in JSON; "" where it is
// refused as well.
type lenientRow struct {
	name   string
	input  string
	want   string
	mended string // names, with commas; a minus before what is left out
}

func TestLenientJSON(t *testing.T) {
	t.Parallel()
	for _, row := range []lenientRow{
		{"upper case", without("id", `"ID":"1"`), minimal, "id"},
		{"mixed case", with(`"FooBar":"x","foo_baz":"y"`), with(`"foobar":"x","foobaz":"y"`), "foobar,foobaz"},
		{"two names become one", with(`"foo":"x","FOO":"y"`), "", ""},
		{"a name of the data", with(`"Data":1`), "", ""},
		{"datacontenttype in mixed case", with(`"dataContentType":"text/plain","data":"x"`), with(`"datacontenttype":"text/plain","data":"x"`), "datacontenttype"},
		{"empty attributes", with(`"subject":"","time":"","dataschema":"","datacontenttype":""`), minimal, "datacontenttype,dataschema,subject,time"},
		{"an empty id", without("id", `"id":""`), "", ""},
		{"no specversion", without("specversion", ""), minimal, "specversion"},
		{"specversion a number", without("specversion", `"specversion":1.0`), minimal, "specversion"},
		{"specversion 1", without("specversion", `"specversion":1`), minimal, "specversion"},
		{"specversion 1.1", without("specversion", `"specversion":"1.1"`), "", ""},
		{"version 0.3", without("specversion", `"specversion":"0.3","schemaurl":"http://ex.com/s","datacontenttype":"image/png","datacontentencoding":"Base64","data":"AP8="`),
			with(`"dataschema":"http://ex.com/s","datacontenttype":"image/png","data_base64":"AP8="`), "data,specversion"},
		{"version 0.3, JSON in base64", without("specversion", `"specversion":"0.3","datacontenttype":"application/json","datacontentencoding":"base64","data":"eyJhIjoxfQ=="`),
			with(`"datacontenttype":"application/json","data":{"a":1}`), "data,specversion"},
		{"id a number", without("id", `"id":1`), minimal, "id"},
		{"numbers", with(`"foo":1.5,"goo":2147483648`), with(`"foo":"1.5","goo":"2147483648"`), "foo,goo"},
		{"an object", with("\"foo\":{ \"a\" :\n[1]}"), with(`"foo":"{\"a\":[1]}"`), "foo"},
		{"source with spaces", without("source", `"source":"/a b/ü%zz"`), without("source", `"source":"/a%20b/%C3%BC%25zz"`), "source"},
		{"source that is not a URI-reference", without("source", `"source":"1-555:x"`), "", ""},
		{"dataschema that is relative", with(`"dataschema":"/rel"`), minimal, "-dataschema"},
		{"dataschema that is a fragment", with(`"dataschema":"#"`), minimal, "-dataschema"},
		{"dataschema with a fragment", with(`"dataschema":"http://ex.com/s#a"`), minimal, "-dataschema"},
		{"dataschema with an empty fragment", with(`"dataschema":"http://ex.com/s#"`), with(`"dataschema":"http://ex.com/s"`), "dataschema"},
		{"dataschema that is an object", with(`"dataschema":{"a":1}`), minimal, "-dataschema"},
		{"control characters", with(`"subject":"a\tb\u0001c\ufffe"`), with("\"subject\":\"a b\ufffdc\ufffd\""), "subject"},
		{"control characters in the id", without("id", `"id":"a\u0001"`), "", ""},
		{"control characters in the source", without("source", `"source":"/a\u0001"`), without("source", `"source":"/a%01"`), "source"},
		{"a lone surrogate", with(`"subject":"\udead"`), with("\"subject\":\"\ufffd\""), "subject"},
		{"a lone surrogate in the id", without("id", `"id":"\udead"`), "", ""},
		{"a lone surrogate in the source", without("source", `"source":"/\udead"`), "", ""},
		{"time with a space", with(`"time":"2020-01-02 3:04:05,5 UTC"`), with(`"time":"2020-01-02T03:04:05.5Z"`), "time"},
		{"time with an offset", with(`"time":"2020-01-02T03:04:05+0530"`), with(`"time":"2020-01-02T03:04:05+05:30"`), "time"},
		{"time without a zone", with(`"time":"2020-01-02T03:04:05"`), minimal, "-time"},
		{"time in milliseconds", with(`"time":1577934245000`), minimal, "-time"},
		{"time of another calendar", with(`"time":"2020-13-02 03:04:05Z"`), minimal, "-time"},
		{"null beside another spelling", with(`"fooBar":"x","foobar":null`), with(`"foobar":"x"`), "foobar"},
		{"null before another spelling", with(`"foobar":null,"fooBar":"x"`), with(`"foobar":"x"`), "foobar"},
		{"null in another spelling", with(`"foobar":"x","fooBar":null,"foo-bar":null`), with(`"foobar":"x"`), "foobar"},
		{"null in all spellings", with(`"foobar":null,"fooBar":null`), minimal, "foobar"},
		{"null and the same name", with(`"foo":null,"foo":"x"`), with(`"foo":"x"`), "foo"},
		{"null beside the id", with(`"id":null,"ID":null`), minimal, "id"},
		{"null media type beside another spelling", with(`"datacontenttype":null,"dataContentType":"text/xml","data":"x"`), with(`"datacontenttype":"text/xml","data":"x"`), "datacontenttype"},
		{"null data beside data_base64", with(`"data":null,"data_base64":"AA=="`), with(`"data_base64":"AA=="`), "data"},
		{"an extension with another name", with(`"foo.bar":1,"größe":"x","a,b\r\n":true`), minimal, "-a?b??,-foo.bar,-gr??e"},
		{"an extension with a long name", with(`"` + strings.Repeat("a", 65) + `":1`), minimal, "-" + strings.Repeat("a", 64)},
		{"a media type without its first half", with(`"datacontenttype":"JSON","data":[1]`), with(`"datacontenttype":"application/json","data":[1]`), "datacontenttype"},
		{"a media type with wrong parameters", with(`"datacontenttype":"text/xml; charset","data":"x"`), with(`"datacontenttype":"text/xml","data":"x"`), "datacontenttype"},
		{"a media type that is none", with(`"datacontenttype":"thing","data":"x"`), with(`"datacontenttype":"application/json","data":"x"`), "-datacontenttype"},
		{"a media type that is an object", with(`"datacontenttype":{},"data":[]`), with(`"datacontenttype":"application/json","data":[]`), "-datacontenttype"},
		{"version 1.0.2", without("specversion", `"specversion":"1.0.2"`), minimal, "specversion"},
		{"version v1", without("specversion", `"specversion":"v1"`), minimal, "specversion"},
		{"version 1.0.", without("specversion", `"specversion":"1.0."`), "", ""},
		{"version 10", without("specversion", `"specversion":"10"`), "", ""},
		{"version 0.1", `{"cloudEventsVersion":"0.1","eventID":"1","source":"/s","eventType":"t","contentType":"text/xml","schemaURL":null,"data":"<a/>"}`, with(`"datacontenttype":"text/xml","data":"<a/>"`), "cloudeventsversion,contenttype,eventid,eventtype,schemaurl,specversion"},
		{"version 0.2", without("specversion", `"specversion":"0.2","schemaurl":"http://ex.com/s","contenttype":"text/xml","data":"<a/>"`), with(`"dataschema":"http://ex.com/s","datacontenttype":"text/xml","data":"<a/>"`), "specversion"},
		{"data that is not a string", with(`"datacontenttype":"text/plain","data":{"a":1}`), with(`"datacontenttype":"text/plain","data":"{\"a\":1}"`), "data"},
		{"data that is null", with(`"datacontenttype":"text/plain","data":null`), "", ""},
		{"base64 without padding", with(`"data_base64":"AP8"`), with(`"data_base64":"AP8="`), "data"},
		{"base64 for URLs, in lines", with(`"data_base64":"_-\r\n8"`), with(`"data_base64":"/+8="`), "data"},
		{"invalid base64", with(`"data_base64":"A"`), "", ""},
		{"base64 that is a number", with(`"data_base64":12`), "", ""},
		{"data twice", with(`"data":1,"data_base64":"AA=="`), "", ""},
		{"id twice", with(`"id":"1"`), "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if _, err := rawevent.FromJSON([]byte(row.input)); err == nil {
				t.Error("a strict reader takes it, too")
			}
			var l rawevent.Lenient
			e, err := l.FromHTTP(http.Header{"Content-Type": {rawevent.MediaTypeJSON}}, []byte(row.input))
			row.check(t, &e, err, &l)
			var inBatch rawevent.Lenient
			events, err := inBatch.BatchFromHTTP(
				http.Header{"Content-Type": {rawevent.MediaTypeBatch}},
				[]byte("["+row.input+"]"),
			)
			if len(events) == 1 {
				e = events[0]
			}
			row.check(t, &e, err, &inBatch)
		})
	}
}

// TestLenientCharset: a lenient reader takes JSON in other charsets and says so; a strict one says what is wrong.
func TestLenientCharset(t *testing.T) {
	t.Parallel()
	event := func(subject string) string { return with(`"subject":"` + subject + `"`) }
	wide := func(order binary.AppendByteOrder, text string) string {
		var b []byte
		for _, unit := range utf16.Encode([]rune(text)) {
			b = order.AppendUint16(b, unit)
		}
		return string(b)
	}
	for name, c := range map[string]struct {
		charset, body, want string // want is the subject, "" where it is refused
		mended              string
		strict              string // a part of the reason
	}{
		"byte order mark":   {"", "\ufeff" + event("é"), "é", "byte-order-mark", "starts with a byte order mark"},
		"UTF-16, a mark":    {"", wide(binary.LittleEndian, "\ufeff"+event("é😀")), "é😀", "byte-order-mark,content-type", "is UTF-16LE"},
		"UTF-16, a charset": {"utf-16", wide(binary.BigEndian, event("é")), "é", "content-type", "always UTF-8"},
		"UTF-16, undeclared": {
			"", wide(binary.LittleEndian, event("é")), "é", "content-type", "is UTF-16LE",
		},
		"UTF-16, all ASCII":      {"", wide(binary.BigEndian, event("x")), "x", "content-type", "is UTF-16BE"},
		"ISO-8859-1":             {"ISO-8859-1", event("\xe9"), "é", "content-type", "always UTF-8"},
		"ISO-8859-1, but UTF-8":  {"iso-8859-1", event("é"), "é", "content-type", "always UTF-8"},
		"windows-1252":           {"\"windows-1252\"", event("\x80"), "€", "content-type", "always UTF-8"},
		"utf8":                   {"utf8", event("é"), "é", "content-type", "always UTF-8"},
		"ISO-8859-1, undeclared": {"", event("\xe9"), "", "", "not valid UTF-8: byte 0xE9 at offset"},
		"not UTF-16":             {"", "\xff\xfe{\x00}", "", "", "not valid UTF-8"},
		"another":                {"shift_jis", event("x"), "", "", "always UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			contentType := rawevent.MediaTypeJSON
			if c.charset != "" {
				contentType += "; charset=" + c.charset
			}
			header := http.Header{"Content-Type": {contentType}}
			if _, err := rawevent.FromHTTP(
				header,
				[]byte(c.body),
			); err == nil ||
				!strings.Contains(err.Error(), c.strict) {
				t.Errorf("a strict reader says %v, want %s", err, c.strict)
			}
			var l rawevent.Lenient
			e, err := l.FromHTTP(header, []byte(c.body))
			if (err != nil) != (c.want == "") || err == nil && e.Subject() != c.want {
				t.Errorf("%q, %v", e.Subject(), err)
			}
			if mended := strings.Join(l.Mended, ","); mended != c.mended {
				t.Errorf("mended %s, want %s", mended, c.mended)
			}
		})
	}
}

// TestLenientIsBounded: the lists of names do not grow with the message, and neither does the time for each name.
func TestLenientIsBounded(t *testing.T) {
	t.Parallel()
	events := make([]string, 2000)
	for i := range events {
		names := make([]string, 200)
		for j := range names {
			names[j] = fmt.Sprintf(`"a.%d.%d":1`, i, j)
		}
		events[i] = with(strings.Join(names, ","))
	}
	var l rawevent.Lenient
	got, err := l.BatchFromHTTP(
		http.Header{"Content-Type": {rawevent.MediaTypeBatch}},
		[]byte("["+strings.Join(events, ",")+"]"),
	)
	if err != nil || len(got) != len(events) || len(got[0].Attributes) != 4 {
		t.Fatal(len(got), err)
	}
	if len(l.Mended) != 64 || len(l.LeftOut) != 64 {
		t.Errorf("%d names are mended, %d left out", len(l.Mended), len(l.LeftOut))
	}
}

func (row *lenientRow) check(t *testing.T, e *rawevent.Event, err error, l *rawevent.Lenient) {
	t.Helper()
	if row.want == "" {
		if err == nil {
			t.Errorf("taken as %s", e.AppendJSON(nil))
		}
		return
	}
	want, wantErr := rawevent.FromJSON([]byte(row.want))
	if err != nil || wantErr != nil {
		t.Fatal(err, wantErr)
	}
	if got, want := string(e.AppendJSON(nil)), string(want.AppendJSON(nil)); got != want {
		t.Errorf("taken as %s\nwant     %s", got, want)
	}
	names := slices.Clone(l.Mended)
	for i, name := range names {
		if slices.Contains(l.LeftOut, name) {
			names[i] = "-" + name
		}
	}
	slices.Sort(names)
	if mended := strings.Join(names, ","); mended != row.mended {
		t.Errorf("mended %s, want %s", mended, row.mended)
	}
}

func TestLenientHeaders(t *testing.T) {
	t.Parallel()
	for _, row := range []lenientRow{
		{"dashes", "ce-foo-bar: x", with(`"foobar":"x"`), "foobar"},
		{"a header twice with one value", "ce-id: 1", minimal, "id"},
		{"a header twice", "ce-id: 2", "", ""},
		{"ce-datacontenttype", "ce-datacontenttype: text/plain", with(`"datacontenttype":"text/plain"`), "datacontenttype"},
		{"ce-datacontenttype beside Content-Type", "Content-Type: text/xml\nce-datacontenttype: text/plain", with(`"datacontenttype":"text/xml"`), "datacontenttype"},
		{"empty", "ce-subject: ", minimal, "subject"},
		{"not UTF-8", "ce-subject: caf\xe9", with("\"subject\":\"caf\ufffd\""), "subject"},
		{"TAB", "ce-subject: a\tb", with(`"subject":"a b"`), "subject"},
		{"an empty name", "ce-: x", "", ""},
		{"data", "ce-data: x", "", ""},
		{"data in base64", "ce-data_base64: x", "", ""},
		{"two media types", "Content-Type: text/xml\nContent-Type: text/plain", "", ""},
		{"a list of media types", "Content-Type: text/xml, text/xml", with(`"datacontenttype":"text/xml"`), "datacontenttype"},
		{"a media type that is none", "Content-Type: thing", minimal, "-datacontenttype"},
		{"a time that is none", "ce-time: yesterday", minimal, "-time"},
		{"a dataschema that is a fragment", "ce-dataschema: #", minimal, "-dataschema"},
		{"another character in a name", "ce-foo.bar: x", minimal, "-foo.bar"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			header := headerOf(append(httpRow{}.headerLines(), strings.Split(row.input, "\n")...))
			if _, err := rawevent.FromHTTP(header, nil); err == nil {
				t.Error("a strict reader takes it, too")
			}
			var l rawevent.Lenient
			e, err := l.FromHTTP(header, nil)
			row.check(t, &e, err, &l)
		})
	}
}

// TestLenientReadsWhatIsValidExactly: a lenient reader changes nothing of what a strict one takes.
func TestLenientReadsWhatIsValidExactly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := anEvent().Draw(t, "event")
		header := http.Header{}
		e.WriteHTTP(header)
		var l rawevent.Lenient
		if strict, err := rawevent.FromHTTP(
			header,
			e.Data,
		); err == nil { // else its data is an event, and is read for it
			lenient, err := l.FromHTTP(header, e.Data)
			if err != nil || len(l.Mended) > 0 || string(lenient.AppendJSON(nil)) != string(strict.AppendJSON(nil)) {
				t.Errorf("%v, %v", err, l.Mended)
			}
		} else if rawevent.ModeOf(
			e.DataContentType,
		) == rawevent.Binary {
			t.Fatalf("a valid event is refused: %v", err)
		}
		text := e.AppendJSON(nil)
		strict, err := rawevent.FromJSON(text)
		if err != nil {
			t.Fatal(err)
		}
		lenient, err := l.FromHTTP(http.Header{"Content-Type": {rawevent.MediaTypeJSON}}, text)
		if err != nil || len(l.Mended) > 0 || string(lenient.AppendJSON(nil)) != string(strict.AppendJSON(nil)) {
			t.Errorf("%v, %v", err, l.Mended)
		}
	})
}

// FuzzLenient: whatever comes out of a lenient reader is valid, and a strict one takes it.
func FuzzLenient(f *testing.F) {
	for _, row := range jsonRows {
		if len(row.input) < 4096 {
			f.Add([]byte(row.input))
		}
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		var l rawevent.Lenient
		e, err := l.FromHTTP(http.Header{"Content-Type": {rawevent.MediaTypeJSON}}, input)
		if err != nil {
			return
		}
		if err := e.Validate(); err != nil {
			t.Fatalf("not valid: %v", err)
		}
		if _, err := rawevent.FromJSON(e.AppendJSON(nil)); err != nil {
			t.Fatalf("a strict reader refuses it: %v", err)
		}
		if _, err := rawevent.FromJSON(input); err == nil && len(l.Mended) > 0 {
			t.Fatalf("what was valid has been mended: %v", l.Mended)
		}
	})
}
