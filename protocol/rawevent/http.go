package rawevent

import (
	"net/http"
	"net/textproto"
	"strings"
)

// Mode is a content mode of the CloudEvents HTTP protocol binding.
type Mode int

// The content modes (HTTP protocol binding section 3).
const (
	Binary Mode = iota
	Structured
	Batched
)

// Media types of the JSON event format and of its batch, as this package writes them.
const (
	MediaTypeJSON  = "application/cloudevents+json"
	MediaTypeBatch = "application/cloudevents-batch+json"
)

// ModeOf returns the content mode that a media type selects. As HTTP protocol binding section 3 requires, it compares
// prefixes and ignores case and parameters. It does not tell whether the event format is supported.
func ModeOf(contentType string) Mode {
	const prefix = "application/cloudevents"
	base := strings.TrimSpace(until(contentType, ";"))
	if len(base) < len(prefix) || !strings.EqualFold(base[:len(prefix)], prefix) {
		return Binary
	}
	rest := strings.ToLower(base[len(prefix):])
	switch {
	case rest == "-batch" || strings.HasPrefix(rest, "-batch+"):
		return Batched
	case rest == "" || rest[0] == '+':
		return Structured
	default:
		return Binary
	}
}

// FromHTTP reads and validates the event of an HTTP message in binary or structured mode. The data shares memory with
// body. A batch is refused; use [BatchFromHTTP]. A non-nil error is an *[Error].
func FromHTTP(header http.Header, body []byte) (Event, error) { return fromHTTP(header, body, nil) }

func fromHTTP(header http.Header, body []byte, l *Lenient) (Event, error) {
	contentType, err := singleContentType(header)
	if err != nil {
		return Event{}, err
	}
	switch ModeOf(contentType) {
	case Structured:
		if body, err = jsonBody(contentType, MediaTypeJSON, body, l); err != nil {
			return Event{}, err
		}
		return fromJSON(body, l)
	case Batched:
		return Event{}, unsupported("a batch is not accepted here")
	default:
		return fromBinary(header, contentType, body, l)
	}
}

// BatchFromHTTP reads and validates the events of an HTTP message in batched mode. An empty batch is legal. A non-nil
// error is an *[Error] with the index of the event at fault.
func BatchFromHTTP(header http.Header, body []byte) ([]Event, error) {
	return batchFromHTTP(header, body, nil)
}

func batchFromHTTP(header http.Header, body []byte, l *Lenient) ([]Event, error) {
	contentType, err := singleContentType(header)
	if err != nil {
		return nil, err
	}
	if body, err = jsonBody(contentType, MediaTypeBatch, body, l); err != nil {
		return nil, err
	}
	return batchFromJSON(body, l)
}

func singleContentType(header http.Header) (string, error) {
	switch values := header["Content-Type"]; len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	default:
		return "", invalid(AttrDataContentType, "the header Content-Type occurs more than once")
	}
}

// jsonBody returns the JSON text of a body, or an error unless contentType names the wanted JSON format in UTF-8. A
// lenient reader takes other charsets, too.
func jsonBody(contentType, want string, body []byte, l *Lenient) ([]byte, error) {
	base, params, _ := strings.Cut(contentType, ";")
	if !strings.EqualFold(strings.TrimSpace(base), want) {
		return nil, unsupported("the event format is not supported; send " + want)
	}
	isUTF8 := namesUTF8(params)
	switch {
	case l != nil:
		return l.utf8(body, contentType, isUTF8)
	case !isUTF8:
		return nil, unsupported("Content-Type names another charset, but the JSON event format is always UTF-8")
	}
	return body, nil
}

// namesUTF8 reports whether the parameters of a media type name no charset other than UTF-8.
func namesUTF8(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		value = strings.Trim(value, `"`)
		if strings.EqualFold(name, "charset") && !strings.EqualFold(value, "utf-8") &&
			!strings.EqualFold(value, "us-ascii") {
			return false
		}
	}
	return true
}

