package cesql

import (
	"fmt"
	"strings"
)

// Kind is one of the kinds of errors that the specification names (section 3.3). It is an error itself, so that
// errors.Is(err, ErrCast) tells the kind.
type Kind uint8

// The kinds of errors.
const (
	// ErrGeneric is every error that has no kind of its own; it is the zero value.
	ErrGeneric Kind = iota
	// ErrParse is an expression that does not follow the grammar, or exceeds a limit.
	ErrParse
	// ErrMath is a division by zero, or a result that is no 32-bit integer.
	ErrMath
	// ErrCast is a value that cannot be read as the type that is needed.
	ErrCast
	// ErrMissingAttribute is an attribute that the event does not have.
	ErrMissingAttribute
	// ErrMissingFunction is a function that does not exist, or not with this number of arguments.
	ErrMissingFunction
	// ErrFunctionEvaluation is a function that got an argument outside of its range.
	ErrFunctionEvaluation
)

// String returns the name that the compatibility kit uses.
func (k Kind) String() string {
	switch k {
	case ErrParse:
		return "parse"
	case ErrMath:
		return "math"
	case ErrCast:
		return "cast"
	case ErrMissingAttribute:
		return "missingAttribute"
	case ErrMissingFunction:
		return "missingFunction"
	case ErrFunctionEvaluation:
		return "functionEvaluation"
	default:
		return "generic"
	}
}

// Error implements error.
func (k Kind) Error() string { return k.String() + " error" }

// Position is a place in an expression.
type Position struct {
	// Offset counts bytes from 0.
	Offset int
	// Line and Column count lines and characters from 1.
	Line, Column int
}

// Error is what is wrong with an expression, or with its evaluation on some event. It never contains a value of the event.
// Errors of evaluation are made at compile time and shared: do not change them.
type Error struct {
	Kind     Kind
	Position Position
	// Expression is the part of the expression at fault; it may be empty.
	Expression string
	// Reason says what is wrong, Remedy what to do about it.
	Reason, Remedy string
}

// maxQuoted bounds, in characters, how much of an expression an error repeats.
const maxQuoted = 80

// Error implements error: where, what and why, and the remedy.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cesql: line %d, column %d (offset %d): %s", e.Position.Line, e.Position.Column, e.Position.Offset, e.Kind.Error())
	if e.Expression != "" {
		fmt.Fprintf(&b, " in `%s`", shorten(e.Expression))
	}
	b.WriteString(": " + e.Reason)
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return b.String()
}

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }

func shorten(s string) string {
	if cut := firstChars(s, maxQuoted); len(cut) < len(s) {
		return cut + "..."
	}
	return s
}

// asError keeps a nil *Error from becoming an error that is not nil.
func asError(e *Error) error {
	if e == nil {
		return nil
	}
	return e
}
