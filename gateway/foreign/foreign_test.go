package foreign_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/streamgate/streamgate/gateway/foreign"
)

// packed compresses a text.
func packed(t testing.TB, coding, text string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	default:
		w, _ = flate.NewWriter(&b, flate.BestSpeed)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadJSON(t *testing.T) {
	t.Parallel()
	null := foreign.Options{NonFinite: foreign.NullNonFinite}
	of := func(contentType, contentEncoding string) foreign.Options {
		return foreign.Options{ContentType: contentType, ContentEncoding: contentEncoding}
	}
	zipped := packed(t, "gzip", `{"a":"é"}`)
	for name, c := range map[string]struct {
		text    string
		options foreign.Options
		want    string
		numbers int
	}{
		"plain":                        {`{"a":1}`, foreign.Options{}, `{"a":1}`, 0},
		"a byte order mark":            {"\xef\xbb\xbf{\"a\":1}\r\n", foreign.Options{}, "{\"a\":1}\r\n", 0},
		"UTF-16":                       {"\xff\xfe{\x00}\x00", foreign.Options{}, `{}`, 0},
		"UTF-16 by its charset":        {"\x00[\x00]", of("application/json; charset=UTF-16", ""), `[]`, 0},
		"ISO-8859-1":                   {"\"caf\xe9\"", of("application/json;charset=iso-8859-1", ""), `"café"`, 0},
		"windows-1252":                 {"\"\x80\"", of("text/plain; charset=windows-1252", ""), `"€"`, 0},
		"UTF-8 labelled as ISO-8859-1": {`"é"`, of("application/json; charset=ISO-8859-1", ""), `"é"`, 0},
		"gzip":                         {zipped, of("", "gzip"), `{"a":"é"}`, 0},
		"gzip, the old name":           {zipped, of("", "X-GZIP"), `{"a":"é"}`, 0},
		"gzip that does not say so":    {zipped, of("application/json", ""), `{"a":"é"}`, 0},
		"gzip twice":                   {packed(t, "gzip", zipped), of("", "gzip, gzip"), `{"a":"é"}`, 0},
		"gzip twice, said once":        {packed(t, "gzip", zipped), of("", "gzip"), `{"a":"é"}`, 0},
		"gzip of deflate":              {packed(t, "gzip", packed(t, "zlib", "[]")), of("", "deflate, gzip"), `[]`, 0},
		"gzip members":                 {packed(t, "gzip", "[1,") + packed(t, "gzip", "2]"), of("", "gzip"), `[1,2]`, 0},
		"deflate":                      {packed(t, "zlib", `[1]`), of("", "deflate"), `[1]`, 0},
		"deflate without its header":   {packed(t, "flate", `[1]`), of("", "deflate"), `[1]`, 0},
		"identity":                     {`[1]`, of("", "identity"), `[1]`, 0},
		"gzip of ISO-8859-1":           {packed(t, "gzip", "\"\xe9\""), of("application/json; charset=latin1", "gzip"), `"é"`, 0},
		"NaN":                          {`{"a":NaN}`, null, `{"a":null}`, 1},
		"every spelling": {
			`[NaN,nan, -NaN ,Infinity,-Infinity,+Infinity,inf,-Inf]`, null, `[null,null, null ,null,null,null,null,null]`, 8,
		},
		"NaN alone":                {" NaN ", null, " null ", 1},
		"NaN in a string":          {`{"NaN":"NaN, [Infinity","b\"NaN":NaN}`, null, `{"NaN":"NaN, [Infinity","b\"NaN":null}`, 1},
		"a backslash at its end":   {`["\\",NaN,"\\\"NaN"]`, null, `["\\",null,"\\\"NaN"]`, 1},
		"NaN in UTF-16":            {"\xff\xfe[\x00N\x00a\x00N\x00]\x00", null, `[null]`, 1},
		"null, true and numbers":   {`[null,true,-1.5e+3,false]`, null, `[null,true,-1.5e+3,false]`, 0},
		"a number with 100 digits": {strings.Repeat("1", 100), null, strings.Repeat("1", 100), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text))} {
				got, err := foreign.ReadJSON(r, c.options)
				if err != nil {
					t.Fatal(err)
				}
				if string(got.Bytes) != c.want || got.NonFinite != c.numbers {
					t.Errorf("%q, %d numbers; want %q, %d", got.Bytes, got.NonFinite, c.want, c.numbers)
				}
			}
		})
	}
}

