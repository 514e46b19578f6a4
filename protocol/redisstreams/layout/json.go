package layout

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// The functions of this file take apart JSON texts that are almost events in the JSON format, so that they can be
// repaired before rawevent, which would refuse them, reads them.

// jsonMember is one member of a JSON object, with its value in its original form.
type jsonMember struct {
	name  string
	value json.RawMessage
}

// objectMembers returns the members of a JSON object, up to the first syntax error.
func objectMembers(text string) []jsonMember {
	decoder := json.NewDecoder(strings.NewReader(text))
	if opening, err := decoder.Token(); err != nil || opening != json.Delim('{') {
		return nil
	}
	var members []jsonMember
	for decoder.More() {
		token, err := decoder.Token()
		name, isName := token.(string)
		if err != nil || !isName {
			break
		}
		m := jsonMember{name: name}
		err = decoder.Decode(&m.value)
		members = append(members, m)
		if err != nil {
			break
		}
	}
	return members
}

func hasMember(members []jsonMember, name string) bool {
	return slices.ContainsFunc(members, func(m jsonMember) bool { return m.name == name })
}

// isJSONObject reports whether text is a JSON object.
func isJSONObject(text string) bool {
	return strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") && json.Valid(bytesOf(text))
}

// valueText returns the content of a JSON string, the JSON text of any other value, and "" for null or no value.
func valueText(value json.RawMessage) string {
	if content, ok := stringBytes(value); ok {
		return string(content)
	}
	if string(value) == "null" {
		return ""
	}
	return string(value)
}

// objectOf returns the JSON object of the members.
func objectOf(members []jsonMember) []byte {
	text := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(rawevent.AppendJSONString(text, m.name), ':')
		text = append(text, m.value...)
	}
	return append(text, '}')
}

// stringBytes returns the content of a JSON string. Unlike encoding/json it keeps bytes that are not UTF-8. ok is false
// if quoted is not a string.
func stringBytes(quoted []byte) (content []byte, ok bool) {
	if len(quoted) < 2 || quoted[0] != '"' {
		return nil, false
	}
	for rest := quoted[1 : len(quoted)-1]; len(rest) > 0; {
		n := validPrefix(rest)
		content, ok = appendUnescaped(content, rest[:n])
		if !ok {
			return nil, false
		}
		if n < len(rest) {
			content = append(content, rest[n])
			n++
		}
		rest = rest[n:]
	}
	return content, true
}

func appendUnescaped(dst, inner []byte) ([]byte, bool) {
	if bytes.IndexByte(inner, '\\') < 0 {
		return append(dst, inner...), true
	}
	var text string
	if err := json.Unmarshal(slices.Concat([]byte{'"'}, inner, []byte{'"'}), &text); err != nil {
		return nil, false
	}
	return append(dst, text...), true
}

// validPrefix returns the number of leading bytes of text that are valid UTF-8.
func validPrefix(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(text)
}

// unquoteText restores JSON data that was written as a string. TriggerMesh's SDK and Dapr treat only application/json
// as JSON (the SDK text/json as well). Data of any other JSON media type, like application/geo+json, they write as a
// JSON string, which by the specification would be the data itself, quotes included.
func unquoteText(event *rawevent.Event) {
	contentType := event.DataContentType
	if contentType == "" || !rawevent.IsJSON(contentType) || strings.EqualFold(essenceOf(contentType), "application/json") {
		return
	}
	if text, ok := stringBytes(event.Data); ok && json.Valid(text) {
		event.Data = text
	}
}

// bytesOf returns the bytes of s without a copy; they must not be written to. It never returns nil, which would mean
// that there is no data.
func bytesOf(s string) []byte {
	if s == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}

// essenceOf returns a media type without its parameters.
func essenceOf(mediaType string) string {
	essence, _, _ := strings.Cut(mediaType, ";")
	return strings.TrimSpace(essence)
}
