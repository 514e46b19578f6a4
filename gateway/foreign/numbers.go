package foreign

import "bytes"

// numbers replaces NaN and Infinity in JSON by null. It knows of JSON no more than where strings are and after which
// characters a value begins, so that it works piece by piece and passes on everything else, valid or not.
type numbers struct {
	replaced int
	inString bool
	escaped  bool
	before   byte   // the last character that is not white space, outside of strings; 0 at the beginning
	word     []byte // of which the end has not been seen yet

	offset    int    // of the next byte
	first     int    // offset of the first word that was replaced
	firstWord string // that word
}

// maxWord is longer than every spelling of a non-finite number.
const maxWord = 12

// replace returns the text with the replacements. What may be the beginning of a word is kept for the next piece,
// unless this is the last one.
func (n *numbers) replace(text []byte, last bool) []byte {
	result := make([]byte, 0, len(text)+16)
	for _, c := range text {
		switch {
		case n.inString:
			result = append(result, c)
			n.inString = n.escaped || c != '"'
			n.escaped = !n.escaped && c == '\\'
		case isWord(c) && len(n.word) <= maxWord:
			n.word = append(n.word, c)
		case isWord(c): // too long; passes
			result = n.endWord(result)
			n.before = c
			result = append(result, c)
		default:
			result = n.endWord(result)
			result = append(result, c)
			n.inString = c == '"'
			if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
				n.before = c
			}
		}
		n.offset++
	}
	if last {
		result = n.endWord(result)
	}
	return result
}

// find reports whether there is anything to replace; first and firstWord then say where.
func (n *numbers) find(text []byte) bool {
	_ = n.replace(text, true)
	return n.replaced > 0
}

// endWord appends the word that has ended, or null instead of it.
func (n *numbers) endWord(result []byte) []byte {
	if len(n.word) == 0 {
		return result
	}
	isValue := n.before == 0 || n.before == ':' || n.before == ',' || n.before == '['
	if isValue && isNonFinite(n.word) {
		if n.replaced++; n.replaced == 1 {
			n.first, n.firstWord = n.offset-len(n.word), string(n.word)
		}
		result = append(result, "null"...)
	} else {
		result = append(result, n.word...)
	}
	n.before = n.word[len(n.word)-1]
	n.word = n.word[:0]
	return result
}

// isWord reports whether a byte may be part of a number or a literal.
func isWord(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.' || c == '_'
}

// isNonFinite knows the spellings of Python and JavaScript (NaN, Infinity, -Infinity), of C and its descendants (nan,
// inf) and of R (NaN, Inf), with a sign before any of them.
func isNonFinite(word []byte) bool {
	if word[0] == '-' || word[0] == '+' {
		word = word[1:]
	}
	for _, spelling := range []string{"nan", "inf", "infinity"} {
		if bytes.EqualFold(word, []byte(spelling)) {
			return true
		}
	}
	return false
}
