package cesql

import (
	"fmt"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// manyTexts is the number of literals from which on a set becomes a map.
const manyTexts = 8

// group is an expression in parentheses. It exists during parsing only, because warnings depend on parentheses; operand
// strips it.
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

// operand returns x with the type that its parent casts it to.
func (p *parser) operand(x node, want Type) operand {
	x = strip(x)
	o := operand{node: x, want: want}
	if x.typ() != want && want != anyType {
		o.failed = newError(ErrCast, p.source, x.at(),
			fmt.Sprintf("the value cannot be cast to %s", withArticle(want)), castRemedy(want))
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
		return "an Integer is a number from -2147483648 to 2147483647; test it with IS_INT"
	}
	return "a Boolean is true or false; test it with IS_BOOL"
}

func (p *parser) overflow(at span) *Error {
	return newError(ErrMath, p.source, at, "the result is not a 32-bit integer",
		"keep it between -2147483648 and 2147483647")
}

// binary returns the node of a binary operator.
func (p *parser) binary(op token, left, right node) node {
	at := span{start(left), p.tokens[p.next-1].to}
	both := func(x, y Type) [2]operand { return [2]operand{p.operand(left, x), p.operand(right, y)} }
	switch op.text {
	case "AND", "OR", "XOR":
		p.warnMixed(op, left)
		return &logic{at, op.text, both(Boolean, Boolean)}
	case "=", "!=", "<>":
		p.warnNegated(op.text, left)
		target := right.typ() // the right operand decides (section 3.7)
		return &equal{at, both(target, target), op.text != "="}
	case "<", "<=", ">", ">=":
		p.warnNegated(op.text, left)
		return &order{at, op.text, both(Integer, Integer)}
	default:
		byZero := newError(ErrMath, p.source, at, "division by zero", "guard it with x != 0 AND ...")
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
	pattern := compilePattern(unquote(t.text))
	if pattern.countsCharacters() {
		p.noteCharacters(t.span, "_")
	}
	return &like{
		span: span{start(left), t.to}, x: [1]operand{p.operand(left, String)},
		pattern: pattern, negated: negated,
	}, nil
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

// texts returns the elements as a set, or nil if any of them is not a literal.
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
	if fn.countsCharacters() {
		p.noteCharacters(at, fn.name)
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

// typed gives an expression that is one extension attribute its type; see the package documentation.
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
