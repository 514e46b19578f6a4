package layout

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// decodeFields returns the entry with the fields in Base64 decoded; the entry itself if there are none.
func (l *Layout) decodeFields(e *redisstreams.Entry) (*redisstreams.Entry, error) {
	names := l.config.Fields.Base64
	if len(names) == 0 {
		return e, nil
	}
	decoded := &redisstreams.Entry{Stream: e.Stream, ID: e.ID, Fields: slices.Clone(e.Fields)}
	for i := 0; i+1 < len(decoded.Fields); i += 2 {
		if !chosen(names, decoded.Fields[i]) {
			continue
		}
		value, ok := decodeBase64(decoded.Fields[i+1])
		if !ok {
			return nil, e.Reject(redisstreams.ErrMalformed, fmt.Sprintf("the field %q is not base64", decoded.Fields[i]))
		}
		decoded.Fields[i+1] = value
	}
	return decoded, nil
}

// decodeBase64 decodes base64, bare or as a JSON string. JSON's null is the empty value.
func decodeBase64(text string) (string, bool) {
	text = strings.TrimSpace(text)
	if text == "null" {
		return "", true
	}
	if quoted, ok := stringBytes(bytesOf(text)); ok && json.Valid(bytesOf(text)) {
		text = string(quoted)
	}
	value, err := base64.StdEncoding.DecodeString(text)
	return string(value), err == nil
}

func chosen(names []string, field string) bool {
	return slices.Contains(names, field) || slices.Contains(names, every)
}

// fieldOrMember returns the value of a field, or else of a member of the JSON object in a field; see [FieldRules].
// Names may contain dots: the longest name of a field, and of a member, that fits is taken.
func fieldOrMember(e *redisstreams.Entry, path string) (string, error) {
	value, found, err := onlyField(e, path)
	if found || err != nil {
		return value, err
	}
	for end := strings.LastIndexByte(path, '.'); end > 0; end = strings.LastIndexByte(path[:end], '.') {
		text, found, err := onlyField(e, path[:end])
		if err != nil {
			return "", err
		}
		if found {
			return valueText(memberAt(json.RawMessage(text), path[end+1:])), nil
		}
	}
	return "", nil
}

// memberAt returns the member of a JSON object at a path, or nil.
func memberAt(object json.RawMessage, path string) json.RawMessage {
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil {
		return nil
	}
	if value, found := members[path]; found {
		return value
	}
	for end := strings.LastIndexByte(path, '.'); end > 0; end = strings.LastIndexByte(path[:end], '.') {
		if value, found := members[path[:end]]; found {
			return memberAt(value, path[end+1:])
		}
	}
	return nil
}

// unfold replaces the strings of an object that are JSON by that JSON, for the given names.
func unfold(object []byte, names []string) []byte {
	members := objectMembers(string(object))
	for i, m := range members {
		if !chosen(names, m.name) {
			continue
		}
		if text, ok := stringBytes(m.value); ok && json.Valid(text) {
			members[i].value = text
		}
	}
	return objectOf(members)
}
