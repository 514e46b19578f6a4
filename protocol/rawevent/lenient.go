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

// Lenient reads events as careless senders send them, where what they mean is plain, and makes valid ones of them. What is
// valid is read as ever, byte for byte. The zero value is ready; it is for one goroutine at a time.
//
//   - Names of attributes in upper case, or with dashes or underscores: ID, ce-foo-bar. They become id and foobar.
//   - A core attribute that is empty: it is absent.
//   - No specversion, or the number 1.0, or the version 0.3: its schemaurl and datacontentencoding are translated.
//   - Attributes that are JSON numbers, booleans, objects or arrays where a string is due: their JSON text.
//   - Characters in source and dataschema that no URI may have: percent-encoded.
//   - Characters that no attribute may have: a space for white space, else U+FFFD. Not in id and source, of which two must
//     not become one.
//   - Times with a space for the T, a comma for the point, an hour of one digit, or an offset without its colon.
//   - A header twice with one value; ce-datacontenttype beside, or instead of, Content-Type.
//   - Data that should be a JSON string and is another value: its JSON text. Base64 without padding, in the alphabet for
//     URLs, or over several lines.
//
// Everything else is refused as ever: what is not JSON or not UTF-8, what is missing, what is there twice and differs.
type Lenient struct {
	// Mended are the names of the attributes that were not valid as they came, each once; data for the data.
	Mended []string
}

// FromHTTP is [FromHTTP], leniently.
func (l *Lenient) FromHTTP(header http.Header, body []byte) (Event, error) {
	return fromHTTP(header, body, l)
}

// BatchFromHTTP is [BatchFromHTTP], leniently.
func (l *Lenient) BatchFromHTTP(header http.Header, body []byte) ([]Event, error) {
	return batchFromHTTP(header, body, l)
}

func (l *Lenient) note(name string) {
	if !slices.Contains(l.Mended, name) {
		l.Mended = append(l.Mended, name)
	}
}

// name returns what a name that is not legal was meant to be. Names of the data are no attributes' and stay.
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

// once reports whether several header values are one.
func (l *Lenient) once(name string, values []string) bool {
	if l == nil || len(values) == 0 || slices.ContainsFunc(values, func(v string) bool { return v != values[0] }) {
		return false
	}
	l.note(name)
	return true
}

// contentType takes a ce- header that must not be there.
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

// scalar returns the text of a JSON value that is no legal attribute.
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
	if text, err := json.Marshal(decoded); err == nil { // which makes it compact
		return string(text)
	}
	return string(value)
}

// text returns data that should be a JSON string.
func (l *Lenient) text(value []byte) (string, bool) {
	if l == nil || value[0] == '"' || isNull(value) {
		return "", false
	}
	l.note("data")
	return string(value), true
}

// base64 decodes what is not base64 by the book.
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

// mend makes the event valid where it is plain what was meant. It is called before the event is validated, which refuses
// the rest.
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

// meant returns what a value that is not valid was meant to be.
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

// version translates an event of version 0.3, and takes one without a version for one of 1.0, as other readers do.
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

// encodeURI percent-encodes what no URI may have: everything but the characters of RFC 3986 section 2, and a percent sign
// that begins no percent-encoding.
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

var nearTime = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})[Tt ]+(\d{1,2})(:\d{2}:\d{2})(?:[.,](\d+))? ?(Z|z|UTC|GMT|([+-]\d{2}):?(\d{2}))$`)

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

// legalString replaces what no String may have.
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
