package cesql

import (
	"fmt"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Warning points out a valid construct that many readers misunderstand.
type Warning struct {
	Position Position
	// Message says how the construct is evaluated and how to write it unambiguously.
	Message string
}

// Warnings returns the warnings for the author of the expression, in source order.
func (x *Expr) Warnings() []Warning { return append([]Warning(nil), x.warnings...) }

func (p *parser) warn(at span, message string) {
	p.warnings = append(p.warnings, Warning{position(p.source, at.from), message})
}

// warnMixed warns about AND, OR and XOR without parentheses between them: in SQL, AND binds tighter, and other
// implementations of this language group from the right.
func (p *parser) warnMixed(op token, left node) {
	if l, ok := left.(*logic); ok && l.op != op.text {
		p.warn(op.span, fmt.Sprintf("%s and %s have the same precedence and are evaluated from left to right: "+
			"this is (... %s ...) %s ...; add parentheses", l.op, op.text, l.op, op.text))
		p.noteMixed(op, l)
	}
}

// warnNegated warns about NOT before a comparison: it negates the left operand, not the comparison.
func (p *parser) warnNegated(op string, left node) {
	if _, ok := left.(*not); ok {
		p.warn(left.at(), fmt.Sprintf("NOT binds tighter than %s: this is (NOT ...) %s ...; add parentheses", op, op))
	}
}

// CheckFilter returns an error if no event can ever pass the expression as a filter for a reason that is known without
// an event: the result is not a Boolean, or a part that is always evaluated fails on every event, like an unknown
// function, a division by the literal 0, or a string that is not a number. It does not report an expression that is
// merely false. The error is an *[Error] of the kind that evaluation would return, and [ErrGeneric] for a wrong type.
func (x *Expr) CheckFilter() error {
	c := checker{constants: map[node]bool{}, failures: map[node]*Error{}}
	if err := c.neverTrue(x.root); err != nil {
		return err
	}
	if a, ok := x.root.(*attribute); ok && !isCore(a.name) {
		return nil // it may be a Boolean
	}
	if t := x.root.typ(); t != Boolean {
		at := x.root.at()
		return newError(ErrGeneric, x.source, at,
			fmt.Sprintf("the result is %s, but a filter needs a Boolean", withArticle(t)),
			"compare it with a value, like type = 'com.example.created'")
	}
	return nil
}

// checker caches its findings per node. Without the cache, the time for a long chain of operators would be exponential.
type checker struct {
	constants map[node]bool
	failures  map[node]*Error
}

// neverTrue returns why n cannot be true for any event; nil means that nothing is known.
func (c *checker) neverTrue(n node) *Error {
	l, ok := n.(*logic)
	if !ok {
		return c.alwaysFails(n)
	}
	left, right := c.operandNeverTrue(&l.x[0]), c.operandNeverTrue(&l.x[1])
	switch {
	case l.op == "AND" && left != nil:
		return left
	case l.op == "AND":
		return right
	case l.op == "OR" && left != nil && right != nil:
		return left
	default:
		return c.alwaysFails(n)
	}
}

func (c *checker) operandNeverTrue(o *operand) *Error {
	if err := c.neverTrue(o.node); err != nil {
		return err
	}
	return c.operandFails(o)
}

// alwaysFails returns the error that n has on every event; nil if there is none, or if it depends on the event.
func (c *checker) alwaysFails(n node) *Error {
	err, known := c.failures[n]
	if !known {
		err = c.failure(n)
		c.failures[n] = err
	}
	return err
}

func (c *checker) failure(n node) *Error {
	if u, ok := n.(*unknown); ok {
		return u.missing
	}
	if c.constant(n) {
		_, err := n.eval(new(rawevent.Event))
		return err
	}
	operands := n.operands()
	for i := range operands[:certain(n)] {
		if err := c.operandFails(&operands[i]); err != nil {
			return err
		}
	}
	return c.dividesByZero(n)
}

// certain returns how many operands are evaluated on every event, provided that those before them have no error.
func certain(n node) int {
	switch n := n.(type) {
	case *logic:
		if n.op != "XOR" {
			return 1
		}
	case *in:
		return 2
	}
	return len(n.operands())
}

func (c *checker) operandFails(o *operand) *Error {
	if err := c.alwaysFails(o.node); err != nil {
		return err
	}
	if c.constant(o.node) {
		_, err := o.value(new(rawevent.Event))
		return err
	}
	return nil
}

func (c *checker) dividesByZero(n node) *Error {
	a, ok := n.(*arithmetic)
	if !ok || (a.op != "/" && a.op != "%") || !c.constant(a.x[1].node) {
		return nil
	}
	if v, err := a.x[1].value(new(rawevent.Event)); err == nil && v == zero(Integer) {
		return a.byZero
	}
	return nil
}

// constant reports whether n does not depend on the event.
func (c *checker) constant(n node) bool {
	known, ok := c.constants[n]
	if !ok {
		known = c.isConstant(n)
		c.constants[n] = known
	}
	return known
}

func (c *checker) isConstant(n node) bool {
	switch n.(type) {
	case *attribute, *exists:
		return false
	}
	operands := n.operands()
	for i := range operands {
		if !c.constant(operands[i].node) {
			return false
		}
	}
	return true
}
