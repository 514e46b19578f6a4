package cesql

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of an expression. Beyond them Compile returns a parse error.
const (
	// MaxLength is the length of an expression in bytes.
	MaxLength = 16 << 10
	// MaxDepth is how deep parentheses, arguments, sets and unary operators may be nested. Chains of binary operators
	// are limited by MaxLength only.
	MaxDepth = 64
)

// Precedences of the operators (section 3.6). A larger number binds tighter; NOT and unary minus bind tightest.
const (
	bindLogic = 1 + iota
	bindComparison
	bindSum
	bindProduct
	bindIn
	bindLike
)

// parser is a Pratt parser: it recurses into nested expressions and loops over the operators after an operand, so that
// a long chain of operators does not grow the stack.
type parser struct {
	source   string
	tokens   []token
	next     int
	depth    int
	warnings []Warning
	notes    []Note
	root     node // the result
}

// parse compiles a whole expression. The parser holds the result.
func parse(source string) (*parser, *Error) {
	if len(source) > MaxLength {
		return nil, parseError(source, span{MaxLength, MaxLength},
			fmt.Sprintf("the expression has %d bytes, more than the limit of %d", len(source), MaxLength),
			"split it into several filters")
	}
	if i := invalidUTF8(source); i >= 0 {
		return nil, parseError(source, span{i, i}, "the expression is not valid UTF-8", "save the file as UTF-8")
	}
	tokens, err := lex(source)
	if err != nil {
		return nil, err
	}
	p := &parser{source: source, tokens: tokens}
	if p.root, err = p.expression(bindLogic); err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != tokenEnd {
		return nil, p.unexpected(t, "an operator or the end of the expression")
	}
	return p, nil
}

func invalidUTF8(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return i
			}
		}
	}
	return -1
}

func (p *parser) peek() token { return p.tokens[p.next] }

func (p *parser) take() token {
	t := p.tokens[p.next]
	if t.kind != tokenEnd {
		p.next++
	}
	return t
}

func (p *parser) expect(symbol, where string) (token, *Error) {
	t := p.peek()
	if !t.is(symbol) {
		return t, p.unexpected(t, "`"+symbol+"` "+where)
	}
	return p.take(), nil
}

func (p *parser) unexpected(t token, expected string) *Error {
	remedy := "see section 2 of the CloudEvents SQL specification for the grammar"
	switch {
	case t.kind == tokenString && strings.HasPrefix(expected, "an operator"):
		remedy = "write an operator before the string"
	case t.is("="):
		remedy = "write a single = for equality"
	case t.kind == tokenKeyword:
		remedy = "an attribute whose name is a keyword cannot be used in an expression"
	}
	return parseError(p.source, t.span, fmt.Sprintf("expected %s, found %s", expected, t.describe()), remedy)
}

// enter counts a level of nesting. The caller decrements depth when it leaves the level.
func (p *parser) enter(t token) *Error {
	if p.depth++; p.depth > MaxDepth {
		return parseError(p.source, t.span, fmt.Sprintf("the expression is nested deeper than %d levels", MaxDepth),
			"simplify it, or split it into several filters")
	}
	return nil
}

// infix returns the precedence of the operator that is next, 0 if there is none, and whether NOT precedes it.
func (p *parser) infix() (bind int, negated bool) {
	t := p.peek()
	if t.is("NOT") {
		t, negated = p.tokens[p.next+1], true // in range: tokenEnd is always last
		if !t.is("LIKE") && !t.is("IN") {
			return 0, false
		}
	}
	if t.kind != tokenKeyword && t.kind != tokenSymbol {
		return 0, false
	}
	switch t.text {
	case "AND", "OR", "XOR":
		return bindLogic, negated
	case "=", "!=", "<>", "<", "<=", ">", ">=":
		return bindComparison, negated
	case "+", "-":
		return bindSum, negated
	case "*", "/", "%":
		return bindProduct, negated
	case "IN":
		return bindIn, negated
	case "LIKE":
		return bindLike, negated
	default:
		return 0, false
	}
}

// expression parses operands and the operators between them whose precedence is at least least.
func (p *parser) expression(least int) (node, *Error) {
	left, err := p.prefix()
	for err == nil {
		bind, negated := p.infix()
		if bind < least || bind == 0 {
			return left, nil
		}
		if negated {
			p.take()
		}
		op := p.take()
		p.noteSign(op)
		switch bind {
		case bindLike:
			left, err = p.like(left, negated)
		case bindIn:
			left, err = p.in(left, negated)
		default:
			var right node
			if right, err = p.expression(bind + 1); err == nil {
				left = p.binary(op, left, right)
			}
		}
	}
	return nil, err
}

