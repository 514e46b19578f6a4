package charset_test

import (
	"bytes"
	"errors"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/streamgate/streamgate/internal/charset"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text, label string
		isJSON      bool
		want        string
		from        charset.Encoding
	}{
		"UTF-8":                             {"é", "", true, "é", charset.UTF8},
		"empty":                             {"", "utf-16", true, "", charset.UTF16BE},
		"a mark alone":                      {"\xef\xbb\xbf", "", true, "", charset.UTF8},
		"with a mark":                       {"\xef\xbb\xbf{}", "", true, "{}", charset.UTF8},
		"US-ASCII with UTF-8 in it":         {"é", "US-ASCII", false, "é", charset.UTF8},
		"UTF-16LE with a mark":              {"\xff\xfe{\x00\xac\x20", "", true, "{€", charset.UTF16LE},
		"UTF-16BE with a mark":              {"\xfe\xff\x00{\x20\xac", "", true, "{€", charset.UTF16BE},
		"UTF-16 without a mark, LE":         {"{\x00}\x00", "utf-16", true, "{}", charset.UTF16LE},
		"UTF-16 without a mark, BE":         {"\x00{\x00}", "", true, "{}", charset.UTF16BE},
		"UTF-16 without mark and zeros":     {"\x20\xac\x20\xac", "UTF-16", false, "€€", charset.UTF16BE},
		"UTF-16LE by its label":             {"\xac\x20\xac\x20", "UTF-16LE", false, "€€", charset.UTF16LE},
		"a surrogate pair":                  {"\xff\xfe\x3d\xd8\x00\xde", "", true, "😀", charset.UTF16LE},
		"the mark decides":                  {"\xef\xbb\xbfé", "iso-8859-1", false, "é", charset.UTF8},
		"ISO-8859-1":                        {"caf\xe9", "ISO-8859-1", true, "café", charset.Latin1},
		"ISO-8859-1, as windows-1252":       {"\x80\x93", `"latin1"`, true, "€“", charset.Latin1},
		"ISO-8859-1, control character":     {"\x81", "iso_8859-1", true, "\u0081", charset.Latin1},
		"windows-1252":                      {"\x80\xe9", "Windows-1252", true, "€é", charset.Windows1252},
		"JSON in UTF-8, labelled otherwise": {"é", "iso-8859-1", true, "é", charset.UTF8},
		"text labelled ISO-8859-1":          {"é", "iso-8859-1", false, "Ã©", charset.Latin1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, from, _, err := charset.Decode([]byte(c.text), c.label, c.isJSON)
			if err != nil || string(got) != c.want || from != c.from {
				t.Errorf("%q from %s, %v; want %q from %s", got, from, err, c.want, c.from)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, label, want string }{
		"not UTF-8":             {"caf\xe9", "", "the text is not valid UTF-8: byte 0xE9 at offset 3"},
		"after a mark":          {"\xef\xbb\xbfa\xff", "", "byte 0xFF at offset 4"},
		"cut inside UTF-8":      {"a\xc3", "utf-8", "byte 0xC3 at offset 1"},
		"cut inside UTF-16":     {"\xff\xfea\x00b", "", "the text is not valid UTF-16LE: byte 0x62 at offset 4"},
		"an unpaired surrogate": {"\xff\xfe\x00\xdea\x00", "", "offset 2"},
		"a surrogate at the end": {
			"\xff\xfea\x00\x3d\xd8", "", "offset 4",
		},
		"undefined in windows-1252": {"a\x81", "cp1252", "the text is not valid WINDOWS-1252: byte 0x81 at offset 1"},
		"UTF-32":                    {"\xff\xfe\x00\x00{\x00\x00\x00", "", `the charset "utf-32" is not supported`},
		"UTF-32 without a mark":     {"\x00\x00\x00{", "", `the charset "utf-32" is not supported`},
		"UTF-32, little endian":     {"{\x00\x00\x00", "", `the charset "utf-32" is not supported`},
		"unknown":                   {"{}", "shift_jis", `the charset "shift_jis" is not supported; supported are utf-8`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _, _, err := charset.Decode([]byte(c.text), c.label, true)
			if err == nil || !bytes.Contains([]byte(err.Error()), []byte(c.want)) {
				t.Errorf("%q, %v; want %s", got, err, c.want)
			}
			var invalid *charset.InvalidError
			var unsupported *charset.UnsupportedError
			if !errors.As(err, &invalid) && !errors.As(err, &unsupported) {
				t.Errorf("%T", err)
			}
		})
	}
}