func TestReadJSONRefuses(t *testing.T) {
	t.Parallel()
	zipped := packed(t, "gzip", strings.Repeat("[]", 100))
	for name, c := range map[string]struct {
		text    string
		options foreign.Options
		reason  foreign.Reason
		want    string
	}{
		"not UTF-8": {
			"\"caf\xe9\"", foreign.Options{}, foreign.Damaged,
			"the text is not valid UTF-8: byte 0xE9 at offset 4; send UTF-8, or name the charset in Content-Type",
		},
		"UTF-32": {"\x00\x00\xfe\xff", foreign.Options{}, foreign.Unsupported, `the charset "utf-32" is not supported`},
		"an unknown charset": {
			"[]", foreign.Options{ContentType: "application/json; charset=shift_jis"}, foreign.Unsupported,
			`the charset "shift_jis" is not supported; supported are utf-8, us-ascii, utf-16, iso-8859-1 and windows-1252`,
		},
		"another compression": {
			"x", foreign.Options{ContentEncoding: "br"}, foreign.Unsupported,
			"the content is compressed with br; supported are gzip and deflate",
		},
		"four layers":   {"x", foreign.Options{ContentEncoding: "gzip,gzip,gzip,gzip"}, foreign.Unsupported, "more than 3 times"},
		"not gzip":      {"[]", foreign.Options{ContentEncoding: "gzip"}, foreign.Damaged, "the content is not gzip data"},
		"gzip cut off":  {zipped[:len(zipped)-9], foreign.Options{ContentEncoding: "gzip"}, foreign.Damaged, "the gzip content is cut off"},
		"gzip header":   {"\x1f\x8b\x00", foreign.Options{}, foreign.Damaged, "the gzip content is"},
		"gzip checksum": {zipped[:len(zipped)-8] + "12345678", foreign.Options{}, foreign.Damaged, "the gzip content is damaged"},
		"not deflate":   {"\xff\xff", foreign.Options{ContentEncoding: "deflate"}, foreign.Damaged, "the deflate content is damaged"},
		"too large":     {"[1,2,3]", foreign.Options{Limit: 6}, foreign.TooLarge, "the content is larger than 6 bytes"},
		"too large, unpacked": {
			packed(t, "gzip", strings.Repeat(" ", 1<<20)), foreign.Options{Limit: 1 << 16}, foreign.TooLarge, "larger than 65536 bytes",
		},
		"too large in UTF-8": {
			"\"\xe9\xe9\"", foreign.Options{Limit: 5, ContentType: "a/b; charset=latin1"}, foreign.TooLarge, "larger than 5 bytes",
		},
		"nothing but members": {
			strings.Repeat(packed(t, "gzip", ""), 10_000), foreign.Options{Limit: 1000}, foreign.TooLarge, "larger than 1000 bytes",
		},
		"NaN": {
			"{\n  \"é\": [NaN]}", foreign.Options{}, foreign.Damaged,
			"the content is not valid JSON: NaN at line 2, column 9; JSON has no such number",
		},
		"NaN as a name": {
			"{NaN:1}", foreign.Options{NonFinite: foreign.NullNonFinite}, foreign.Damaged, "unexpected 'N' at line 1, column 2",
		},
		"HTML": {
			" <!DOCTYPE html><html><head><TITLE lang=de>Sign\n in &amp; go</TITLE>", foreign.Options{}, foreign.Damaged,
			`the content is not JSON, but an HTML page with the title "Sign in & go"`,
		},
		"HTML without a title": {"<html>", foreign.Options{}, foreign.Damaged, "but an HTML page"},
		"XML":                  {"<?xml version='1.0'?><a/>", foreign.Options{}, foreign.Damaged, "but an XML document"},
		"empty":                {" \r\n", foreign.Options{}, foreign.Damaged, "the content is not JSON, but empty"},
		"text":                 {"upstream\tconnect error\x01", foreign.Options{}, foreign.Damaged, `but text that begins with "upstream connect error?"`},
		"binary":               {"abc\x00", foreign.Options{}, foreign.Damaged, "but binary data"},
		"YAML":                 {"---\na: 1", foreign.Options{}, foreign.Damaged, "but YAML"},
		"cut off":              {"{\"a\":\n[1,", foreign.Options{}, foreign.Damaged, "it ends too early, at line 2, column 4"},
		"cut off in a word":    {"[tru", foreign.Options{}, foreign.Damaged, "it ends too early"},
		"a second value":       {"{} {}", foreign.Options{}, foreign.Damaged, "unexpected '{' at line 1, column 4"},
		"a comma":              {"[1,]", foreign.Options{}, foreign.Damaged, "unexpected ']' at line 1, column 4"},
		"a comment":            {"{} // x", foreign.Options{}, foreign.Damaged, "unexpected '/' at line 1, column 4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := foreign.ReadJSON(strings.NewReader(c.text), c.options)
			var found *foreign.Error
			if text != nil || !errors.As(err, &found) {
				t.Fatalf("%v, %v", text, err)
			}
			if found.Reason != c.reason || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "looking for") {
				t.Errorf("%d: %v; want %d: %s", found.Reason, err, c.reason, c.want)
			}
		})
	}
}

