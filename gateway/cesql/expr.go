package cesql

import (
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Expr is a compiled expression. It is immutable and safe for concurrent use. Get one from [Compile].
type Expr struct {
	source   string
	root     node
	warnings []Warning
}

// Compile parses an expression and prepares its evaluation. A non-nil error is an *[Error] of the kind [ErrParse]: the
// expression does not follow the grammar, is no UTF-8, or exceeds [MaxLength] or [MaxDepth].
//
// By the specification an unknown function, or operands that can never be cast, are errors of the evaluation. A filter should
// not wait for that: see [Expr.CheckFilter].
func Compile(expr string) (*Expr, error) {
	root, warnings, err := parse(expr)
	if err != nil {
		return nil, err
	}
	return &Expr{source: expr, root: strip(root), warnings: warnings}, nil
}

// String returns the expression as it was written, so that it compiles to the same.
func (x *Expr) String() string { return x.source }

// Eval evaluates the expression on an event. There is a value also when there is an error, which is an *[Error]: what the
// operator or function returns in that case. Eval neither changes nor keeps the event. Its time is bounded by the lengths of
// the expression and the attributes.
func (x *Expr) Eval(e *rawevent.Event) (Value, error) {
	v, err := x.root.eval(e)
	if err != nil {
		return v, err
	}
	return typed(x.root, v), nil
}

// Match reports whether the event passes the expression as a filter: the value is the Boolean true and there is no error
// (section 1.2). An error comes with false, and is an *[Error]; with a result that is no Boolean there is none.
// Match allocates nothing unless the expression calls LOWER, UPPER, CONCAT or CONCAT_WS, or casts an Integer to String.
func (x *Expr) Match(e *rawevent.Event) (bool, error) {
	v, err := x.Eval(e)
	return err == nil && v.IsTrue(), err
}
