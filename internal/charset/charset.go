package charset

import (
	"bytes"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"
)

// Encoding is a character encoding. The zero value is UTF-8.
type Encoding uint8

// The encodings. UTF32 can be detected but not decoded.
const (
	UTF8 Encoding = iota
	UTF16LE
	UTF16BE
	Latin1
	Windows1252
	UTF32
)

// String returns the registered name of the encoding in lower case.
func (e Encoding) String() string {
	switch e {
	case UTF16LE:
		return "utf-16le"
	case UTF16BE:
		return "utf-16be"
	case Latin1:
		return "iso-8859-1"
	case Windows1252:
		return "windows-1252"
	case UTF32:
		return "utf-32"
	default:
		return "utf-8"
	}
}

// Supported lists the names of charsets for error messages.
const Supported = "utf-8, us-ascii, utf-16, iso-8859-1 and windows-1252"

// UnsupportedError says that text is in a character encoding that this package does not decode.
type UnsupportedError struct{ Charset string }

// Error implements error.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("the charset %.40q is not supported; supported are %s", e.Charset, Supported)
}

// InvalidError says where text is not valid in its encoding.
type InvalidError struct {
	Encoding Encoding
	Offset   int64 // of the first bad byte in the input, counted from 0
	Byte     byte
}

// Error implements error.
func (e *InvalidError) Error() string {
	return fmt.Sprintf("the text is not valid %s: byte 0x%02X at offset %d",
		strings.ToUpper(e.Encoding.String()), e.Byte, e.Offset)
}

// OfContentType returns the charset parameter of a Content-Type, "" if there is none. It is liberal: a parameter is
// found even if the rest of the value does not follow the grammar.
func OfContentType(contentType string) string {
	if _, params, err := mime.ParseMediaType(contentType); err == nil {
		return params["charset"]
	}
	_, rest, _ := strings.Cut(contentType, ";")
	for param := range strings.SplitSeq(rest, ";") {
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "charset") {
			return strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return ""
}

// IsUTF8 reports whether a charset label stands for UTF-8 or a subset of it; an absent label does.
func IsUTF8(label string) bool {
	switch normal(label) {
	case "", "utf-8", "utf8", "unicode-1-1-utf-8", "us-ascii", "ascii", "ansi-x3.4-1968":
		return true
	}
	return false
}

// normal folds the spellings of a label.
func normal(label string) string {
	return strings.ReplaceAll(strings.ToLower(strings.Trim(strings.TrimSpace(label), `"'`)), "_", "-")
}

// Find returns the encoding of a text from its first bytes, at least four unless the text is shorter, and from its
// charset label, which may be empty. skip is the length of the byte order mark. A byte order mark decides even against
// the label, because it is part of the text while the label is often only the default of a server. Text of which the
// first or second byte is zero is UTF-16, as RFC 4627 section 3 describes for JSON. An error is an *[UnsupportedError].
func Find(head []byte, label string) (encoding Encoding, skip int, err error) {
	if encoding, skip = detect(head); encoding == UTF32 {
		return 0, 0, &UnsupportedError{UTF32.String()}
	}
	if encoding != UTF8 || skip > 0 || IsUTF8(label) {
		return encoding, skip, nil
	}
	switch normal(label) {
	case "utf-16", "utf16", "utf-16be", "utf16be", "unicodefffe":
		return UTF16BE, 0, nil // RFC 2781 section 4.3: big endian without a byte order mark
	case "utf-16le", "utf16le", "unicode", "ucs-2", "iso-10646-ucs-2":
		return UTF16LE, 0, nil
	case "iso-8859-1", "iso8859-1", "iso88591", "latin1", "latin-1", "l1", "iso-ir-100", "cp819", "ibm819":
		return Latin1, 0, nil
	case "windows-1252", "cp1252", "cp-1252", "x-cp1252", "ansi":
		return Windows1252, 0, nil
	}
	return 0, 0, &UnsupportedError{label}
}

func detect(head []byte) (Encoding, int) {
	switch {
	case bytes.HasPrefix(head, []byte{0xFF, 0xFE, 0, 0}), bytes.HasPrefix(head, []byte{0, 0, 0xFE, 0xFF}):
		return UTF32, 0
	case bytes.HasPrefix(head, []byte{0xEF, 0xBB, 0xBF}):
		return UTF8, 3
	case bytes.HasPrefix(head, []byte{0xFF, 0xFE}):
		return UTF16LE, 2
	case bytes.HasPrefix(head, []byte{0xFE, 0xFF}):
		return UTF16BE, 2
	}
	if len(head) < 2 {
		return UTF8, 0
	}
	isFour := len(head) >= 4
	switch first, second := head[0] == 0, head[1] == 0; {
	case first && second && isFour && head[2] == 0, !first && second && isFour && head[2] == 0 && head[3] == 0:
		return UTF32, 0
	case !first && second:
		return UTF16LE, 0
	case first && !second:
		return UTF16BE, 0
	}
	return UTF8, 0
}

// Decode converts a whole text into UTF-8 without a byte order mark. Text that is UTF-8 already is returned as a slice
// of the input. isJSON says that the text is JSON, which is UTF-8 whatever the label says (RFC 8259 section 8.1): a
// label for a single-byte encoding only counts then if the text is not valid UTF-8. An error is an *[UnsupportedError]
// or an
// *[InvalidError].
func Decode(text []byte, label string, isJSON bool) (decoded []byte, from Encoding, skip int, err error) {
	from, skip, err = Find(text[:min(len(text), 4)], label)
	if err != nil {
		return nil, from, skip, err
	}
	from = ForText(from, text, isJSON)
	if from == UTF8 {
		text = text[skip:]
		if at := invalidUTF8(text); at >= 0 {
			return nil, from, skip, &InvalidError{UTF8, int64(skip + at), text[at]}
		}
		return text, from, skip, nil
	}
	d := NewDecoder(from, int64(skip))
	decoded, _, err = d.Append(make([]byte, 0, len(text)+len(text)/8), text[skip:], true)
	return decoded, from, skip, err
}

// ForText returns the encoding of a whole text, given what [Find] returned for its beginning: UTF-8 for JSON that is
// valid UTF-8 in spite of a label for a single-byte encoding.
func ForText(found Encoding, text []byte, isJSON bool) Encoding {
	if isJSON && (found == Latin1 || found == Windows1252) && utf8.Valid(text) {
		return UTF8
	}
	return found
}

// invalidUTF8 returns the index of the first byte that is not part of valid UTF-8, or -1.
func invalidUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}
