package rawevent

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// validJSON reports whether text is one JSON value, as json.Valid does (FuzzValidJSON holds the two together), with at
// most limit levels of objects and arrays. json.Valid took half of the time of decoding a batch: most bytes of an event
// are inside strings, and this validator checks those eight at a time.
func validJSON(text []byte, limit int) bool {
	v := validator{text: text, limit: limit}
	return v.valid()
}

type validator struct {
	text  []byte
	pos   int
	limit int // levels that may still be opened
	deep  bool
}

func (v *validator) valid() bool { return v.value() && v.peek() == 0 && v.pos == len(v.text) }

// fault says what is wrong after valid has returned false.
func (v *validator) fault() string {
	rest := string(v.text[min(v.pos, len(v.text)):])
	switch {
	case strings.TrimSpace(string(v.text)) == "":
		return "it is empty"
	case rest == "", isCutLiteral(rest):
		return "it ends too early"
	case v.pos == 0 && strings.HasPrefix(rest, "\ufeff"):
		return "it starts with a byte order mark, which the JSON event format does not allow; send UTF-8 without it"
	}
	for _, number := range []string{"NaN", "Infinity", "nan", "inf"} {
		if strings.HasPrefix(strings.TrimLeft(rest, "+-"), number) {
			return fmt.Sprintf("%s at byte %d is not a JSON number", number, v.pos)
		}
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return fmt.Sprintf("unexpected %q at byte %d", r, v.pos)
}

// isCutLiteral reports whether rest is the beginning of a literal.
func isCutLiteral(rest string) bool {
	return slices.ContainsFunc([]string{"true", "false", "null"}, func(literal string) bool {
		return strings.HasPrefix(literal, rest)
	})
}

// peek skips white space and returns the byte that follows. It returns 0 at the end, and for U+0000, which starts no
// value.
func (v *validator) peek() byte {
	for ; v.pos < len(v.text); v.pos++ {
		switch c := v.text[v.pos]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

func (v *validator) value() bool {
	switch c := v.peek(); {
	case c == '"':
		return v.str()
	case c == '{':
		return v.list('}', v.member)
	case c == '[':
		return v.list(']', v.value)
	case c == '-' || isDigit(c):
		return v.number()
	case c == 't':
		return v.literal("true")
	case c == 'f':
		return v.literal("false")
	case c == 'n':
		return v.literal("null")
	default:
		return false
	}
}

// list accepts an object or an array: elements separated by commas.
func (v *validator) list(end byte, element func() bool) bool {
	if v.limit == 0 {
		v.deep = true
		return false
	}
	v.limit--
	v.pos++
	if v.peek() == end {
		return v.leave()
	}
	for element() {
		switch v.peek() {
		case ',':
			v.pos++
		case end:
			return v.leave()
		default:
			return false
		}
	}
	return false
}

func (v *validator) leave() bool {
	v.pos++
	v.limit++
	return true
}

func (v *validator) member() bool {
	if v.peek() != '"' || !v.str() || v.peek() != ':' {
		return false
	}
	v.pos++
	return v.value()
}

func (v *validator) literal(s string) bool {
	if len(v.text)-v.pos < len(s) || string(v.text[v.pos:v.pos+len(s)]) != s {
		return false
	}
	v.pos += len(s)
	return true
}

func (v *validator) str() bool {
	for v.pos++; ; {
		v.pos = skipPlain(v.text, v.pos)
		if v.pos >= len(v.text) {
			return false
		}
		switch v.text[v.pos] {
		case '"':
			v.pos++
			return true
		case '\\':
			if !v.escape() {
				return false
			}
		default: // a control character
			return false
		}
	}
}

func (v *validator) escape() bool {
	if v.pos+1 >= len(v.text) {
		return false
	}
	v.pos++
	c := v.text[v.pos]
	if c != 'u' {
		isLegal := strings.IndexByte(`"\/bfnrt`, c) >= 0
		if isLegal {
			v.pos++
		}
		return isLegal
	}
	v.pos++
	for range 4 {
		if v.pos >= len(v.text) || !isHex(v.text[v.pos]) {
			return false
		}
		v.pos++
	}
	return true
}

func (v *validator) number() bool {
	v.take("-")
	if !v.take("0") && !v.digits() {
		return false
	}
	if v.take(".") && !v.digits() {
		return false
	}
	if v.take("eE") {
		v.take("+-")
		return v.digits()
	}
	return true
}

// take skips one of the characters, if it is next.
func (v *validator) take(chars string) bool {
	if v.pos >= len(v.text) || strings.IndexByte(chars, v.text[v.pos]) < 0 {
		return false
	}
	v.pos++
	return true
}

func (v *validator) digits() bool {
	start := v.pos
	for v.pos < len(v.text) && isDigit(v.text[v.pos]) {
		v.pos++
	}
	return v.pos > start
}

// skipPlain returns the index of the first quote, backslash or control character at or after at, or len(text).
func skipPlain(text []byte, at int) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	for ; at+8 <= len(text); at += 8 {
		// Eight bytes at a time: (x - n*ones) &^ x & highs is not 0 if a byte of x is less than n, and x ^ c*ones has a
		// byte 0 where x has c (Anderson, Bit Twiddling Hacks: "Determine if a word has a byte less than n").
		x := binary.LittleEndian.Uint64(text[at:])
		quote, backslash := x^('"'*ones), x^('\\'*ones)
		if ((x-0x20*ones)&^x|(quote-ones)&^quote|(backslash-ones)&^backslash)&highs != 0 {
			break
		}
	}
	for ; at < len(text); at++ {
		if c := text[at]; c == '"' || c == '\\' || c < 0x20 {
			break
		}
	}
	return at
}
