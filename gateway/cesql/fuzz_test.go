package cesql

import (
	"errors"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// FuzzCompile compiles whatever comes. What compiles is evaluated, and written anew with all parentheses: that must be
// the same expression.
func FuzzCompile(f *testing.F) {
	for expression := range evalTable() {
		f.Add(expression)
	}
	for _, malformed := range []string{"NOT", "a = ", "a b", "EXISTS (id)", "'' = '' AND (", "'abc", `'\`, "1 IN ()", "((((", "\xff", "a\x00"} {
		f.Add(malformed)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		begin := time.Now()
		x, err := Compile(expression)
		if err != nil {
			checkParseError(t, expression, err)
			return
		}
		e := sample()
		checkConsistent(t, x, &e)
		empty := rawevent.Event{}
		checkConsistent(t, x, &empty)
		_ = x.CheckFilter()
		_ = x.Required()
		checkNotes(t, x)
		checkDump(t, x, &e)
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func checkParseError(t *testing.T, expression string, err error) {
	t.Helper()
	var found *Error
	if !errors.As(err, &found) || found.Kind != ErrParse || found.Position.Offset < 0 || found.Position.Offset > len(expression) ||
		found.Position.Line < 1 || found.Position.Column < 1 || found.Reason == "" ||
		found.Remedy == "" {
		t.Errorf("%q: %#v", expression, err)
	}
	if utf8.ValidString(expression) && !utf8.ValidString(err.Error()) {
		t.Errorf("%q: the error %q is not valid UTF-8", expression, err)
	}
}

func checkDump(t *testing.T, x *Expr, e *rawevent.Event) {
	t.Helper()
	written := dump(x.root)
	again, err := Compile(written)
	if err != nil {
		if len(written) <= MaxLength && maxNesting(written) <= MaxDepth {
			t.Fatalf("%q is written as %q: %v", x, written, err)
		}
		return
	}
	if dumped := dump(again.root); dumped != written {
		t.Errorf("%q is written as %q, and that as %q", x, written, dumped)
	}
	value, err := x.Eval(e)
	other, otherErr := again.Eval(e)
	if value != other || kindOf(err) != kindOf(otherErr) {
		t.Errorf("%q = %v, %v; %q = %v, %v", x, value, err, written, other, otherErr)
	}
}

// maxNesting is at least how deep the parser goes into what dump has written: parentheses, and an operator after one.
func maxNesting(written string) int {
	depth, deepest := 0, 0
	for _, r := range written {
		switch r {
		case '(':
			depth += 2
		case ')':
			depth -= 2
		}
		deepest = max(deepest, depth)
	}
	return deepest
}

// FuzzLike compares the matcher with the plainest one, which tries everything.
func FuzzLike(f *testing.F) {
	for _, c := range likeTable() {
		f.Add(c.text, c.pattern)
	}
	f.Fuzz(func(t *testing.T, text, pattern string) {
		if len(text) > 24 || len(pattern) > 12 || !utf8.ValidString(pattern) { // Compile refuses invalid UTF-8
			return
		}
		p := compilePattern(pattern)
		if got, want := p.match(text), plainLike(chars(text), chars(pattern)); got != want {
			t.Errorf("%q LIKE %q = %v, want %v", text, pattern, got, want)
		}
		if exact, ok := p.exact(); ok && p.match(text) != (text == exact) {
			t.Errorf("%q LIKE %q = %v, but it is said to match %q only", text, pattern, p.match(text), exact)
		}
	})
}

// chars splits a text; a byte that is not valid UTF-8 counts as a character.
func chars(s string) []string {
	var found []string
	for s != "" {
		_, size := utf8.DecodeRuneInString(s)
		found, s = append(found, s[:size]), s[size:]
	}
	return found
}

func plainLike(text, pattern []string) bool {
	switch {
	case len(pattern) == 0:
		return len(text) == 0
	case pattern[0] == "%":
		return plainLike(text, pattern[1:]) || (len(text) > 0 && plainLike(text[1:], pattern))
	case len(text) == 0:
		return false
	case pattern[0] == "_":
		return plainLike(text[1:], pattern[1:])
	case pattern[0] == `\` && len(pattern) > 1 && (pattern[1] == "%" || pattern[1] == "_"):
		pattern = pattern[1:]
	}
	return text[0] == pattern[0] && plainLike(text[1:], pattern[1:])
}

// checkNotes: notes are in source order, and each is at a token of the expression.
func checkNotes(t *testing.T, x *Expr) {
	t.Helper()
	last := 0
	for _, n := range x.Portability() {
		if n.Position.Offset < last || n.Position.Offset >= len(x.source) || n.Message == "" {
			t.Errorf("%q: %+v after offset %d", x, n, last)
		}
		last = n.Position.Offset
	}
}
