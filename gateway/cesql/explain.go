package cesql

import (
	"slices"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Step is the evaluation of a sub-expression on an event.
type Step struct {
	// Expression is the source of the sub-expression, without parentheses around it.
	Expression string
	// Skipped means that the sub-expression was not evaluated, because another operand decided or failed. Value and Err
	// are zero then.
	Skipped bool
	// Value is the result, before any cast by the enclosing operator.
	Value Value
	// Err is nil or an *[Error]. A step that fails because of an operand has the error of that operand.
	Err error
	// Steps are the operands, in the order of evaluation.
	Steps []Step
}

// Explain evaluates the expression on an event and returns every step. The outermost step is the whole expression; its
// value and error are those of [Expr.Eval]. Explain is meant for people and allocates.
func (x *Expr) Explain(e *rawevent.Event) Step {
	s, err := x.explain(x.root, e)
	if err == nil {
		s.Value = typed(x.root, s.Value)
	}
	return s
}

func (x *Expr) explain(n node, e *rawevent.Event) (Step, *Error) {
	s := x.step(n)
	_, done := n.(*unknown) // an unknown function does not evaluate its arguments
	operands := slices.Clone(n.operands())
	for i := range operands {
		if done {
			s.Steps = append(s.Steps, x.skipped(operands[i].node))
			continue
		}
		step, err := x.explain(operands[i].node, e)
		s.Steps = append(s.Steps, step)
		operands[i].node = &evaluated{operands[i].node, step.Value, err}
		v, err := operands[i].value(e)
		done = err != nil || stops(n, operands[:i+1], v, e)
	}
	v, err := withOperands(n, operands).eval(e)
	s.Value, s.Err = v, asError(err)
	return s, err
}

// evaluated is a node whose result is known, so that the levels above do not evaluate it again.
type evaluated struct {
	node
	value Value
	err   *Error
}

func (n *evaluated) eval(*rawevent.Event) (Value, *Error) { return n.value, n.err }

// withOperands returns a copy of n with other operands.
func withOperands(n node, x []operand) node {
	switch n := n.(type) {
	case *in:
		c := *n
		c.x = x
		return &c
	case *call:
		c := *n
		c.x = x
		return &c
	case *not:
		c := *n
		return replace(&c, x)
	case *negate:
		c := *n
		return replace(&c, x)
	case *logic:
		c := *n
		return replace(&c, x)
	case *equal:
		c := *n
		return replace(&c, x)
	case *order:
		c := *n
		return replace(&c, x)
	case *arithmetic:
		c := *n
		return replace(&c, x)
	case *like:
		c := *n
		return replace(&c, x)
	default: // no operands, or none that is evaluated
		return n
	}
}

// replace overwrites the operands of a node that stores them in an array.
func replace(n node, x []operand) node {
	copy(n.operands(), x)
	return n
}

func (x *Expr) step(n node) Step {
	at := n.at()
	return Step{Expression: x.source[at.from:at.to]}
}

// skipped returns the step of n and of all of its operands as not evaluated.
func (x *Expr) skipped(n node) Step {
	s := x.step(n)
	s.Skipped = true
	operands := n.operands()
	for i := range operands {
		s.Steps = append(s.Steps, x.skipped(operands[i].node))
	}
	return s
}

// stops reports whether n is decided after these operands, the last of which has the value v.
func stops(n node, operands []operand, v Value, e *rawevent.Event) bool {
	switch n := n.(type) {
	case *logic:
		return len(operands) == 1 && n.decided(v)
	case *in:
		if len(operands) == 1 {
			return false
		}
		left, _ := operands[0].value(e)
		return v == left
	default:
		return false
	}
}
