package cesql

import (
	"strings"
)

// dump writes an expression anew from its nodes, with parentheses around everything, so that precedences can be seen
// and what the parser made can be parsed again.
func dump(n node) string {
	args := make([]string, 0, len(n.operands()))
	for _, o := range n.operands() {
		args = append(args, dump(o.node))
	}
	switch n := n.(type) {
	case *literal:
		return dumpLiteral(n.value)
	case *attribute:
		return n.name
	case *exists:
		return "EXISTS " + n.name
	case *not:
		return "(NOT " + args[0] + ")"
	case *negate:
		return "(- " + args[0] + ")"
	case *logic:
		return "(" + args[0] + " " + n.op + " " + args[1] + ")"
	case *equal:
		op := " = "
		if n.negated {
			op = " != "
		}
		return "(" + args[0] + op + args[1] + ")"
	case *order:
		return "(" + args[0] + " " + n.op + " " + args[1] + ")"
	case *arithmetic:
		return "(" + args[0] + " " + n.op + " " + args[1] + ")"
	case *like:
		return "(" + args[0] + negation(n.negated) + " LIKE " + dumpLiteral(StringValue(dumpPattern(n.pattern))) + ")"
	case *in:
		return "(" + args[0] + negation(n.negated) + " IN (" + strings.Join(args[1:], ", ") + "))"
	case *call:
		return n.fn.name + "(" + strings.Join(args, ", ") + ")"
	case *unknown:
		// Its name does not matter: no function has it.
		return "MISSING_FUNCTION(" + strings.Join(args, ", ") + ")"
	default:
		return "?"
	}
}

func negation(negated bool) string {
	if negated {
		return " NOT"
	}
	return ""
}

// dumpLiteral quotes a text with the quote before which it has no backslash: that would be taken for an escape.
func dumpLiteral(v Value) string {
	if v.Type() != String {
		return v.String()
	}
	quote := "'"
	if strings.Contains(v.str, `\'`) {
		quote = `"`
	}
	return quote + strings.ReplaceAll(v.str, quote, `\`+quote) + quote
}

func dumpPattern(p pattern) string {
	var b strings.Builder
	for i, piece := range p.pieces {
		if i > 0 {
			b.WriteByte('%')
		}
		if piece.chars == nil {
			b.WriteString(strings.NewReplacer("%", `\%`, "_", `\_`).Replace(piece.text))
			continue
		}
		for _, char := range piece.chars {
			switch char {
			case "":
				b.WriteByte('_')
			case "%", "_":
				b.WriteString(`\` + char)
			default:
				b.WriteString(char)
			}
		}
	}
	return b.String()
}
