package rawevent

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/streamgate/streamgate/internal/charset"
)

// FromJSON reads and validates one event in the JSON event format. Data that is JSON is a slice of input, byte for
// byte. A non-nil error is an *[Error].
//
// If datacontenttype is absent, the member data is JSON by default, and the event gets the type application/json, as
// section 3.1.2 of the JSON event format recommends for a conversion; data_base64 gets no type.
func FromJSON(input []byte) (Event, error) { return fromJSON(input, nil) }

func fromJSON(input []byte, l *Lenient) (Event, error) {
	if err := checkJSONText(input); err != nil {
		return Event{}, err
	}
	e, err := decodeEvent(input, l)
	if err != nil {
		return Event{}, err
	}
	return e, nil
}

// BatchFromJSON reads and validates a JSON array of events. An empty array is legal. A non-nil error is an *[Error]
// whose Index is the position of the event at fault.
func BatchFromJSON(input []byte) ([]Event, error) { return batchFromJSON(input, nil) }

func batchFromJSON(input []byte, l *Lenient) ([]Event, error) {
	if err := checkJSONText(input); err != nil {
		return nil, err
	}
	s := scanner{text: input}
	if s.peek() != '[' {
		return nil, invalid("", "a batch must be a JSON array of events (JSON event format section 4.1)")
	}
	var events []Event
	for value := range s.elements() {
		if len(events) == maxBatchedEvents {
			return nil, tooLarge("", fmt.Sprintf("more than %d events in one batch", maxBatchedEvents))
		}
		e, err := decodeEvent(value, l)
		if err != nil {
			err.Index = len(events)
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

// checkJSONText checks what the scanner relies on: valid UTF-8, valid JSON, bounded depth.
func checkJSONText(input []byte) error {
	v := validator{text: input, limit: maxJSONDepth}
	switch {
	case !utf8.Valid(input), len(input) > 1 && (input[0] == 0 || input[1] == 0):
		return notUTF8(input)
	case v.valid():
		return nil
	case v.deep:
		return tooLarge("", fmt.Sprintf("the JSON text is nested deeper than %d levels", maxJSONDepth))
	default:
		return invalid("", "the content is not valid JSON: "+v.fault())
	}
}

// notUTF8 says why a JSON text is not UTF-8: the offset of a byte alone does not help with a text in UTF-16.
func notUTF8(input []byte) *Error {
	_, from, _, err := charset.Decode(input, "", true)
	var bad *charset.InvalidError
	switch {
	case errors.As(err, &bad) && bad.Encoding == charset.UTF8:
		return invalid(
			"",
			fmt.Sprintf("the JSON text is not valid UTF-8: byte 0x%02X at offset %d", bad.Byte, bad.Offset),
		)
	case err == nil && from != charset.UTF8:
		return invalid("", "the JSON text is "+strings.ToUpper(from.String())+"; the JSON event format is always UTF-8")
	default:
		return invalid("", "the JSON text is not valid UTF-8")
	}
}

// members collects the members whose meaning depends on others: data depends on datacontenttype, which may follow it.
type members struct {
	data, base64       []byte
	hasData, hasBase64 bool
	lenient            *Lenient // nil: strict
	nulls              []string // attributes given as null: absent, but the name must still be unique
}

func decodeEvent(value []byte, l *Lenient) (Event, *Error) {
	s := scanner{text: value}
	if s.peek() != '{' {
		return Event{}, invalid("", "an event must be a JSON object (JSON event format section 3)")
	}
	e := Event{Attributes: make([]Attribute, 0, 8)}
	m := members{lenient: l}
	contentTypeSeen := false
	for key, value := range s.members() {
		name, ok := memberName(key)
		if !ok {
			return Event{}, invalid("", "a member name has an unpaired surrogate")
		}
		var err *Error
		name = l.name(name)
		if l != nil && m.isNull(&e, name, value) {
			continue
		}
		switch name {
		case "data":
			if m.hasData {
				return Event{}, invalid(name, "occurs more than once")
			}
			m.data, m.hasData = value, true
		case "data_base64":
			if m.hasBase64 {
				return Event{}, invalid(name, "occurs more than once")
			}
			m.base64, m.hasBase64 = value, true
			if slices.Contains(m.nulls, name) {
				l.note("data")
			}
		case AttrDataContentType:
			if contentTypeSeen {
				return Event{}, invalid(name, "occurs more than once")
			}
			contentTypeSeen = true
			if slices.Contains(m.nulls, name) {
				l.note(name)
			}
			e.DataContentType, err = m.decodeContentType(value)
		default:
			err = m.decodeAttribute(&e, name, value)
		}
		if err != nil {
			return Event{}, err
		}
	}
	l.legacy(&e)
	l.mediaType(&e)
	if err := m.decodeData(&e); err != nil {
		return Event{}, err
	}
	l.mend(&e)
	if err := e.validate(); err != nil {
		return Event{}, err
	}
	return e, nil
}

func isNull(value []byte) bool { return len(value) == 4 && value[0] == 'n' }

// isNull reports whether a member is absent for a lenient reader, although its name may be there a second time: writers
// that put out all members of a structure write null beside the value that another spelling of the name has.
func (m *members) isNull(e *Event, name string, value []byte) bool {
	if !isNull(value) || name == "data" {
		return false
	}
	_, isTwice := e.Attribute(name)
	isTwice = isTwice || slices.Contains(m.nulls, name)
	switch {
	case name == "data_base64" && (isTwice || m.hasBase64):
		m.lenient.note("data")
	case name != "data_base64" && (isTwice || checkName(name) != nil && name != AttrDataContentType):
		m.lenient.note(showable(name))
	}
	if !isTwice && len(m.nulls) < maxAttributes {
		m.nulls = append(m.nulls, name)
	}
	return true
}

func (m *members) decodeContentType(value []byte) (string, *Error) {
	if isNull(value) {
		return "", nil
	}
	if m.lenient != nil && string(value) == `""` {
		m.lenient.note(AttrDataContentType)
		return "", nil
	}
	text, ok := "", value[0] == '"'
	if ok {
		text, ok = decodeString(value)
	}
	if !ok && m.lenient != nil {
		m.lenient.leaveOut(AttrDataContentType)
		return "", nil
	}
	if !ok || text == "" {
		return "", invalid(AttrDataContentType, "must be a non-empty string")
	}
	return text, nil
}

func (m *members) decodeAttribute(e *Event, name string, value []byte) *Error {
	if err := checkName(name); err != nil {
		if m.lenient.drop(name) {
			return nil
		}
		return err
	}
	if slices.Contains(m.nulls, name) {
		if m.lenient == nil {
			return invalid(name, "occurs more than once")
		}
		m.lenient.note(name)
	}
	if isNull(value) { // null means absent (JSON event format section 2.2)
		if _, found := e.Attribute(name); found {
			return invalid(name, "occurs more than once")
		}
		if len(m.nulls) == maxAttributes {
			return tooLarge("", fmt.Sprintf("more than %d attributes", maxAttributes))
		}
		m.nulls = append(m.nulls, name)
		return nil
	}
	text, err := decodeScalar(name, value)
	if err != nil {
		var ok bool
		if text, ok = m.lenient.scalar(name, value); !ok {
			return err
		}
	}
	if len(e.Attributes) == maxAttributes {
		return tooLarge("", fmt.Sprintf("more than %d attributes", maxAttributes))
	}
	e.Attributes = append(e.Attributes, Attribute{name, text})
	return nil
}

// decodeScalar returns the canonical string form of the JSON value of an attribute (JSON event format section 2.2).
func decodeScalar(name string, value []byte) (string, *Error) {
	core := rank(name) < extensionRank
	switch c := value[0]; {
	case c == '"':
		if text, ok := decodeString(value); ok {
			return text, nil
		}
		return "", invalid(name, "has an unpaired surrogate")
	case core:
		return "", invalid(name, "must be a JSON string")
	case c == 't' || c == 'f':
		return string(value), nil
	case c == '-' || isDigit(c):
		if n, err := strconv.ParseInt(string(value), 10, 32); err == nil {
			return strconv.FormatInt(n, 10), nil
		}
		return "", invalid(
			name,
			"a number must be an integer from -2147483648 to 2147483647 without fraction or exponent",
		)
	default:
		return "", invalid(name, "must be a string, an integer or a boolean, not an object or an array")
	}
}

// decodeData sets the data of the event from the members data and data_base64 (JSON event format section 3.1).
func (m *members) decodeData(e *Event) *Error {
	if m.hasBase64 && isNull(m.base64) {
		m.hasBase64 = false
	}
	if m.hasData && m.hasBase64 && m.lenient != nil && isNull(m.data) {
		m.hasData = false
		m.lenient.note("data")
	}
	switch {
	case m.hasData && m.hasBase64:
		return invalid("data_base64", "must not occur together with data")
	case m.hasBase64:
		text, ok := "", m.base64[0] == '"'
		if ok {
			text, ok = decodeString(m.base64)
		}
		decoded, err := base64.StdEncoding.Strict().DecodeString(text)
		if ok && (err != nil || strings.ContainsAny(text, "\r\n")) { // encoding/base64 skips these
			decoded, ok = m.lenient.base64(text)
		}
		if !ok {
			return invalid("data_base64", "must be a JSON string in base64 with padding (RFC 4648 section 4)")
		}
		e.Data = nonNil(decoded)
	case !m.hasData:
	case e.DataContentType == "":
		e.DataContentType, e.Data = "application/json", m.data
	case IsJSON(e.DataContentType):
		e.Data = m.data
	default:
		text, ok := "", m.data[0] == '"'
		if ok {
			text, ok = decodeString(m.data)
		}
		if !ok {
			text, ok = m.lenient.text(m.data)
		}
		if !ok {
			return invalid("data", "must be a JSON string, because datacontenttype is not JSON")
		}
		e.Data = nonNil([]byte(text))
	}
	return nil
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// AppendJSON appends e in the JSON event format. Data of a JSON media type is copied unchanged if it is valid JSON and
// not nested deeper than [BatchFromJSON] accepts. Text becomes a JSON string. All other data, including data of unknown
// type, becomes data_base64. The event is not validated.
func (e *Event) AppendJSON(dst []byte) []byte {
	start := len(dst)
	for i := range e.Attributes {
		dst = append(dst, ',')
		dst = AppendJSONString(dst, e.Attributes[i].Name)
		dst = append(dst, ':')
		dst = AppendJSONString(dst, e.Attributes[i].Value)
	}
	if e.DataContentType != "" {
		dst = append(dst, `,"datacontenttype":`...)
		dst = AppendJSONString(dst, e.DataContentType)
	}
	if e.Data != nil {
		dst = e.appendData(dst)
	}
	if len(dst) == start {
		return append(dst, "{}"...)
	}
	dst[start] = '{' // in place of the first comma
	return append(dst, '}')
}

func (e *Event) appendData(dst []byte) []byte {
	isJSON := IsJSON(e.DataContentType)
	switch {
	case isJSON && utf8.Valid(e.Data) && validJSON(e.Data, maxDataDepth):
		dst = append(dst, `,"data":`...)
		return append(dst, e.Data...)
	case !isJSON && isText(e.DataContentType) && utf8.Valid(e.Data): // text/json is both; as JSON it would keep the quotes
		dst = append(dst, `,"data":`...)
		return appendQuoted(dst, e.Data)
	default:
		dst = append(dst, `,"data_base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Data)
		return append(dst, '"')
	}
}

// AppendBatch appends events as a JSON array, the content of a message in batched mode.
func AppendBatch(dst []byte, events []Event) []byte {
	dst = append(dst, '[')
	for i := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = events[i].AppendJSON(dst)
	}
	return append(dst, ']')
}

// DataMember returns a top-level member of data that is a JSON object: a string is decoded, any other value is returned
// as JSON text.
func (e *Event) DataMember(name string) (string, bool) {
	value, found := e.DataValue(name)
	if found && value[0] == '"' {
		return decodeString(value)
	}
	return string(value), found
}

// DataValue returns the JSON text of a top-level member of data that is a JSON object. It shares memory with the data.
func (e *Event) DataValue(name string) ([]byte, bool) {
	if !IsJSON(e.DataContentType) || !validJSON(e.Data, maxJSONDepth) {
		return nil, false
	}
	s := scanner{text: e.Data}
	if s.peek() != '{' {
		return nil, false
	}
	for key, value := range s.members() {
		if text, ok := decodeString(key); ok && text == name {
			return value, true
		}
	}
	return nil, false
}
