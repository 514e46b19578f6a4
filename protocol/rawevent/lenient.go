package rawevent

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Lenient reads events of careless senders and repairs what is invalid where the intention is plain. Valid events are
// read as by the strict functions, byte for byte. The zero value is ready to use. It is not safe for concurrent use.
//
//   - Attribute names in upper case or with dashes or underscores: ID and ce-foo-bar become id and foobar.
//   - Empty optional core attributes: treated as absent.
//   - A missing specversion, the number 1.0, or the version 0.3, whose schemaurl and datacontentencoding are
//     translated.
//   - JSON numbers, booleans, objects or arrays where an attribute must be a string: converted to their JSON text.
//   - Characters in source and dataschema that are not allowed in a URI: percent-encoded.
//   - Characters that are not allowed in an attribute: white space becomes a space, anything else U+FFFD. This does not
//     apply to id and source, where it could make two different events equal.
//   - Times with a space for the T, a comma for the point, an hour of one digit, or an offset without its colon.
//   - A header that occurs twice with the same value; ce-datacontenttype beside or instead of Content-Type.
//   - Data that must be a JSON string but is another value: its JSON text. Base64 without padding, in the URL alphabet,
//     or broken into lines.
//
// Everything else is refused as by the strict functions: text that is not JSON or not UTF-8, missing attributes, and
// attributes that occur twice with different values.
type Lenient struct {
	// Mended lists the attributes that were repaired, each once, in no particular order; "data" stands for the data.
	// It accumulates over calls: use a new Lenient for each request.
	Mended []string
}

// FromHTTP is the lenient form of [FromHTTP].
func (l *Lenient) FromHTTP(header http.Header, body []byte) (Event, error) {
	return fromHTTP(header, body, l)
}

// BatchFromHTTP is the lenient form of [BatchFromHTTP].
func (l *Lenient) BatchFromHTTP(header http.Header, body []byte) ([]Event, error) {
	return batchFromHTTP(header, body, l)
}

func (l *Lenient) note(name string) {
	if !slices.Contains(l.Mended, name) {
		l.Mended = append(l.Mended, name)
	}
}

// name returns the valid name that an invalid one stands for. It leaves names alone that would become data or
// database64: those members hold the payload, and an attribute must not turn into one.
func (l *Lenient) name(name string) string {
	if l == nil || ValidName(name) || len(name) > maxNameLength {
		return name
	}
	meant := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' {
			return -1
		}
		return lowerASCII(r)
	}, name)
	if !ValidName(meant) || meant == "data" || meant == "database64" {
		return name
	}
	l.note(meant)
	return meant
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
	if l == nil || value[0] == '"' {
		return "", false
	}
	l.note(name)
	if name == AttrSpecVersion && string(value) == "1" {
		return SpecVersion, true
	}
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

// mend repairs the values of attributes. Validation follows it and refuses what mend left alone.
func (l *Lenient) mend(e *Event) {
	if l == nil || e.Canonicalize() != "" {
		return
	}
	l.version(e)
	kept := e.Attributes[:0]
	for _, a := range e.Attributes {
		isCore := rank(a.Name) < extensionRank
		if isCore && a.Value == "" && !isRequired(a.Name) {
			l.note(a.Name)
			continue
		}
		if checkValue(&a) != nil {
			if meant := meant(&a); meant != a.Value {
				a.Value = meant
				l.note(a.Name)
			}
		}
		kept = append(kept, a)
	}
	e.Attributes = kept
}

func isRequired(name string) bool {
	return name == AttrID || name == AttrSource || name == AttrType || name == AttrSpecVersion
}

// meant returns the valid value that an invalid one stands for, or the value itself if that is not plain.
func meant(a *Attribute) string {
	switch a.Name {
	case AttrSource, AttrDataSchema:
		return encodeURI(a.Value)
	case AttrTime:
		return meantTime(strings.TrimSpace(a.Value))
	case AttrID, AttrSpecVersion:
		return a.Value
	default:
		return legalString(a.Value)
	}
}

// version translates an event of version 0.3, and takes an event without a version to be one of 1.0, as other readers
// do.
func (l *Lenient) version(e *Event) {
	version, found := e.Attribute(AttrSpecVersion)
	switch {
	case !found || version == "":
		e.Set(AttrSpecVersion, SpecVersion)
	case version != "0.3":
		return
	default:
		e.Set(AttrSpecVersion, SpecVersion)
		if address, found := e.Attribute("schemaurl"); found {
			e.Delete("schemaurl")
			e.Set(AttrDataSchema, address)
		}
		if encoding, _ := e.Attribute("datacontentencoding"); strings.EqualFold(encoding, "base64") {
			text := string(e.Data)
			if IsJSON(e.DataContentType) && len(e.Data) > 1 && e.Data[0] == '"' {
				text, _ = decodeString(e.Data)
			}
			if decoded, ok := l.base64(text); ok {
				e.Data = nonNil(decoded)
			}
		}
		e.Delete("datacontentencoding")
	}
	l.note(AttrSpecVersion)
}

// encodeURI percent-encodes what is not allowed in a URI: everything but the characters of RFC 3986 section 2, and
// percent signs without two hexadecimal digits after them.
func encodeURI(s string) string {
	const upperHex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		isLegal := isAlpha(c) || isDigit(c) || strings.IndexByte("-._~:/?#[]@!$&'()*+,;=", c) >= 0
		if c == '%' {
			isLegal = i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2])
		}
		if isLegal {
			b.WriteByte(c)
			continue
		}
		b.WriteString(string([]byte{'%', upperHex[c>>4], upperHex[c&15]}))
	}
	return b.String()
}

// nearTime matches timestamps that are almost RFC 3339.
var nearTime = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})[Tt ]+(\d{1,2})(:\d{2}:\d{2})(?:[.,](\d+))? ?` +
	`(Z|z|UTC|GMT|([+-]\d{2}):?(\d{2}))$`)

func meantTime(s string) string {
	m := nearTime.FindStringSubmatch(s)
	if m == nil {
		return s
	}
	date, hour, rest, fraction, zone := m[1], m[2], m[3], m[4], "Z"
	if len(hour) == 1 {
		hour = "0" + hour
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	if m[6] != "" {
		zone = m[6] + ":" + m[7]
	}
	return date + "T" + hour + rest + fraction + zone
}

// legalString replaces characters that a String of the CloudEvents type system must not contain.
func legalString(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\r' || r == '\n':
			return ' '
		case !validString(string(r)):
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
