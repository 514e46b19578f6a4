package cesql

import (
	"fmt"
	"slices"
)

// Note points out that other implementations of the language treat a part of the expression differently, so that an
// expression that came from elsewhere, or goes there, changes its meaning on the way. The official SDKs for Go
// (2.16.2) and Java (4.0.1) are meant, and with the former Knative.
type Note struct {
	Kind     NoteKind
	Position Position
	// Message says what differs and how to write it so that it does not.
	Message string
}

// NoteKind says in which way an expression is not portable.
type NoteKind uint8

// The kinds of notes.
const (
	// NoteGrouping: AND, OR and XOR are mixed without parentheses. The text of the specification gives them equal
	// precedence from left to right; its grammar, and with it the SDKs, groups them from the right. Another set of
	// events passes.
	NoteGrouping NoteKind = iota
	// NoteSign: a + or - stands between two operands and directly before a digit, as in n-1. The grammar of the
	// specification makes a literal of sign and digits, and the SDKs refuse the expression.
	NoteSign
	// NoteCharacters: the expression counts characters. The SDK for Go counts bytes, so that texts that are not ASCII
	// give another result.
	NoteCharacters
)

// String returns the name of the kind: grouping, sign or characters.
func (k NoteKind) String() string {
	switch k {
	case NoteGrouping:
		return "grouping"
	case NoteSign:
		return "sign"
	default:
		return "characters"
	}
}

// Portability returns what other implementations treat differently, in source order; nil for an expression that means
// the same everywhere. Unlike the other two kinds, notes of the kind [NoteCharacters] only matter for texts that are
// not ASCII, so that a caller may want to leave them out. The caller owns the result.
func (x *Expr) Portability() []Note {
	notes := slices.Clone(x.notes)
	slices.SortStableFunc(notes, func(a, b Note) int { return a.Position.Offset - b.Position.Offset })
	return notes
}

func (p *parser) note(kind NoteKind, at span, message string) {
	p.notes = append(p.notes, Note{kind, position(p.source, at.from), message})
}

// noteMixed notes an operator of logic whose left operand ends in another one.
func (p *parser) noteMixed(op token, left *logic) {
	p.note(NoteGrouping, op.span, fmt.Sprintf("other implementations group %s and %s from the right: "+
		"... %s (... %s ...); add parentheses", left.op, op.text, left.op, op.text))
}

// noteSign notes a sign that is an operator here, and that others take for the sign of a number.
func (p *parser) noteSign(op token) {
	if (op.is("-") || op.is("+")) && op.to < len(p.source) && isDigit(p.source[op.to]) {
		p.note(NoteSign, op.span, fmt.Sprintf("other implementations take the %s for the sign of the number behind it, and "+
			"refuse the expression; write a space behind the %s", op.text, op.text))
	}
}

func (p *parser) noteCharacters(at span, what string) {
	p.note(NoteCharacters, at, what+" counts characters, in some other implementations bytes; "+
		"the results differ for texts that are not ASCII")
}
