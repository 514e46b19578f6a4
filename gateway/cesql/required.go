package cesql

import (
	"slices"
)

// Required returns a necessary condition for [Expr.Match], for use in an index: for each attribute in the map, Match
// is true only if the event has the attribute with exactly one of the listed values. Attributes that are not in the
// map are unconstrained. The values are sorted. An empty list means that Match is never true, because conditions
// contradict each other. A nil map means that nothing is known. The condition is not sufficient. The caller owns the
// result.
func (x *Expr) Required() map[string][]string {
	if required := required(x.root); len(required) > 0 {
		return required
	}
	return nil
}

// required returns a necessary condition for n to be true without an error.
func required(n node) map[string][]string {
	switch n := n.(type) {
	case *logic:
		switch n.op {
		case "AND":
			return bothRequired(required(n.x[0].node), required(n.x[1].node))
		case "OR":
			return eitherRequired(required(n.x[0].node), required(n.x[1].node))
		}
	case *equal:
		return equalRequired(n)
	case *in:
		return inRequired(n)
	case *like:
		a, isAttribute := n.x[0].node.(*attribute)
		text, exact := n.pattern.exact()
		if isAttribute && exact && !n.negated {
			return map[string][]string{a.name: {text}}
		}
	}
	return nil
}

// equalRequired handles comparisons of Strings only: as Integers 7 and +07 are equal, as Booleans TRUE and true.
func equalRequired(n *equal) map[string][]string {
	if n.negated || n.x[0].want != String {
		return nil
	}
	a, isAttribute := n.x[0].node.(*attribute)
	l, isLiteral := n.x[1].node.(*literal)
	if !isAttribute || !isLiteral {
		a, isAttribute = n.x[1].node.(*attribute)
		l, isLiteral = n.x[0].node.(*literal)
	}
	if !isAttribute || !isLiteral {
		return nil
	}
	return map[string][]string{a.name: {l.value.String()}}
}

func inRequired(n *in) map[string][]string {
	a, ok := n.x[0].node.(*attribute)
	if !ok || n.negated {
		return nil
	}
	var values []string
	for i := 1; i < len(n.x); i++ {
		l, ok := n.x[i].node.(*literal)
		if !ok {
			return nil
		}
		values = append(values, l.value.String())
	}
	return map[string][]string{a.name: sorted(values)}
}

func sorted(values []string) []string {
	slices.Sort(values)
	return slices.Compact(values)
}

// bothRequired returns the conjunction of a and b, and overwrites a.
func bothRequired(a, b map[string][]string) map[string][]string {
	if a == nil {
		return b
	}
	for name, values := range b {
		if have, ok := a[name]; ok {
			values = slices.DeleteFunc(have, func(v string) bool {
				_, found := slices.BinarySearch(values, v)
				return !found
			})
		}
		a[name] = values
	}
	return a
}

// eitherRequired returns the disjunction of a and b, and overwrites a.
func eitherRequired(a, b map[string][]string) map[string][]string {
	for name, values := range a {
		other, ok := b[name]
		if !ok {
			delete(a, name)
			continue
		}
		a[name] = sorted(append(values, other...))
	}
	return a
}
