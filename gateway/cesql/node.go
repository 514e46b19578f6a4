package cesql

import (
	"math"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// node is a compiled sub-expression. Types are known at compile time, because attributes are Strings and every operator
// and function has one result type. eval returns a value of that type even with an error; only a missing attribute is
// the Boolean false instead (section 3.2). Errors are created at compile time, so that evaluation does not allocate.
type node interface {
	eval(e *rawevent.Event) (Value, *Error)
	typ() Type
	at() span
	// operands returns the sub-expressions in evaluation order.
	operands() []operand
}

// operand is a sub-expression and the type that its parent casts it to.
type operand struct {
	node
	want   Type
	failed *Error // returned if the cast fails; nil if it cannot fail
}

func (o *operand) value(e *rawevent.Event) (Value, *Error) {
	v, err := o.eval(e)
	if err != nil {
		return v, err
	}
	v, ok := v.cast(o.want)
	if !ok {
		return v, o.failed
	}
	return v, nil
}

type literal struct {
	span
	value Value
}

func (n *literal) eval(*rawevent.Event) (Value, *Error) { return n.value, nil }
func (n *literal) typ() Type                            { return n.value.typ }
func (n *literal) operands() []operand                  { return nil }

type attribute struct {
	span
	name    string
	missing *Error
}

func (n *attribute) eval(e *rawevent.Event) (Value, *Error) {
	if v, found := e.Attribute(n.name); found {
		return StringValue(v), nil
	}
	return Value{}, n.missing
}
func (n *attribute) typ() Type           { return String }
func (n *attribute) operands() []operand { return nil }

type exists struct {
	span
	name string
}

func (n *exists) eval(e *rawevent.Event) (Value, *Error) {
	switch n.name {
	case rawevent.AttrID, rawevent.AttrSource, rawevent.AttrType, rawevent.AttrSpecVersion:
		return BooleanValue(true), nil // true for every event (section 3.4.4)
	}
	_, found := e.Attribute(n.name)
	return BooleanValue(found), nil
}
func (n *exists) typ() Type           { return Boolean }
func (n *exists) operands() []operand { return nil }

type not struct {
	span
	x [1]operand
}

func (n *not) eval(e *rawevent.Event) (Value, *Error) {
	v, err := n.x[0].value(e)
	if err != nil {
		return Value{}, err
	}
	return BooleanValue(!v.IsTrue()), nil
}
func (n *not) typ() Type           { return Boolean }
func (n *not) operands() []operand { return n.x[:] }

type negate struct {
	span
	x        [1]operand
	overflow *Error
}

func (n *negate) eval(e *rawevent.Event) (Value, *Error) {
	v, err := n.x[0].value(e)
	if err != nil {
		return zero(Integer), err
	}
	return saturate(-int64(v.num), n.overflow)
}
func (n *negate) typ() Type           { return Integer }
func (n *negate) operands() []operand { return n.x[:] }

// saturate returns the Integer nearest to i, and the error overflow if that is not i.
func saturate(i int64, overflow *Error) (Value, *Error) {
	switch {
	case i > math.MaxInt32:
		return IntegerValue(math.MaxInt32), overflow
	case i < math.MinInt32:
		return IntegerValue(math.MinInt32), overflow
	default:
		return IntegerValue(int32(i)), nil
	}
}

// logic is AND, OR or XOR.
type logic struct {
	span
	op string
	x  [2]operand
}

// decided reports whether the left operand alone decides. The right one must not be evaluated then (section 3.4.2).
func (n *logic) decided(left Value) bool {
	return (n.op == "AND" && !left.IsTrue()) || (n.op == "OR" && left.IsTrue())
}

func (n *logic) eval(e *rawevent.Event) (Value, *Error) {
	left, err := n.x[0].value(e)
	if err != nil {
		return Value{}, err
	}
	if n.decided(left) {
		return left, nil
	}
	right, err := n.x[1].value(e)
	if err != nil {
		return Value{}, err
	}
	if n.op == "XOR" {
		return BooleanValue(left != right), nil
	}
	return right, nil // true AND y, false OR y
}
func (n *logic) typ() Type           { return Boolean }
func (n *logic) operands() []operand { return n.x[:] }

// equal is = or, if negated, != and <>. The left operand is cast to the type of the right one (section 3.7).
type equal struct {
	span
	x       [2]operand
	negated bool
}

func (n *equal) eval(e *rawevent.Event) (Value, *Error) {
	left, right, err := both(&n.x, e)
	if err != nil {
		return Value{}, err
	}
	return BooleanValue((left == right) != n.negated), nil
}
func (n *equal) typ() Type           { return Boolean }
func (n *equal) operands() []operand { return n.x[:] }

// both evaluates two operands from left to right and stops at an error.
func both(x *[2]operand, e *rawevent.Event) (left, right Value, err *Error) {
	if left, err = x[0].value(e); err != nil {
		return left, right, err
	}
	right, err = x[1].value(e)
	return left, right, err
}

// order is < <= > >=.
type order struct {
	span
	op string
	x  [2]operand
}

func (n *order) eval(e *rawevent.Event) (Value, *Error) {
	left, right, err := both(&n.x, e)
	if err != nil {
		return Value{}, err
	}
	var holds bool
	switch n.op {
	case "<":
		holds = left.num < right.num
	case "<=":
		holds = left.num <= right.num
	case ">":
		holds = left.num > right.num
	default:
		holds = left.num >= right.num
	}
	return BooleanValue(holds), nil
}
func (n *order) typ() Type           { return Boolean }
func (n *order) operands() []operand { return n.x[:] }

// arithmetic is + - * / %.
type arithmetic struct {
	span
	op               string
	x                [2]operand
	overflow, byZero *Error
}

func (n *arithmetic) eval(e *rawevent.Event) (Value, *Error) {
	left, right, err := both(&n.x, e)
	if err != nil {
		return zero(Integer), err
	}
	x, y := int64(left.num), int64(right.num)
	switch n.op {
	case "+":
		x += y
	case "-":
		x -= y
	case "*":
		x *= y
	default:
		if y == 0 {
			return zero(Integer), n.byZero
		}
		if n.op == "/" {
			x /= y
		} else {
			x %= y
		}
	}
	return saturate(x, n.overflow)
}
func (n *arithmetic) typ() Type           { return Integer }
func (n *arithmetic) operands() []operand { return n.x[:] }

type like struct {
	span
	x       [1]operand
	pattern pattern
	negated bool
}

func (n *like) eval(e *rawevent.Event) (Value, *Error) {
	v, err := n.x[0].value(e)
	if err != nil {
		return Value{}, err
	}
	return BooleanValue(n.pattern.match(v.str) != n.negated), nil
}
func (n *like) typ() Type           { return Boolean }
func (n *like) operands() []operand { return n.x[:] }

// in holds the left operand, followed by the elements, which are cast to its type.
type in struct {
	span
	x       []operand
	negated bool
	// texts holds the elements of a long set of literals if the left operand is a String. No element can fail then, so
	// that the order does not matter.
	texts map[string]struct{}
}

func (n *in) eval(e *rawevent.Event) (Value, *Error) {
	left, err := n.x[0].value(e)
	if err != nil {
		return Value{}, err
	}
	if n.texts != nil {
		_, found := n.texts[left.str]
		return BooleanValue(found != n.negated), nil
	}
	for i := 1; i < len(n.x); i++ {
		element, err := n.x[i].value(e)
		if err != nil {
			return Value{}, err
		}
		if element == left {
			return BooleanValue(!n.negated), nil
		}
	}
	return BooleanValue(n.negated), nil
}
func (n *in) typ() Type           { return Boolean }
func (n *in) operands() []operand { return n.x }

type call struct {
	span
	fn     function
	x      []operand
	failed *Error // nil if the function cannot fail
}

func (n *call) eval(e *rawevent.Event) (Value, *Error) {
	var v Value
	var err *Error
	ok := false
	if n.fn.variadic {
		v, ok, err = n.join(e)
	} else {
		v, ok, err = n.apply(e)
	}
	switch {
	case err != nil:
		return zero(n.fn.result), err
	case !ok:
		return v, n.failed
	default:
		return v, nil
	}
}

func (n *call) apply(e *rawevent.Event) (result Value, ok bool, err *Error) {
	var args [maxFixed]Value
	for i := range n.x {
		if args[i], err = n.x[i].value(e); err != nil {
			return result, false, err
		}
	}
	result, ok = n.fn.apply(args)
	return result, ok, nil
}

func (n *call) join(e *rawevent.Event) (result Value, ok bool, err *Error) {
	args := make([]Value, len(n.x))
	for i := range n.x {
		if args[i], err = n.x[i].value(e); err != nil {
			return result, false, err
		}
	}
	result, ok = n.fn.join(args)
	return result, ok, nil
}

func (n *call) typ() Type           { return n.fn.result }
func (n *call) operands() []operand { return n.x }

// unknown is a call of a function that does not exist: false with an error (section 3.5).
type unknown struct {
	span
	missing *Error
	x       []operand
}

func (n *unknown) eval(*rawevent.Event) (Value, *Error) { return Value{}, n.missing }
func (n *unknown) typ() Type                            { return Boolean }
func (n *unknown) operands() []operand                  { return n.x }
