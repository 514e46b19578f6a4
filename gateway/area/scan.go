package area

import (
	"errors"
	"strings"
)

var errJSON = errors.New("the text is not valid JSON")

// members calls f for each member of an object, in order, with the value as JSON text. Escapes in names are not
// decoded: the names that matter here have none.
func members(text string, f func(name, value string) error) error {
	return items(text, '{', '}', f)
}

// elements calls f for each element of an array, in order, with the value as JSON text.
func elements(text string, f func(value string) error) error {
	return items(text, '[', ']', func(_, value string) error { return f(value) })
}

func items(text string, begin, end byte, f func(name, value string) error) error {
	at := space(text, 0)
	if at >= len(text) || text[at] != begin {
		return errJSON
	}
	if at = space(text, at+1); at < len(text) && text[at] == end {
		return nil
	}
	for {
		name := ""
		if begin == '{' {
			after := skip(text, at)
			if after < 0 || text[at] != '"' {
				return errJSON
			}
			name = text[at+1 : after-1]
			if at = space(text, after); at >= len(text) || text[at] != ':' {
				return errJSON
			}
			at = space(text, at+1)
		}
		after := skip(text, at)
		if after < 0 {
			return errJSON
		}
		if err := f(name, text[at:after]); err != nil {
			return err
		}
		if at = space(text, after); at >= len(text) {
			return errJSON
		}
		switch text[at] {
		case end:
			return nil
		case ',':
			at = space(text, at+1)
		default:
			return errJSON
		}
	}
}

func space(text string, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\n' || text[at] == '\t' || text[at] == '\r') {
		at++
	}
	return at
}

// skip returns the end of the value that starts at a position, or -1. It scans objects and arrays for their ends only;
// what is inside is parsed if it is used.
func skip(text string, at int) int {
	if at >= len(text) {
		return -1
	}
	switch text[at] {
	case '"':
		return skipText(text, at)
	case '{', '[':
		depth := 0
		for at < len(text) {
			switch text[at] {
			case '"':
				if at = skipText(text, at); at < 0 {
					return -1
				}
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return at + 1
				}
			}
			at++
		}
		return -1
	}
	end := at
	for end < len(text) && !strings.ContainsRune(" \n\t\r,]}:", rune(text[end])) {
		end++
	}
	if end == at {
		return -1
	}
	return end
}

func skipText(text string, at int) int {
	for at++; ; {
		next := strings.IndexByte(text[at:], '"')
		if next < 0 {
			return -1
		}
		at += next + 1
		slashes := 0
		for i := at - 2; i >= 0 && text[i] == '\\'; i-- {
			slashes++
		}
		if slashes%2 == 0 {
			return at
		}
	}
}
