package cesql

import (
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxText bounds the result of CONCAT and CONCAT_WS in bytes: an expression could name a long attribute thousands of
// times.
const maxText = 1 << 16

// maxFixed is the largest number of arguments of a function that is not variadic.
const maxFixed = 3

// function is a built-in function for one number of arguments.
type function struct {
	name   string
	params []Type
	result Type
	// variadic means that the last parameter may occur any number of times, including zero.
	variadic bool
	// apply returns a value of the result type, and false if it failed. It takes its arguments in an array, because a
	// slice would be allocated on every call. Variadic functions have join instead.
	apply func(args [maxFixed]Value) (Value, bool)
	join  func(args []Value) (Value, bool)
	// failure and kind describe the error when apply or join fails; failure is empty if they cannot fail.
	failure string
	kind    Kind
}

func (f *function) param(i int) Type {
	return f.params[min(i, len(f.params)-1)]
}

// countsCharacters reports whether an argument or the result is a number of characters.
func (f *function) countsCharacters() bool {
	return slices.Contains([]string{"LENGTH", "LEFT", "RIGHT", "SUBSTRING"}, f.name)
}

func (f *function) takes(count int) bool {
	if f.variadic {
		return count >= len(f.params)-1
	}
	return count == len(f.params)
}

// lookup finds a function by its name, ignoring case, and its number of arguments. named reports whether a function of
// that name exists with any number of arguments.
func lookup(name string, count int) (found function, named, ok bool) {
	name = strings.ToUpper(name)
	for _, f := range builtins() {
		if f.name == name {
			named = true
			if f.takes(count) {
				return f, true, true
			}
		}
	}
	return function{}, named, false
}

// builtins lists all functions. It is called at compile time only.
func builtins() []function { return append(stringFunctions(), castFunctions()...) }

// functionNames lists the functions for an error message.
func functionNames() string {
	var names []string
	for _, f := range builtins() {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

func stringFunctions() []function {
	const negative = "the number of characters is negative"
	const outside = "the position is outside of the string, or the length is negative"
	const long = "the result is longer than 65536 bytes"
	return []function{
		{name: "LENGTH", params: []Type{String}, result: Integer, apply: length},
		{name: "CONCAT", params: []Type{String}, result: String, variadic: true,
			join:    func(args []Value) (Value, bool) { return join("", args) },
			failure: long, kind: ErrFunctionEvaluation},
		{name: "CONCAT_WS", params: []Type{String, String}, result: String, variadic: true,
			join:    func(args []Value) (Value, bool) { return join(args[0].str, args[1:]) },
			failure: long, kind: ErrFunctionEvaluation},
		text("LOWER", strings.ToLower),
		text("UPPER", strings.ToUpper),
		text("TRIM", strings.TrimSpace), // Unicode White_Space
		{name: "LEFT", params: []Type{String, Integer}, result: String, apply: left,
			failure: negative, kind: ErrFunctionEvaluation},
		{name: "RIGHT", params: []Type{String, Integer}, result: String, apply: right,
			failure: negative, kind: ErrFunctionEvaluation},
		{name: "SUBSTRING", params: []Type{String, Integer}, result: String,
			failure: outside, kind: ErrFunctionEvaluation,
			apply: func(args [maxFixed]Value) (Value, bool) {
				return substring(args[0].str, int(args[1].num), math.MaxInt)
			}},
		{name: "SUBSTRING", params: []Type{String, Integer, Integer}, result: String,
			failure: outside, kind: ErrFunctionEvaluation,
			apply: func(args [maxFixed]Value) (Value, bool) {
				return substring(args[0].str, int(args[1].num), int(args[2].num))
			}},
	}
}

func castFunctions() []function {
	return []function{
		{name: "ABS", params: []Type{Integer}, result: Integer, apply: absolute,
			failure: "the result is not a 32-bit integer", kind: ErrMath},
		castTo("INT", Integer),
		castTo("BOOL", Boolean),
		castTo("STRING", String),
		castable("IS_INT", Integer),
		castable("IS_BOOL", Boolean),
	}
}

func text(name string, change func(string) string) function {
	return function{
		name:   name,
		params: []Type{String},
		result: String,
		apply: func(args [maxFixed]Value) (Value, bool) {
			return StringValue(change(args[0].str)), true
		},
	}
}

func castTo(name string, t Type) function {
	return function{name: name, params: []Type{anyType}, result: t,
		failure: "the value cannot be cast to " + withArticle(t), kind: ErrCast,
		apply: func(args [maxFixed]Value) (Value, bool) { return args[0].cast(t) }}
}

func castable(name string, t Type) function {
	return function{
		name:   name,
		params: []Type{anyType},
		result: Boolean,
		apply: func(args [maxFixed]Value) (Value, bool) {
			_, ok := args[0].cast(t)
			return BooleanValue(ok), true
		},
	}
}

func length(args [maxFixed]Value) (Value, bool) {
	return IntegerValue(int32(min(utf8.RuneCountInString(args[0].str), math.MaxInt32))), true
}

func absolute(args [maxFixed]Value) (Value, bool) {
	switch i := args[0].num; {
	case i == math.MinInt32:
		return IntegerValue(math.MaxInt32), false // section 3.5.2
	case i < 0:
		return IntegerValue(-i), true
	default:
		return args[0], true
	}
}

func join(delimiter string, args []Value) (Value, bool) {
	size := 0
	for i := range args {
		size += len(args[i].str) + len(delimiter)
	}
	if len(args) > 0 {
		size -= len(delimiter)
	}
	if size > maxText {
		return StringValue(""), false
	}
	var b strings.Builder
	b.Grow(size)
	for i := range args {
		if i > 0 {
			b.WriteString(delimiter)
		}
		b.WriteString(args[i].str)
	}
	return StringValue(b.String()), true
}

func left(args [maxFixed]Value) (Value, bool) {
	if args[1].num < 0 {
		return args[0], false
	}
	return StringValue(firstChars(args[0].str, int(args[1].num))), true
}

func right(args [maxFixed]Value) (Value, bool) {
	if args[1].num < 0 {
		return args[0], false
	}
	return StringValue(lastChars(args[0].str, int(args[1].num))), true
}

// substring returns count characters of s from pos, which counts from 1, or from the end if it is negative.
func substring(s string, pos, count int) (Value, bool) {
	chars := utf8.RuneCountInString(s)
	switch {
	case count < 0 || pos > chars || pos < -chars:
		return StringValue(""), false
	case pos == 0:
		return StringValue(""), true
	case pos < 0:
		s = lastChars(s, -pos)
	default:
		s = s[len(firstChars(s, pos-1)):]
	}
	return StringValue(firstChars(s, count)), true
}

func firstChars(s string, count int) string {
	if count >= len(s) {
		return s
	}
	end := 0
	for ; count > 0 && end < len(s); count-- {
		_, size := utf8.DecodeRuneInString(s[end:])
		end += size
	}
	return s[:end]
}

func lastChars(s string, count int) string {
	if count >= len(s) {
		return s
	}
	start := len(s)
	for ; count > 0 && start > 0; count-- {
		_, size := utf8.DecodeLastRuneInString(s[:start])
		start -= size
	}
	return s[start:]
}
