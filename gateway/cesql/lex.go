package cesql

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// span is a range of bytes in the source.
type span struct{ from, to int }

// at gives every node that embeds a span its position.
func (s span) at() span { return s }

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenKeyword
	tokenInteger
	tokenString
	tokenSymbol
)

// token is a lexical token. text is the source for words, integers and strings (including quotes), and upper case for
// keywords.
type token struct {
	kind tokenKind
	span
	text string
}

// is reports whether t is the keyword or symbol.
func (t token) is(text string) bool {
	return (t.kind == tokenKeyword || t.kind == tokenSymbol) && t.text == text
}

// describe returns the token as error messages show it.
func (t token) describe() string {
	switch t.kind {
	case tokenEnd:
		return "the end of the expression"
	case tokenKeyword:
		return "the keyword " + t.text
	default:
		return "`" + shorten(t.text) + "`"
	}
}

func lex(source string) ([]token, *Error) {
	tokens := make([]token, 0, len(source)/4+2)
	for i := 0; ; {
		for i < len(source) && strings.IndexByte(" \t\r\n", source[i]) >= 0 {
			i++
		}
		if i == len(source) {
			return append(tokens, token{span: span{i, i}}), nil
		}
		t, err := next(source, i)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		i = t.to
	}
}

// next reads the token at i.
func next(source string, i int) (token, *Error) {
	c := source[i]
	switch {
	case c == '\'' || c == '"':
		return nextString(source, i)
	case isWord(c):
		end := i + 1
		for end < len(source) && isWord(source[end]) {
			end++
		}
		return word(source[i:end], span{i, end}), nil
	case strings.IndexByte("<>!", c) >= 0 && i+1 < len(source) && isPair(source[i:i+2]):
		return token{tokenSymbol, span{i, i + 2}, source[i : i+2]}, nil
	case strings.IndexByte("()+-*/%,=<>", c) >= 0:
		return token{tokenSymbol, span{i, i + 1}, source[i : i+1]}, nil
	}
	r, size := utf8.DecodeRuneInString(source[i:])
	return token{}, parseError(source, span{i, i + size}, fmt.Sprintf("unexpected character %q", r),
		"put strings in quotes; attribute names consist of letters and digits")
}

func isPair(s string) bool { return s == "<=" || s == ">=" || s == "<>" || s == "!=" }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isWord(c byte) bool   { return isLetter(c) || isDigit(c) || c == '_' }

func word(text string, at span) token {
	if strings.Trim(text, "0123456789") == "" {
		return token{tokenInteger, at, text}
	}
	switch upper := strings.ToUpper(text); upper {
	case "AND", "OR", "XOR", "NOT", "LIKE", "EXISTS", "IN", "TRUE", "FALSE":
		return token{tokenKeyword, at, upper}
	}
	return token{tokenWord, at, text}
}

// nextString reads a string literal. A character after a backslash cannot end the literal.
func nextString(source string, from int) (token, *Error) {
	quote := source[from]
	for i := from + 1; i < len(source); i++ {
		switch source[i] {
		case '\\':
			i++
		case quote:
			if i+1 < len(source) && source[i+1] == quote {
				return token{}, parseError(
					source,
					span{i, i + 2},
					"a doubled quote inside a literal",
					fmt.Sprintf(`write \%c for the quote itself, or an operator between two literals`, quote))
			}
			return token{tokenString, span{from, i + 1}, source[from : i+1]}, nil
		}
	}
	return token{}, parseError(source, span{from, len(source)}, "the literal has no end",
		fmt.Sprintf(`close it with %c; a quote after a backslash does not end it`, quote))
}

// unquote returns what a literal stands for.
func unquote(literal string) string {
	quote, inner := literal[:1], literal[1:len(literal)-1]
	if !strings.Contains(inner, `\`+quote) {
		return inner
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		if inner[i] == '\\' && i+1 < len(inner) {
			if inner[i+1] != quote[0] {
				b.WriteByte('\\')
			}
			i++
		}
		b.WriteByte(inner[i])
	}
	return b.String()
}

func parseError(source string, at span, reason, remedy string) *Error {
	return newError(ErrParse, source, at, reason, remedy)
}

func newError(kind Kind, source string, at span, reason, remedy string) *Error {
	return &Error{
		Kind: kind, Position: position(source, at.from), Expression: source[at.from:at.to],
		Reason: reason, Remedy: remedy,
	}
}

func position(source string, offset int) Position {
	before := source[:offset]
	line := strings.LastIndexByte(before, '\n') + 1
	return Position{
		Offset: offset, Line: strings.Count(before, "\n") + 1, Column: utf8.RuneCountInString(before[line:]) + 1,
	}
}
