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

// Step is what became of a sub-expression on an event.
type Step struct {
	// Expression is the sub-expression as it was written, without parentheses around it.
	Expression string
	// Skipped says that it was not evaluated, because another operand had decided or had an error; Value and Err are zero.
	Skipped bool
	// Value is the result, before a cast that the operator around it may demand.
	Value Value
	// Err is nil or an *[Error]. A step that takes its error from an operand has the operand's.
	Err error
	// Steps are the operands, in the order of evaluation.
	Steps []Step
}

// Explain evaluates the expression on an event and returns every step. The first one is the whole expression, with what Eval
// returns. It is meant for people: it takes time for each level of the expression again.
func (x *Expr) Explain(e *rawevent.Event) Step {
	s := x.explain(x.root, e)
	if s.Err == nil {
		s.Value = typed(x.root, s.Value)
	}
	return s
}

func (x *Expr) explain(n node, e *rawevent.Event) Step {
	s := x.step(n)
	v, err := n.eval(e)
	s.Value, s.Err = v, asError(err)
	_, done := n.(*unknown) // does not evaluate its arguments
	operands := n.operands()
	for i := range operands {
		if done {
			s.Steps = append(s.Steps, x.skipped(operands[i].node))
			continue
		}
		s.Steps = append(s.Steps, x.explain(operands[i].node, e))
		v, err := operands[i].value(e)
		done = err != nil || stops(n, i, v, e)
	}
	return s
}

func (x *Expr) step(n node) Step {
	at := n.at()
	return Step{Expression: x.source[at.from:at.to]}
}

// skipped returns a step with all of its operands, none of which is evaluated.
func (x *Expr) skipped(n node) Step {
	s := x.step(n)
	s.Skipped = true
	operands := n.operands()
	for i := range operands {
		s.Steps = append(s.Steps, x.skipped(operands[i].node))
	}
	return s
}

// stops reports whether an operator needs no further operand after the one with this value.
func stops(n node, i int, v Value, e *rawevent.Event) bool {
	switch n := n.(type) {
	case *logic:
		return i == 0 && n.decided(v)
	case *in:
		if i == 0 {
			return false
		}
		left, _ := n.x[0].value(e)
		return v == left
	default:
		return false
	}
}