// prefix parses an operand, including unary operators before it.
func (p *parser) prefix() (node, *Error) {
	t := p.take()
	switch {
	case t.kind == tokenString:
		return &literal{t.span, StringValue(unquote(t.text))}, nil
	case t.kind == tokenInteger:
		return p.integer(t.text, t.span)
	case t.is("TRUE"), t.is("FALSE"):
		return &literal{t.span, BooleanValue(t.is("TRUE"))}, nil
	case t.kind == tokenWord:
		return p.word(t)
	case t.is("("):
		return p.parenthesis(t)
	case t.is("NOT"):
		return p.unary(t)
	case t.is("-"), t.is("+"):
		// A sign directly before digits belongs to the literal, so that -2147483648 does not overflow.
		if digits := p.peek(); digits.kind == tokenInteger && digits.from == t.to {
			p.take()
			return p.integer(t.text+digits.text, span{t.from, digits.to})
		}
		if t.is("-") {
			p.noteSign(t)
			return p.unary(t)
		}
	case t.is("EXISTS"):
		name := p.peek()
		if name.kind != tokenWord || strings.Contains(name.text, "_") {
			return nil, p.unexpected(name, "the name of an attribute after EXISTS")
		}
		p.take()
		return &exists{span{t.from, name.to}, strings.ToLower(name.text)}, nil
	}
	return nil, p.unexpected(t, "an attribute, a literal, a function, `(`, NOT, EXISTS or `-`")
}

func (p *parser) integer(text string, at span) (node, *Error) {
	i, ok := parseInteger(text)
	if !ok {
		return nil, parseError(p.source, at, "the number is not a 32-bit integer",
			"write a number from -2147483648 to 2147483647, or put it in quotes to compare it as a String")
	}
	return &literal{at, IntegerValue(i)}, nil
}

func (p *parser) parenthesis(open token) (node, *Error) {
	if err := p.enter(open); err != nil {
		return nil, err
	}
	n, err := p.expression(bindLogic)
	if err != nil {
		return nil, err
	}
	p.depth--
	end, err := p.expect(")", "that closes the parenthesis at offset "+strconv.Itoa(open.from))
	if err != nil {
		return nil, err
	}
	return &group{n, span{open.from, end.to}}, nil
}

func (p *parser) unary(op token) (node, *Error) {
	if err := p.enter(op); err != nil {
		return nil, err
	}
	x, err := p.prefix()
	if err != nil {
		return nil, err
	}
	p.depth--
	at := span{op.from, p.tokens[p.next-1].to}
	if op.is("NOT") {
		return &not{at, [1]operand{p.operand(x, Boolean)}}, nil
	}
	return &negate{at, [1]operand{p.operand(x, Integer)}, p.overflow(at)}, nil
}

// word parses an attribute or a call.
func (p *parser) word(t token) (node, *Error) {
	if p.peek().is("(") {
		if !isFunctionName(t.text) {
			return nil, parseError(p.source, t.span, "this is not a valid function name",
				"function names consist of letters and _")
		}
		return p.call(t)
	}
	if strings.Contains(t.text, "_") {
		return nil, parseError(p.source, t.span, "this is not a valid attribute name",
			"attribute names consist of letters and digits; put strings in quotes")
	}
	name := strings.ToLower(t.text)
	return &attribute{t.span, name, newError(ErrMissingAttribute, p.source, t.span,
		"the event has no attribute "+name, "guard it with EXISTS "+name+" AND ...")}, nil
}

func isFunctionName(s string) bool {
	return isLetter(s[0]) && !strings.ContainsAny(s, "0123456789")
}

// list parses expressions in parentheses and returns them and the closing parenthesis.
func (p *parser) list(least int, where string) ([]node, token, *Error) {
	open, err := p.expect("(", where)
	if err != nil {
		return nil, open, err
	}
	if err := p.enter(open); err != nil {
		return nil, open, err
	}
	var nodes []node
	for len(nodes) > 0 || least > 0 || !p.peek().is(")") {
		n, err := p.expression(bindLogic)
		if err != nil {
			return nil, open, err
		}
		nodes = append(nodes, n)
		if !p.peek().is(",") {
			break
		}
		p.take()
	}
	p.depth--
	end, err := p.expect(")", "or `,` after an expression of the list at offset "+strconv.Itoa(open.from))
	return nodes, end, err
}