func TestReadKeepsErrorsOfTheConnection(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	for name, r := range map[string]io.Reader{
		"at once": iotest.ErrReader(broken),
		"later":   io.MultiReader(strings.NewReader("[1,2"), iotest.ErrReader(broken)),
		"gzip":    io.MultiReader(strings.NewReader(packed(t, "gzip", "[]")[:12]), iotest.ErrReader(broken)),
	} {
		_, err := foreign.Read(r, foreign.Options{})
		var found *foreign.Error
		if !errors.Is(err, broken) || errors.As(err, &found) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForResponse(t *testing.T) {
	t.Parallel()
	header := http.Header{
		"Content-Type": {"application/geo+json; charset=latin1"}, "Content-Encoding": {"gzip", "identity"},
	}
	text, err := foreign.Read(strings.NewReader(packed(t, "gzip", "\"\xe9\"")), foreign.ForResponse(header, 1000))
	if err != nil {
		t.Fatal(err)
	}
	if string(text.Bytes) != `"é"` || text.Charset != "iso-8859-1" || len(text.Encodings) != 1 {
		t.Errorf("%+v", text)
	}
}

func TestReadSecret(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"s3cret": "s3cret", "s3cret\n": "s3cret", " s3cret\r\n": "s3cret", "\xef\xbb\xbfs3cret": "s3cret", "pass word": "pass word",
		"\xff\xfes\x003\x00\r\x00\n\x00": "s3", "é": "é",
	} {
		if got, err := foreign.ReadSecret(strings.NewReader(text)); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"": "empty", "\n": "empty", "\xef\xbb\xbf": "empty", "a\nb": "more than one line", "ab\x00": "control character",
		"caf\xe9": "not text in UTF-8", strings.Repeat("x", foreign.MaxSecret+1): "larger than 65536 bytes",
	} {
		got, err := foreign.ReadSecret(strings.NewReader(text))
		if got != "" || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %q, %v", text, got, err)
		}
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line    string
		isFirst bool
		want    string
		refused string
	}{
		{"{}\r\n", false, "{}", ""},
		{"\xef\xbb\xbf{}\n", true, "{}", ""},
		{"\xef\xbb\xbf{}", false, "\xef\xbb\xbf{}", ""},
		{"", true, "", ""},
		{"{\x00}\x00\n", true, "", "the file is UTF-16"},
		{"\xff\xfe{\x00}\x00\n", true, "", "the file is UTF-16"},
		{"\x00{\x00}\x00\n", false, "", "zero bytes"},
		{"caf\xe9", false, "", "not valid UTF-8"},
	} {
		got, err := foreign.Line([]byte(c.line), c.isFirst)
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%q: %q, %v", c.line, got, err)
			}
		} else if err != nil || string(got) != c.want {
			t.Errorf("%q: %q, %v", c.line, got, err)
		}
	}
}

func FuzzReadJSON(f *testing.F) {
	f.Add([]byte(`{"a":NaN}`), "application/json", "")
	f.Add([]byte("\xef\xbb\xbf[]"), "", "identity")
	f.Add([]byte("\"\xe9\""), "a/json;charset=latin1", "")
	f.Add([]byte("\xff\xfe[\x00]\x00"), "", "")
	f.Add([]byte(packed(f, "gzip", "[1]")), "", "gzip")
	f.Add([]byte(packed(f, "zlib", "[1]")), "", "deflate")
	f.Add([]byte("<html><title>x"), "text/html", "")
	const limit = 1 << 12
	f.Fuzz(func(t *testing.T, raw []byte, contentType, contentEncoding string) {
		o := foreign.Options{
			ContentType: contentType, ContentEncoding: contentEncoding, Limit: limit, NonFinite: foreign.NullNonFinite,
		}
		text, err := foreign.ReadJSON(bytes.NewReader(raw), o)
		inPieces, pieceErr := foreign.ReadJSON(iotest.OneByteReader(bytes.NewReader(raw)), o)
		if err != nil {
			var found *foreign.Error
			if !errors.As(err, &found) || !utf8.ValidString(found.Text) || len(found.Text) > 400 || pieceErr == nil {
				t.Fatalf("%v; in pieces %v", err, pieceErr)
			}
			return
		}
		if pieceErr != nil || !bytes.Equal(text.Bytes, inPieces.Bytes) || text.NonFinite != inPieces.NonFinite {
			t.Fatalf("%q, in pieces %q, %v", text.Bytes, inPieces.Bytes, pieceErr)
		}
		if !json.Valid(text.Bytes) || !utf8.Valid(text.Bytes) || len(text.Bytes) > limit {
			t.Fatalf("%q is not JSON in UTF-8 within the limit", text.Bytes)
		}
		if json.Valid(raw) && utf8.Valid(raw) && contentEncoding == "" && !bytes.Equal(text.Bytes, raw) {
			t.Fatalf("valid JSON is changed: %q", text.Bytes)
		}
	})
}

func BenchmarkReadJSON(b *testing.B) {
	text := `{"features":[` + strings.Repeat(`{"id":"scene","bbox":[1.5,2,3,4],"note":"é"},`, 20_000) + `{}]}`
	for name, o := range map[string]foreign.Options{
		"plain": {}, "numbers": {NonFinite: foreign.NullNonFinite}, "latin1": {ContentType: "a/json; charset=latin1"},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := foreign.ReadJSON(strings.NewReader(text), o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
