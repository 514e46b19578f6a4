package rawevent

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/streamgate/streamgate/internal/charset"
)

// Lenient reads events of careless senders and repairs what is invalid where the intention is plain. Valid events are
// read as by the strict functions, byte for byte. The zero value is ready to use. It is not safe for concurrent use.
//
//   - Attribute names in upper case or with dashes or underscores: ID and ce-foo-bar become id and foobar.
//   - JSON null beside a value of the same name, in any spelling of the name: null means absent. The same for data
//     beside data_base64.
//   - Empty optional core attributes: treated as absent.
//   - A missing specversion, spellings of 1.0 such as 1.0.2 or the number 1, and the versions 0.1 to 0.3, whose attributes
//     are translated.
//   - JSON numbers, booleans, objects or arrays where an attribute must be a string: converted to their JSON text.
//   - Characters in source and dataschema that are not allowed in a URI: percent-encoded.
//   - Characters that are not allowed in an attribute: white space becomes a space, anything else U+FFFD. This does not
//     apply to id and source, where it could make two different events equal.
//   - Times with a space for the T, a comma for the point, an hour of one digit, or an offset without its colon.
//   - Media types with unreadable parameters, or without their first half where that is plain, like json.
//   - A header that occurs twice with the same value; ce-datacontenttype beside or instead of Content-Type.
//   - Data that must be a JSON string but is another value: its JSON text. Base64 without padding, in the URL alphabet,
//     or broken into lines.
//   - JSON with a byte order mark, and in UTF-16, ISO-8859-1 or windows-1252 if its beginning or Content-Type says so.
//
// An optional attribute that cannot be repaired is left out: a time that is not a time, a dataschema that is not an
// absolute URI, an extension whose name has other characters than those above. [Lenient.LeftOut] names it.
//
// Everything else is refused as by the strict functions: text that is not JSON, missing attributes, required attributes
// that cannot be repaired, and attributes that occur twice with different values.
type Lenient struct {
	// Mended lists what was not valid as it came, in the order of discovery and each once: names of attributes,
	// repaired or left out, "data" for the data, [NotedByteOrderMark] and [NotedCharset] for the text as a whole. It
	// ends after 64 names. It accumulates over calls: use a new Lenient for each request.
	Mended []string
	// LeftOut lists those of Mended that the event does not have any more, because no valid value could be made of what
	// was sent. Names that are not valid themselves have a question mark for every character that cannot be shown.
	LeftOut []string
}

// What [Lenient.Mended] has besides names of attributes. No attribute can have these names.
const (
	NotedByteOrderMark = "byte-order-mark"
	NotedCharset       = "content-type"
)

// maxNoted bounds the lists of names, which would else grow with the number of events in a batch.
const maxNoted = 64

// FromHTTP is the lenient form of [FromHTTP].
func (l *Lenient) FromHTTP(header http.Header, body []byte) (Event, error) {
	return fromHTTP(header, body, l)
}

// BatchFromHTTP is the lenient form of [BatchFromHTTP].
func (l *Lenient) BatchFromHTTP(header http.Header, body []byte) ([]Event, error) {
	return batchFromHTTP(header, body, l)
}

func (l *Lenient) note(name string) {
	if len(l.Mended) < maxNoted && !slices.Contains(l.Mended, name) {
		l.Mended = append(l.Mended, name)
	}
}

// leaveOut notes an attribute that the event does not get.
func (l *Lenient) leaveOut(name string) {
	name = showable(name)
	l.note(name)
	if len(l.LeftOut) < maxNoted && !slices.Contains(l.LeftOut, name) {
		l.LeftOut = append(l.LeftOut, name)
	}
}

// showable returns a name that can stand in a list, a header or a log: it is not valid, and can be anything.
func showable(name string) string {
	shown := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == ',' {
			return '?'
		}
		return r
	}, name)
	return shown[:min(len(shown), maxNameLength)]
}

