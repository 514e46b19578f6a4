package cesql

import (
	"fmt"
	"strings"
)

// Kind is a kind of error that the specification defines (section 3.3). It is an error itself, so that
// errors.Is(err, ErrCast) tests for a kind.
type Kind uint8

// The kinds of errors.
const (
	// ErrGeneric is any other error. It is the zero value.
	ErrGeneric Kind = iota
	// ErrParse means that the expression does not follow the grammar or exceeds a limit.
	ErrParse
	// ErrMath is a division by zero, or a result that does not fit into 32 bits.
	ErrMath
	// ErrCast means that a value cannot be cast to the required type.
	ErrCast
	// ErrMissingAttribute means that the event does not have the attribute.
	ErrMissingAttribute
	// ErrMissingFunction means that no function with this name takes this number of arguments.
	ErrMissingFunction
	// ErrFunctionEvaluation means that an argument of a function is out of range.
	ErrFunctionEvaluation
)

// String returns the name of the kind in the CESQL compatibility kit.
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

// Position is a position in the source of an expression.
type Position struct {
	// Offset counts bytes from 0.
	Offset int
	// Line and Column count lines and characters from 1.
	Line, Column int
}

// Error is an error in an expression or in its evaluation on an event. It never contains a value of the event, and is
// safe to log. Evaluation errors are created at compile time and shared between evaluations: do not modify them.
type Error struct {
	Kind     Kind
	Position Position
	// Expression is the part of the source at fault; it may be empty.
	Expression string
	// Reason describes the error, Remedy how to fix it; Remedy may be empty.
	Reason, Remedy string
}

// maxQuoted bounds how many characters of an expression an error message repeats.
const maxQuoted = 80

// Error implements error: position, kind, reason and remedy.
func (e *Error) Error() string {
	var b strings.Builder
	at := e.Position
	fmt.Fprintf(&b, "cesql: line %d, column %d (offset %d): %s", at.Line, at.Column, at.Offset, e.Kind.Error())
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

// asError converts a nil *Error into a nil error.
func asError(e *Error) error {
	if e == nil {
		return nil
	}
	return e
}
