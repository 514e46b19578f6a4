package rawevent

import (
	"iter"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner walks JSON text that is known to be valid and returns its parts unchanged. encoding/json neither reports
// duplicate keys nor preserves the bytes of the data.
type scanner struct {
	text []byte
	pos  int
}

func (s *scanner) peek() byte {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; c {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// members yields the quoted keys and the values of the object at the current position.
func (s *scanner) members() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		s.pos++ // {
		for s.peek() != '}' {
			key := s.value()
			s.peek()
			s.pos++ // :
			if !yield(key, s.value()) {
				return
			}
			if s.peek() == ',' {
				s.pos++
			}
		}
	}
}

// elements yields the values of the array at the current position.
func (s *scanner) elements() iter.Seq[[]byte] {
	return func(yield func(value []byte) bool) {
		s.pos++ // [
		for s.peek() != ']' {
			if !yield(s.value()) {
				return
			}
			if s.peek() == ',' {
				s.pos++
			}
		}
	}
}

// value returns the text of the value at the current position, without surrounding white space, and moves past it.
func (s *scanner) value() []byte {
	first := s.peek()
	start := s.pos
	switch first {
	case '"':
		s.skipString()
	case '{', '[':
		s.skipNested()
	default:
		for s.pos < len(s.text) && !strings.ContainsRune(" \t\r\n,]}", rune(s.text[s.pos])) {
			s.pos++
		}
	}
	return s.text[start:s.pos:s.pos]
}

func (s *scanner) skipString() {
	for s.pos = skipPlain(s.text, s.pos+1); s.text[s.pos] != '"'; s.pos = skipPlain(s.text, s.pos+2) { // past an escape
	}
	s.pos++
}

func (s *scanner) skipNested() {
	for depth := 0; ; {
		switch s.text[s.pos] {
		case '"':
			s.skipString()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		s.pos++
		if depth == 0 {
			return
		}
	}
}

// memberName is decodeString for names. Common names are constants, which saves their allocation.
func memberName(quoted []byte) (string, bool) {
	switch string(quoted[1 : len(quoted)-1]) {
	case AttrSpecVersion:
		return AttrSpecVersion, true
	case AttrID:
		return AttrID, true
	case AttrSource:
		return AttrSource, true
	case AttrType:
		return AttrType, true
	case AttrTime:
		return AttrTime, true
	case AttrSubject:
		return AttrSubject, true
	case AttrDataContentType:
		return AttrDataContentType, true
	case "data":
		return "data", true
	default:
		return decodeString(quoted)
	}
}

// decodeString decodes a quoted JSON string. It returns false for an unpaired surrogate, which encoding/json would
// silently replace with U+FFFD.
func decodeString(quoted []byte) (string, bool) {
	inner := quoted[1 : len(quoted)-1]
	plain := true
	for i := 0; i < len(inner) && plain; i++ {
		plain = inner[i] != '\\'
	}
	if plain {
		return string(inner), true
	}
	decoded := make([]byte, 0, len(inner))
	for i := 0; i < len(inner); {
		if inner[i] != '\\' {
			decoded = append(decoded, inner[i])
			i++
			continue
		}
		if inner[i+1] != 'u' {
			decoded = append(decoded, unescape(inner[i+1]))
			i += 2
			continue
		}
		r := hexRune(inner[i+2:])
		i += 6
		if utf16.IsSurrogate(r) {
			if i+6 > len(inner) || inner[i] != '\\' || inner[i+1] != 'u' {
				return "", false
			}
			if r = utf16.DecodeRune(r, hexRune(inner[i+2:])); r == utf8.RuneError {
				return "", false
			}
			i += 6
		}
		decoded = utf8.AppendRune(decoded, r)
	}
	return string(decoded), true
}

func hexRune(digits []byte) rune {
	var r rune
	for _, c := range digits[:4] {
		r = r<<4 | rune(unhex(c))
	}
	return r
}

func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default:
		return c // quote, backslash, slash
	}
}

// AppendJSONString appends s, which must be valid UTF-8, as a JSON string. It escapes only what JSON requires, so that
// text stays readable and short.
func AppendJSONString(dst []byte, s string) []byte { return appendQuoted(dst, s) }

func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	const lowerHex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0 // of the part that is not copied yet
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', lowerHex[c>>4], lowerHex[c&15])
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// isText reports whether data of this media type is text, which can become a JSON string.
func isText(mediaType string) bool {
	base := strings.ToLower(strings.TrimSpace(until(mediaType, ";")))
	return strings.HasPrefix(base, "text/") || strings.HasSuffix(base, "/xml") || strings.HasSuffix(base, "+xml") ||
		strings.HasSuffix(base, "/yaml") || strings.HasSuffix(base, "+yaml")
}