// utf8 returns the JSON text in UTF-8, without a byte order mark. isUTF8 says whether Content-Type leaves no doubt of
// it.
func (l *Lenient) utf8(text []byte, contentType string, isUTF8 bool) ([]byte, error) {
	decoded, from, skip, err := charset.Decode(text, charset.OfContentType(contentType), true)
	var unsupportedCharset *charset.UnsupportedError
	switch {
	case errors.As(err, &unsupportedCharset):
		return nil, unsupported("the charset of the JSON text is not supported; supported are " + charset.Supported)
	case err != nil && from == charset.UTF8:
		return text, nil // for the reason that strict readers give
	case err != nil:
		return nil, invalid("", err.Error())
	}
	if skip > 0 {
		l.note(NotedByteOrderMark)
	}
	if from != charset.UTF8 || !isUTF8 {
		l.note(NotedCharset)
	}
	return decoded, nil
}

// fold returns a name in lower case and without separators.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' {
			return -1
		}
		return lowerASCII(r)
	}, name)
}

// isPayload reports whether a folded name is that of a member that holds the payload. An attribute must not turn into
// it.
func isPayload(folded string) bool { return folded == "data" || folded == "database64" }

// name returns the valid name that an invalid one stands for, or the name itself if there is none.
func (l *Lenient) name(name string) string {
	if l == nil || ValidName(name) || len(name) > maxNameLength {
		return name
	}
	meant := fold(name)
	if !ValidName(meant) || isPayload(meant) {
		return name
	}
	l.note(meant)
	return meant
}

// drop reports whether an attribute is left out because of its name.
func (l *Lenient) drop(name string) bool {
	if l == nil || name == "" || ValidName(name) && len(name) <= maxNameLength || isPayload(fold(name)) {
		return false
	}
	l.leaveOut(name)
	return true
}

// once reports whether all values of a repeated header are equal.
func (l *Lenient) once(name string, values []string) bool {
	if l == nil || len(values) == 0 || slices.ContainsFunc(values, func(v string) bool { return v != values[0] }) {
		return false
	}
	l.note(name)
	return true
}

// contentType reads the header ce-datacontenttype, which the HTTP protocol binding forbids.
func (l *Lenient) contentType(e *Event, values []string) bool {
	if l == nil || len(values) != 1 {
		return false
	}
	if e.DataContentType == "" {
		e.DataContentType = decodeHeaderValue(values[0])
	}
	l.note(AttrDataContentType)
	return true
}

// scalar returns the text of a JSON value that is not a valid attribute value.
func (l *Lenient) scalar(name string, value []byte) (string, bool) {
	if l == nil {
		return "", false
	}
	if value[0] == '"' { // with an unpaired surrogate
		var text string
		if name == AttrID || name == AttrSource || json.Unmarshal(value, &text) != nil {
			return "", false
		}
		l.note(name)
		return text, true // with U+FFFD for it
	}
	l.note(name)
	return compact(value), true
}

func compact(value []byte) string {
	if value[0] != '{' && value[0] != '[' {
		return string(value)
	}
	var decoded json.RawMessage = value
	if text, err := json.Marshal(decoded); err == nil { // compacts
		return string(text)
	}
	return string(value)
}

// text returns the JSON text of data that should have been a JSON string.
func (l *Lenient) text(value []byte) (string, bool) {
	if l == nil || value[0] == '"' || isNull(value) {
		return "", false
	}
	l.note("data")
	return string(value), true
}

// base64 decodes base64 that violates RFC 4648 section 4: unpadded, in the URL alphabet, or with white space.
func (l *Lenient) base64(text string) ([]byte, bool) {
	if l == nil {
		return nil, false
	}
	text = strings.TrimRight(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return -1
		case r == '-':
			return '+'
		case r == '_':
			return '/'
		}
		return r
	}, text), "=")
	decoded, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, false
	}
	l.note("data")
	return decoded, true
}