func fromBinary(header http.Header, contentType string, body []byte, l *Lenient) (Event, error) {
	e := Event{Attributes: make([]Attribute, 0, 8), DataContentType: contentType}
	if len(body) > 0 { // HTTP cannot tell an empty body from an absent one
		e.Data = body
	}
	for key, values := range header {
		if len(key) < 3 || !strings.EqualFold(key[:3], "ce-") {
			continue
		}
		name := l.name(attributeName(key))
		if name == AttrDataContentType && l.contentType(&e, values) {
			continue
		}
		if err := checkName(name); err != nil {
			if l.drop(name) {
				continue
			}
			return Event{}, err
		}
		if len(values) != 1 && !l.once(name, values) {
			return Event{}, invalid(name, "occurs more than once")
		}
		e.Attributes = append(e.Attributes, Attribute{name, decodeHeaderValue(values[0])})
	}
	if len(e.Attributes) == 0 {
		return Event{}, invalid("", "this is not a CloudEvent: no ce- header, and Content-Type is not "+MediaTypeJSON+
			" (binary mode needs at least ce-specversion, ce-id, ce-source and ce-type)")
	}
	l.legacy(&e)
	l.mediaType(&e)
	l.mend(&e)
	if err := e.validate(); err != nil {
		return Event{}, err
	}
	return e, nil
}

// attributeName returns the attribute that a ce- header carries. Common names are constants, which saves an allocation
// for each on the hot path.
func attributeName(header string) string {
	switch header {
	case "Ce-Specversion":
		return AttrSpecVersion
	case "Ce-Id":
		return AttrID
	case "Ce-Source":
		return AttrSource
	case "Ce-Type":
		return AttrType
	case "Ce-Time":
		return AttrTime
	case "Ce-Subject":
		return AttrSubject
	case "Ce-Dataschema":
		return AttrDataSchema
	default:
		return strings.Map(lowerASCII, header[3:])
	}
}

// lowerASCII folds the case of header names. Unicode case folding would map the Kelvin sign to k, and so turn an
// invalid name into a valid one.
func lowerASCII(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// decodeHeaderValue unquotes a double-quoted string and then undoes one round of percent-encoding (HTTP protocol
// binding section 3.1.3.2). Readers have to be liberal: raw UTF-8 and needless encoding are accepted, and a "%" without
// two hexadecimal digits after it stands for itself. The result may be invalid UTF-8, which validation detects.
func decodeHeaderValue(s string) string {
	if len(s) >= 2 && s[0] == '"' {
		if unquoted, ok := unquote(s); ok {
			s = unquoted
		}
	}
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	decoded := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			decoded = append(decoded, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
			continue
		}
		decoded = append(decoded, s[i])
	}
	return string(decoded)
}

// unquote decodes s if all of it is a quoted-string as in RFC 9110.
func unquote(s string) (string, bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), i == len(s)-1
		case '\\':
			i++
			if i == len(s) {
				return "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", false
}

// WriteHTTP sets the headers of e in binary mode: Content-Type, and a ce- header for every other attribute,
// percent-encoded as HTTP protocol binding section 3.1.3.2 requires. The body of the message is e.Data, unchanged.
//
// Do not use binary mode for an event whose data is itself an event, that is, if [ModeOf] of its DataContentType is not
// [Binary]: the receiver would read the inner event instead. Write such an event as JSON.
func (e *Event) WriteHTTP(header http.Header) {
	values := make([]string, len(e.Attributes)+1) // a single allocation for all values
	for i := range e.Attributes {
		values[i] = encodeHeaderValue(e.Attributes[i].Value)
		header[headerName(e.Attributes[i].Name)] = values[i : i+1 : i+1]
	}
	if e.DataContentType != "" {
		last := len(e.Attributes)
		values[last] = e.DataContentType
		header["Content-Type"] = values[last:]
	}
}

func headerName(attribute string) string {
	switch attribute {
	case AttrSpecVersion:
		return "Ce-Specversion"
	case AttrID:
		return "Ce-Id"
	case AttrSource:
		return "Ce-Source"
	case AttrType:
		return "Ce-Type"
	case AttrTime:
		return "Ce-Time"
	case AttrSubject:
		return "Ce-Subject"
	default:
		return textproto.CanonicalMIMEHeaderKey("ce-" + attribute)
	}
}

func encodeHeaderValue(s string) string {
	const upperHex = "0123456789ABCDEF"
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = !mustEncode(s[i])
	}
	if plain {
		return s
	}
	encoded := make([]byte, 0, len(s)+16)
	for i := 0; i < len(s); i++ {
		if c := s[i]; mustEncode(c) {
			encoded = append(encoded, '%', upperHex[c>>4], upperHex[c&15])
		} else {
			encoded = append(encoded, c)
		}
	}
	return string(encoded)
}

// mustEncode reports whether a byte of the UTF-8 text must be percent-encoded: space, double quote, percent, and
// everything outside U+0021 to U+007E.
func mustEncode(c byte) bool { return c <= ' ' || c == '"' || c == '%' || c > '~' }

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
