// Package cesql compiles and evaluates expressions of the CloudEvents SQL Expression Language (CESQL) 1.0.0.
//
// [Compile] parses an expression once. The resulting [Expr] is immutable and safe for concurrent use. [Expr.Match] is
// what a filter needs, [Expr.Eval] returns value and error as the specification defines them, [Expr.Explain] returns
// every step. At load time, [Expr.CheckFilter] finds expressions that can never match, and [Expr.Warnings] those that
// are likely to be misread; [Expr.Portability] lists what other implementations evaluate differently.
//
// # Where the specification leaves a choice
//
//   - AND, OR and XOR have equal precedence and are evaluated from left to right (section 3.6), unlike in SQL:
//     a OR b AND c is (a OR b) AND c. NOT binds tighter than every other operator: NOT a = b is (NOT a) = b. Both cause
//     a warning.
//   - Evaluation fails fast (section 4.1): an operator or function whose operand has an error yields the zero value of
//     its own type and that error, and evaluates nothing further.
//   - An overflow of +, -, *, / or unary minus is a math error whose value is the nearest Integer, as for ABS.
//   - The elements of IN are compared from left to right up to the first that is equal. An element that cannot be cast
//     ends the search with a cast error.
//   - Inside a literal, a backslash escapes the quote that delimits it and stands for itself before any other
//     character. A doubled quote is a parse error, because grammar and text of the specification disagree about it.
//   - A character is a Unicode code point.
//
// # Types of attributes
//
// Events carry the canonical text of their attributes. An attribute is therefore a String, and casts turn it into other
// types. If the whole expression is one extension attribute, true and false in lower case are a Boolean, and an integer
// in canonical form is an Integer.
package cesql
