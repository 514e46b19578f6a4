package stacapi

import (
	"bytes"
	"errors"
)

// This file takes an answer apart into its members and elements without judging what is in them. It follows strings and
// brackets only, so that one broken item on a page, such as one with a control character in a string, does not keep the
// others from being read. For valid JSON it finds what encoding/json finds.

// errStructure is the error of a text whose brackets and strings do not fit together.
var errStructure = errors.New("the structure of the JSON is broken")

// splitObject calls f for each member of a JSON object, in order. The name is as it is written between its quotes;
// value is a slice of text.
func splitObject(text []byte, f func(name string, value []byte)) error {
	return split(text, '{', '}', f)
}

// splitArray returns the elements of a JSON array, which are slices of text.
func splitArray(text []byte) (elements [][]byte, err error) {
	err = split(text, '[', ']', func(_ string, value []byte) { elements = append(elements, value) })
	return elements, err
}

func split(text []byte, begin, end byte, f func(name string, value []byte)) error {
	at := skipSpace(text, 0)
	if at == len(text) || text[at] != begin {
		return errStructure
	}
	at = skipSpace(text, at+1)
	for isFirst := true; at < len(text); isFirst = false {
		if text[at] == end {
			return nil
		}
		if !isFirst {
			if text[at] != ',' {
				return errStructure
			}
			at = skipSpace(text, at+1)
			if at < len(text) && text[at] == end {
				return nil // a comma too many
			}
		}
		name := ""
		if begin == '{' {
			stop := skipString(text, at)
			colon := skipSpace(text, stop)
			if stop == at || colon == len(text) || text[colon] != ':' {
				return errStructure
			}
			name, at = string(text[at+1:stop-1]), skipSpace(text, colon+1)
		}
		stop := skipValue(text, at)
		if stop == at {
			return errStructure
		}
		f(name, text[at:stop:stop])
		at = skipSpace(text, stop)
	}
	return errStructure
}

func skipSpace(text []byte, at int) int {
	for at < len(text) && isSpace(text[at]) {
		at++
	}
	return at
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// skipString returns the place behind the string that begins at a place, or that place if there is none.
func skipString(text []byte, at int) int {
	if at >= len(text) || text[at] != '"' {
		return at
	}
	for i := at + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return at
}

// skipValue returns the place behind the value that begins at a place, or that place if there is none.
func skipValue(text []byte, at int) int {
	if at >= len(text) {
		return at
	}
	switch text[at] {
	case '"':
		return skipString(text, at)
	case '{', '[':
		return skipBrackets(text, at)
	}
	i := at
	for i < len(text) && !isSpace(text[i]) && bytes.IndexByte([]byte(`,:{}[]"`), text[i]) < 0 {
		i++
	}
	return i
}

func skipBrackets(text []byte, at int) int {
	var open []byte // the brackets that close what is open
	for i := at; i < len(text); i++ {
		switch c := text[i]; c {
		case '{':
			open = append(open, '}')
		case '[':
			open = append(open, ']')
		case '"':
			stop := skipString(text, i)
			if stop == i {
				return at
			}
			i = stop - 1
		case '}', ']':
			if open[len(open)-1] != c {
				return at
			}
			if open = open[:len(open)-1]; len(open) == 0 {
				return i + 1
			}
		}
	}
	return at
}