func TestOfContentType(t *testing.T) {
	t.Parallel()
	for contentType, want := range map[string]string{
		"": "", "application/json": "", "application/json; charset=utf-8": "utf-8", `a/b; x=y; CHARSET="UTF-16"`: "UTF-16",
		"application/json; charset='latin1'": "'latin1'", "application/json;;charset=latin1": "latin1", "json; charset = x": "x",
	} {
		if got := charset.OfContentType(contentType); got != want {
			t.Errorf("%s: %q, want %q", contentType, got, want)
		}
	}
}

// TestSameAsXText: single-byte and UTF-16 text is decoded as golang.org/x/text does.
func TestSameAsXText(t *testing.T) {
	t.Parallel()
	for label, other := range map[string]encoding.Encoding{
		"windows-1252": charmap.Windows1252,
		"utf-16le":     unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM),
		"utf-16be":     unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM),
	} {
		for c := 1; c < 0x100; c++ { // a zero byte is taken for UTF-16
			text := []byte{'x', byte(c)}
			if label != "windows-1252" {
				text = []byte{0x4E, 0x4E, byte(c), 0x4E}
			}
			want, err := other.NewDecoder().Bytes(text)
			if err != nil {
				t.Fatal(err)
			}
			got, _, _, err := charset.Decode(text, label, false)
			if err == nil && !bytes.Equal(got, want) || err != nil && !bytes.ContainsRune(want, utf8.RuneError) {
				t.Errorf("%s %x: %q, %v; want %q", label, text, got, err, want)
			}
		}
	}
}

// FuzzDecode: whatever comes out is valid UTF-8, does not depend on how the text is cut into pieces, and comes back
// from UTF-16 as it was.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("caf\xe9"), "iso-8859-1", 1)
	f.Add([]byte("\xff\xfe{\x00\xac\x20"), "", 3)
	f.Add([]byte("\xef\xbb\xbf{}é😀"), "utf-8", 2)
	f.Add([]byte("\x20\xac\xd8\x3d\xde\x00"), "utf-16", 5)
	f.Fuzz(func(t *testing.T, text []byte, label string, size int) {
		decoded, from, skip, err := charset.Decode(text, label, false)
		var unsupported *charset.UnsupportedError
		if errors.As(err, &unsupported) {
			return
		}
		if err == nil && !utf8.Valid(decoded) {
			t.Fatalf("%q is decoded as %q", text, decoded)
		}
		pieces, pieceErr := inPieces(charset.NewDecoder(from, int64(skip)), text[skip:], 1+(size&7))
		if (err == nil) != (pieceErr == nil) || err == nil && !bytes.Equal(pieces, decoded) {
			t.Fatalf("in pieces: %q, %v; at once: %q, %v", pieces, pieceErr, decoded, err)
		}
		if err != nil && err.Error() != pieceErr.Error() {
			t.Fatalf("in pieces: %v; at once: %v", pieceErr, err)
		}
		if err == nil {
			wide := []byte{0xFF, 0xFE}
			for _, unit := range utf16.Encode([]rune(string(decoded))) {
				wide = append(wide, byte(unit), byte(unit>>8))
			}
			again, _, _, err := charset.Decode(wide, "", false)
			if len(decoded) > 0 && decoded[0] != 0 && (err != nil || !bytes.Equal(again, decoded)) {
				t.Fatalf("through UTF-16: %q, %v; want %q", again, err, decoded)
			}
		}
	})
}

func inPieces(d *charset.Decoder, text []byte, size int) (decoded []byte, err error) {
	var waiting []byte
	for {
		n := min(size, len(text))
		waiting, text = append(waiting, text[:n]...), text[n:]
		last := len(text) == 0
		decoded, n, err = d.Append(decoded, waiting, last)
		if err != nil || last {
			return decoded, err
		}
		waiting = append([]byte(nil), waiting[n:]...)
	}
}
