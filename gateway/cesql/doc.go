// Package cesql compiles and evaluates expressions of the CloudEvents SQL Expression Language (CESQL) 1.0.0.
//
// [Compile] parses an expression once; the [Expr] is immutable and safe for concurrent use. [Expr.Match] is what a filter
// needs, [Expr.Eval] gives value and error as the specification orders, [Expr.Explain] shows every step.
// [Expr.CheckFilter] finds what can never match and [Expr.Warnings] what is likely to be read in another way than it is
// evaluated, both at load time.
//
// # Where the specification leaves a choice
//
//   - AND, OR and XOR have the same precedence and go left to right (section 3.6), unlike SQL: a OR b AND c is
//     (a OR b) AND c. NOT binds tighter than everything else: NOT a = b is (NOT a) = b. Both are warned about.
//   - The evaluation fails fast (section 4.1): an operator or function whose operand has an error yields the zero value of
//     its own type and that error, and evaluates nothing further.
//   - An overflow of +, -, *, / or unary minus is a math error, and the value is the nearest Integer, as for ABS.
//   - Elements of IN are compared from left to right up to the first that is equal; one that cannot be cast ends the search
//     with a cast error.
//   - Inside a literal a backslash escapes the quote that delimits it, and stays as it is before anything else. A doubled
//     quote is a parse error, since grammar and text of the specification disagree about it.
//   - A character is a Unicode code point.
//
// # Types of attributes
//
// Events carry the canonical text of their attributes, so that an attribute is a String, and a cast makes it anything else.
// Where an extension attribute is the whole expression, true and false in lower case are a Boolean, and an integer in
// canonical form is an Integer.
package cesql
