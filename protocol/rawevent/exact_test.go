package rawevent_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// TestAttributesAreExact sends values that other models rewrite through both encodings and back.
func TestAttributesAreExact(t *testing.T) {
	t.Parallel()
	for name, values := range map[string][]string{
		"source": {
			"HTTP://EX.com/x", "http://ex.com/a?#", "http://ex.com/a?", "http://ex.com/a#", "http://ex.com:80/", "http://ex.com/a/../b/./c", "http://ex.com/%7ea%7E%2f",
			"//ex.com", "a//b", "?", "#", "/a;b=c,d", "HTTP:", "URN:ISBN:0451450523",
		},
		"dataschema": {"HTTP://EX.com/x?", "http://ex.com", "URN:Example:a%2Fb"},
		"time": {
			"2020-01-02T03:04:05+05:30", "2020-01-02T03:04:05-00:00", "2020-01-02T03:04:05+00:00", "2020-01-02T03:04:05.0Z", "2020-01-02T03:04:05.100Z",
			"2020-01-02T03:04:05.0123456789Z", "2016-12-31T23:59:60Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999999-23:59",
		},
		"id":      {" ", " a ", "%20", "%", "\"quoted\"", "é", "e\u0301", "\u00a0", "\ufeff", "😀", "\\", "null", "1e2", "007"},
		"subject": {"a/b\\c", "\"", "<&>\u2028", "%E2%82%AC", "\ufffd", "a,b;c=d"},
		"foo":     {"", "TRUE", "true", "1.5", "-0", "9007199254740993", "AA==", " "},
	} {
		for _, value := range values {
			t.Run(name+" "+value, func(t *testing.T) {
				t.Parallel()
				e := rawevent.New("1", "/s", "t")
				e.Set(name, value)
				if err := e.Validate(); err != nil {
					t.Fatal(err)
				}
				got, err := rawevent.FromJSON(e.AppendJSON(nil))
				has(name, value)(t, &got, err)
				header := http.Header{}
				e.WriteHTTP(header)
				got, err = rawevent.FromHTTP(header, nil)
				has(name, value)(t, &got, err)
			})
		}
	}
}

// TestTimeLetters: the one change that is made, to the letters T and Z.
func TestTimeLetters(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"2020-01-02t03:04:05z":        "2020-01-02T03:04:05Z",
		"2020-01-02T03:04:05.120z":    "2020-01-02T03:04:05.120Z",
		"2020-01-02t03:04:05.5+05:30": "2020-01-02T03:04:05.5+05:30",
	} {
		e, err := rawevent.FromJSON([]byte(with(`"time":"` + value + `"`)))
		has("time", want)(t, &e, err)
	}
}

// TestJSONDataIsExact: data that is JSON goes in and out byte for byte, alone and in a batch.
func TestJSONDataIsExact(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		`{"a":1,"a":2,"a":1}`,
		"{ \"a\" :\t1 ,\r\n \"b\":[ ] , \"c\" : { } }",
		`123456789012345678901234567890.1234567890e+0400`, `1E400`, `-0`, `-0.0`, `1.0`, `0.10`, `9007199254740993`,
		`"\u00e9\/\ud83d\ude00"`, `"é😀<>&"`, "\"\u2028\u007f\"", `"\ud800"`, `"\u0000"`,
		`null`, `true`, `false`, `""`, `[]`, `{}`, `[[],[{}]," [ ] { } , \\\" "]`,
		`{"specversion":"9","id":"inner","data":{"data":1}}`,
	} {
		for _, surrounded := range []string{data, " " + data + "\n"} {
			input := with(`"data":` + surrounded + `,"foo":"x"`)
			e, err := rawevent.FromJSON([]byte(input))
			all(hasData(data), has("foo", "x"), has("id", "1"))(t, &e, err)

			written := e.AppendJSON(nil)
			if !strings.HasSuffix(string(written), `,"data":`+data+`}`) {
				t.Errorf("%s is written as %s", data, written)
			}
			events, err := rawevent.BatchFromJSON(rawevent.AppendBatch(nil, []rawevent.Event{e, e}))
			if err != nil {
				t.Fatalf("%s: %v", data, err)
			}
			if diff := cmp.Diff([]rawevent.Event{e, e}, events); diff != "" {
				t.Errorf("%s in a batch:\n%s", data, diff)
			}
		}
	}
}

// TestJSONBodyIsExact: a body in binary mode is not looked into, white space around JSON included. In JSON itself that
// white space is no part of the value, and goes.
func TestJSONBodyIsExact(t *testing.T) {
	t.Parallel()
	const body = "\t{\"a\": 1}\r\n"
	e, err := rawevent.FromHTTP(
		headerOf(append(httpRow{}.headerLines(), "Content-Type: application/json")),
		[]byte(body),
	)
	hasData(body)(t, &e, err)
	if got := string(e.AppendJSON(nil)); got != with(`"datacontenttype":"application/json","data":`+body) {
		t.Errorf("written as %q", got)
	}
	e, err = rawevent.FromJSON(e.AppendJSON(nil))
	hasData(`{"a": 1}`)(t, &e, err)
}

// TestBinaryDataIsExact has data of every byte and of every length modulo three.
func TestBinaryDataIsExact(t *testing.T) {
	t.Parallel()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, data := range [][]byte{every, every[:255], every[:254], every[128:], {0}, {0xff, 0xfe}, {}, []byte("\r\n\r\n"), []byte("\ufeff")} {
		for _, mediaType := range []string{"application/octet-stream", "application/json", "text/plain", "application/xml", "image/png", ""} {
			e := rawevent.New("1", "/s", "t")
			e.DataContentType, e.Data = mediaType, data
			got, err := rawevent.FromJSON(e.AppendJSON(nil))
			accepted(t, &got, err)
			if diff := cmp.Diff(e, got); diff != "" {
				t.Errorf("%q through JSON:\n%s", mediaType, diff)
			}
			header := http.Header{}
			e.WriteHTTP(header)
			got, err = rawevent.FromHTTP(header, data)
			accepted(t, &got, err)
			if len(data) > 0 {
				hasData(string(data))(t, &got, err)
			} else {
				noData(t, &got, err)
			}
		}
	}
}

// TestLargeNumbersInBatch: no number of a neighbour or of the data is ever read as one.
func TestLargeNumbersInBatch(t *testing.T) {
	t.Parallel()
	const number = "-1234567890123456789012345678901234567890"
	events, err := rawevent.BatchFromJSON(
		[]byte("[" + with(`"data":`+number) + "," + with(`"data":[`+number+`]`) + "]"),
	)
	if err != nil {
		t.Fatal(err)
	}
	if string(events[0].Data) != number || string(events[1].Data) != "["+number+"]" {
		t.Errorf("read as %s and %s", events[0].Data, events[1].Data)
	}
}
