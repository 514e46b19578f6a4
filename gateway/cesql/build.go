package cesql

import (
	"fmt"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// manyTexts is from how many literals on a set is looked up and not searched.
const manyTexts = 8

// group is an expression in parentheses. It exists at compile time only, where warnings depend on it: whatever takes an
// operand strips it.
type group struct {
	node
	span
}

func (g *group) at() span { return g.span }

func strip(n node) node {
	for {
		g, ok := n.(*group)
		if !ok {
			return n
		}
		n = g.node
	}
}

// operand prepares x to be cast to a type.
func (p *parser) operand(x node, want Type) operand {
	x = strip(x)
	o := operand{node: x, want: want}
	if x.typ() != want && want != anyType {
		o.failed = newError(ErrCast, p.source, x.at(), fmt.Sprintf("the value cannot be read as %s", withArticle(want)), castRemedy(want))
	}
	return o
}

func withArticle(t Type) string {
	if t == Integer {
		return "an Integer"
	}
	return "a " + t.String()
}

func castRemedy(t Type) string {
	if t == Integer {
		return "an Integer is a sign and digits from -2147483648 to 2147483647; IS_INT tells whether a value is one"
	}
	return "a Boolean is true or false; IS_BOOL tells whether a value is one"
}

func (p *parser) overflow(at span) *Error {
	return newError(ErrMath, p.source, at, "the result is no 32-bit integer", "keep it from -2147483648 to 2147483647")
}

// binary makes the node of an operator with two operands.
func (p *parser) binary(op token, left, right node) node {
	at := span{start(left), p.tokens[p.next-1].to}
	both := func(x, y Type) [2]operand { return [2]operand{p.operand(left, x), p.operand(right, y)} }
	switch op.text {
	case "AND", "OR", "XOR":
		p.warnMixed(op, left)
		return &logic{at, op.text, both(Boolean, Boolean)}
	case "=", "!=", "<>":
		p.warnNegated(op.text, left)
		target := right.typ() // of the two operands the right one decides (section 3.7)
		return &equal{at, both(target, target), op.text != "="}
	case "<", "<=", ">", ">=":
		p.warnNegated(op.text, left)
		return &order{at, op.text, both(Integer, Integer)}
	default:
		byZero := newError(ErrMath, p.source, at, "division by zero", "test the divisor first: x != 0 AND ...")
		return &arithmetic{at, op.text, both(Integer, Integer), p.overflow(at), byZero}
	}
}

// start returns where an expression begins.
func start(n node) int { return n.at().from }

func (p *parser) like(left node, negated bool) (node, *Error) {
	t := p.peek()
	if t.kind != tokenString {
		return nil, p.unexpected(t, "a pattern in quotes after LIKE")
	}
	p.take()
	p.warnNegated("LIKE", left)
	return &like{span{start(left), t.to}, [1]operand{p.operand(left, String)}, compilePattern(unquote(t.text)), negated}, nil
}

func (p *parser) in(left node, negated bool) (node, *Error) {
	elements, end, err := p.list(1, "and a list after IN")
	if err != nil {
		return nil, err
	}
	p.warnNegated("IN", left)
	n := &in{span: span{start(left), end.to}, negated: negated}
	target := left.typ()
	n.x = append(make([]operand, 0, len(elements)+1), p.operand(left, target))
	for _, element := range elements {
		n.x = append(n.x, p.operand(element, target))
	}
	if target == String && len(elements) >= manyTexts {
		n.texts = texts(n.x[1:])
	}
	return n, nil
}

// texts returns the elements as a set, or nil if one is not a literal.
func texts(elements []operand) map[string]struct{} {
	set := make(map[string]struct{}, len(elements))
	for i := range elements {
		l, ok := elements[i].node.(*literal)
		if !ok {
			return nil
		}
		set[l.value.String()] = struct{}{}
	}
	return set
}

func (p *parser) call(name token) (node, *Error) {
	args, end, err := p.list(0, "after the name of a function")
	if err != nil {
		return nil, err
	}
	at := span{name.from, end.to}
	fn, named, ok := lookup(name.text, len(args))
	if !ok {
		reason, remedy := "there is no function "+shorten(name.text), "the functions are "+functionNames()
		if named {
			reason = fmt.Sprintf("the function %s does not take %d arguments", shorten(name.text), len(args))
			remedy = "see section 3.5 of the CloudEvents SQL specification for its arguments"
		}
		n := &unknown{span: at, missing: newError(ErrMissingFunction, p.source, at, reason, remedy)}
		for _, arg := range args {
			n.x = append(n.x, p.operand(arg, anyType))
		}
		return n, nil
	}
	n := &call{span: at, fn: fn}
	if fn.failure != "" {
		n.failed = newError(fn.kind, p.source, at, fn.failure, "")
	}
	for i, arg := range args {
		n.x = append(n.x, p.operand(arg, fn.param(i)))
	}
	return n, nil
}

// typed is the event-independent part of what a lone attribute is: see the package documentation.
func typed(n node, v Value) Value {
	a, ok := n.(*attribute)
	if !ok || isCore(a.name) || v.typ != String {
		return v
	}
	if v.str == "true" || v.str == "false" {
		return BooleanValue(v.str == "true")
	}
	if i, ok := parseInteger(v.str); ok && IntegerValue(i).String() == v.str {
		return IntegerValue(i)
	}
	return v
}

func isCore(name string) bool {
	switch name {
	case rawevent.AttrSpecVersion, rawevent.AttrID, rawevent.AttrSource, rawevent.AttrType, rawevent.AttrTime,
		rawevent.AttrSubject, rawevent.AttrDataSchema, rawevent.AttrDataContentType:
		return true
	}
	return false
}
