package cesql

import (
	"math"
	"strconv"
)

// Type is a type of the language.
type Type uint8

// The primitive types. The zero Type is Boolean, which the specification assumes for an unknown type.
const (
	Boolean Type = iota
	Integer
	String
)

// anyType is the type of a parameter that accepts every type without a cast.
const anyType Type = 255

// String returns the name of the type in the specification.
func (t Type) String() string {
	switch t {
	case Boolean:
		return "Boolean"
	case Integer:
		return "Integer"
	case String:
		return "String"
	default:
		return "Any"
	}
}

// Value is a Boolean, an Integer or a String. The zero value is Boolean false. Values are comparable with ==.
type Value struct {
	typ Type
	num int32 // a Boolean is 0 or 1
	str string
}

// BooleanValue returns b as a value.
func BooleanValue(b bool) Value {
	if b {
		return Value{typ: Boolean, num: 1}
	}
	return Value{}
}

// IntegerValue returns i as a value.
func IntegerValue(i int32) Value { return Value{typ: Integer, num: i} }

// StringValue returns s as a value.
func StringValue(s string) Value { return Value{typ: String, str: s} }

// Type returns the type of v.
func (v Value) Type() Type { return v.typ }

// IsTrue reports whether v is the Boolean true, with which an event passes a filter. It does not cast.
func (v Value) IsTrue() bool { return v.typ == Boolean && v.num == 1 }

// Any returns v as a bool, int32 or string.
func (v Value) Any() any {
	switch v.typ {
	case Integer:
		return v.num
	case String:
		return v.str
	default:
		return v.num == 1
	}
}

// String returns v cast to String.
func (v Value) String() string {
	switch v.typ {
	case Integer:
		return strconv.Itoa(int(v.num))
	case String:
		return v.str
	default:
		return strconv.FormatBool(v.num == 1)
	}
}

// zero returns the zero value of a type (section 3.1).
func zero(t Type) Value {
	if t == anyType {
		return Value{}
	}
	return Value{typ: t}
}

// cast returns v cast to a type, or the zero value of that type and false (section 3.7).
func (v Value) cast(to Type) (Value, bool) {
	if v.typ == to || to == anyType {
		return v, true
	}
	switch to {
	case String:
		return StringValue(v.String()), true
	case Integer:
		if v.typ == Boolean {
			return IntegerValue(v.num), true
		}
		i, ok := parseInteger(v.str)
		return IntegerValue(i), ok
	default:
		if v.typ == Integer {
			return BooleanValue(v.num != 0), true
		}
		return parseBoolean(v.str)
	}
}

// parseInteger reads an optional sign and digits. strconv.ParseInt would allocate an error for other text, and filters
// see much of that.
func parseInteger(s string) (int32, bool) {
	digits, negative := s, false
	if s != "" && (s[0] == '+' || s[0] == '-') {
		digits, negative = s[1:], s[0] == '-'
	}
	if digits == "" {
		return 0, false
	}
	var n int64
	for i := range len(digits) {
		c := digits[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + int64(c-'0'); n > -math.MinInt32 {
			return 0, false
		}
	}
	if negative {
		n = -n
	}
	if n > math.MaxInt32 {
		return 0, false
	}
	return int32(n), true
}

func parseBoolean(s string) (Value, bool) {
	switch {
	case equalFoldASCII(s, "true"):
		return BooleanValue(true), true
	case equalFoldASCII(s, "false"):
		return BooleanValue(false), true
	default:
		return BooleanValue(false), false
	}
}

// equalFoldASCII compares s with lower, ignoring the case of ASCII letters. strings.EqualFold would also accept the
// long s (U+017F) for an s.
func equalFoldASCII(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
