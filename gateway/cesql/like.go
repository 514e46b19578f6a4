package cesql

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// pattern is a compiled LIKE pattern: the pieces between its % wildcards. The first piece is anchored at the start of
// the text and the last one at its end. Those between are searched from left to right, where the leftmost hit is as
// good as any other: there is no backtracking, and a match takes at most (characters of text) x (characters of
// pattern) steps.
type pattern struct {
	pieces []piece
}

// piece is a part of a pattern without %.
type piece struct {
	text  string
	chars []string // one for each character, "" for any character; nil if the piece has no wildcard
	count int      // number of characters
}

func compilePattern(s string) pattern {
	var p pattern
	var current piece
	anyChar := false
	flush := func() {
		if !anyChar {
			current.chars = nil
		}
		p.pieces = append(p.pieces, current)
		current, anyChar = piece{}, false
	}
	for i := 0; i < len(s); {
		_, size := utf8.DecodeRuneInString(s[i:])
		char := s[i : i+size]
		i += size
		switch {
		case char == `\` && i < len(s) && (s[i] == '%' || s[i] == '_'):
			char = s[i : i+1]
			i++
		case char == "%":
			flush()
			continue
		case char == "_":
			char, anyChar = "", true
		}
		current.text += char
		current.chars = append(current.chars, char)
		current.count++
	}
	flush()
	return p
}

// exact returns the only text that matches, if the pattern has no wildcard.
func (p *pattern) exact() (string, bool) {
	if len(p.pieces) == 1 && p.pieces[0].chars == nil {
		return p.pieces[0].text, true
	}
	return "", false
}

// countsCharacters reports whether the pattern has the wildcard for one character.
func (p *pattern) countsCharacters() bool {
	return slices.ContainsFunc(p.pieces, func(piece piece) bool { return piece.chars != nil })
}

func (p *pattern) match(s string) bool {
	first, last := &p.pieces[0], &p.pieces[len(p.pieces)-1]
	end, ok := first.prefix(s)
	if !ok {
		return false
	}
	s = s[end:]
	if len(p.pieces) == 1 {
		return s == ""
	}
	start, ok := last.suffix(s)
	if !ok {
		return false
	}
	s = s[:start]
	for i := 1; i < len(p.pieces)-1; i++ {
		end, ok := p.pieces[i].find(s)
		if !ok {
			return false
		}
		s = s[end:]
	}
	return true
}

// prefix reports whether s starts with the piece, and where the piece ends.
func (p *piece) prefix(s string) (end int, ok bool) {
	if p.chars == nil {
		return len(p.text), strings.HasPrefix(s, p.text)
	}
	for _, char := range p.chars {
		if end == len(s) {
			return 0, false
		}
		_, size := utf8.DecodeRuneInString(s[end:])
		if char != "" && s[end:end+size] != char {
			return 0, false
		}
		end += size
	}
	return end, true
}

// suffix reports whether s ends with the piece, and where the piece starts.
func (p *piece) suffix(s string) (start int, ok bool) {
	if p.chars == nil {
		return len(s) - len(p.text), strings.HasSuffix(s, p.text)
	}
	start = len(s)
	for range p.count {
		if start == 0 {
			return 0, false
		}
		_, size := utf8.DecodeLastRuneInString(s[:start])
		start -= size
	}
	_, ok = p.prefix(s[start:])
	return start, ok
}

// find searches for the leftmost occurrence of the piece and returns where it ends.
func (p *piece) find(s string) (end int, ok bool) {
	if p.chars == nil {
		i := strings.Index(s, p.text)
		return i + len(p.text), i >= 0
	}
	for i := 0; i < len(s); {
		if length, ok := p.prefix(s[i:]); ok {
			return i + length, true
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return 0, false
}
