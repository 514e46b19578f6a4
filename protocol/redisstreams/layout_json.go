package redisstreams

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// This file takes apart JSON texts of other programs that are nearly events, so that they can be mended and then read by
// rawevent, which refuses them as they are.

// jsonMember is one member of a JSON object, its value as it stands there.
type jsonMember struct {
	name  string
	value json.RawMessage
}

// objectMembers returns the members of a JSON object, up to where text stops being one.
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

// objectOf is the JSON object of the members.
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

// stringBytes returns what a JSON string stands for, with the bytes in it that are not UTF-8, which encoding/json would
// replace. ok is false if it is no string.
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

// validPrefix returns how many bytes of text are UTF-8.
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
