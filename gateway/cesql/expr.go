package cesql

import (
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Expr is a compiled expression. It is immutable and safe for concurrent use. Create one with [Compile].
type Expr struct {
	source   string
	root     node
	warnings []Warning
	notes    []Note
}

// Compile parses an expression and prepares its evaluation. A non-nil error is an *[Error] of the kind [ErrParse]: the
// expression does not follow the grammar, is not valid UTF-8, or exceeds [MaxLength] or [MaxDepth].
//
// An unknown function, or an operand that can never be cast, is an evaluation error by the specification, and compiles.
// Call [Expr.CheckFilter] to find such mistakes before the first event.
func Compile(expr string) (*Expr, error) {
	p, err := parse(expr)
	if err != nil {
		return nil, err
	}
	return &Expr{source: expr, root: strip(p.root), warnings: p.warnings, notes: p.notes}, nil
}

// String returns the source of the expression, unchanged.
func (x *Expr) String() string { return x.source }

// Eval evaluates the expression on an event. A non-nil error is an *[Error]; the value beside it is what the operator
// or function returns in that case. Eval neither modifies nor retains the event. Its running time is bounded by the
// lengths of the expression and the attributes.
func (x *Expr) Eval(e *rawevent.Event) (Value, error) {
	v, err := x.root.eval(e)
	if err != nil {
		return v, err
	}
	return typed(x.root, v), nil
}

// Match reports whether the event passes the expression as a filter: the value is the Boolean true and there is no
// error (section 1.2). A non-nil error is an *[Error], and Match is false then. A result that is not a Boolean is
// false, without an error. Match does not allocate unless the expression calls LOWER, UPPER, CONCAT or CONCAT_WS, or
// casts an Integer to String.
func (x *Expr) Match(e *rawevent.Event) (bool, error) {
	v, err := x.Eval(e)
	return err == nil && v.IsTrue(), err
}
