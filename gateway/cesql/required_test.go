package cesql

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

func TestRequired(t *testing.T) {
	t.Parallel()
	type needs = map[string][]string
	for expression, want := range map[string]needs{
		"type = 'a'":                       {"type": {"a"}},
		"'a' = TYPE":                       {"type": {"a"}},
		"10 = hop":                         {"hop": {"10"}},
		"TRUE = flag":                      {"flag": {"true"}},
		"hop = 10":                         nil, // 010 is equal, too
		"flag = TRUE":                      nil,
		"type != 'a'":                      nil,
		"NOT (type = 'a')":                 nil,
		"type = source":                    nil,
		"type = CONCAT('a')":               nil,
		"type IN ('b', 'a', 'b', 1)":       {"type": {"1", "a", "b"}},
		"type NOT IN ('a')":                nil,
		"type IN ('a', source)":            nil,
		"'a' IN (type)":                    nil,
		"type LIKE 'a\\_b'":                {"type": {"a_b"}},
		"type LIKE 'a_b'":                  nil,
		"type LIKE 'a%'":                   nil,
		"type NOT LIKE 'a'":                nil,
		"type = 'a' AND hop < 5":           {"type": {"a"}},
		"hop < 5 AND type = 'a'":           {"type": {"a"}},
		"type = 'a' AND source = 'b'":      {"type": {"a"}, "source": {"b"}},
		"type = 'a' AND type IN ('a','b')": {"type": {"a"}},
		"type = 'a' AND type = 'b'":        {"type": {}},
		"type = 'a' OR type = 'b'":         {"type": {"a", "b"}},
		"type = 'a' OR hop < 5":            nil,
		"hop < 5 OR type = 'a'":            nil,
		"type = 'a' XOR type = 'b'":        nil,
		"(type = 'a' AND source = 'x') OR (type = 'b' AND subject = 'y')": {"type": {"a", "b"}},
		"(type = 'a') = TRUE": nil,
		"LOWER(type) = 'a'":   nil,
		"EXISTS type":         nil,
	} {
		x, err := Compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if diff := cmp.Diff(want, x.Required()); diff != "" {
			t.Errorf("%s: %s", expression, diff)
		}
	}
}

// TestNothingPassesThatIsNotRequired makes expressions and events of a few names and values, so that many match, and
// checks what Required, CheckFilter and Explain say against Eval.
func TestNothingPassesThatIsNotRequired(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		x, err := Compile(drawExpression(r, 4))
		if err != nil {
			r.Fatal(err)
		}
		e := rawevent.Event{}
		for _, name := range []string{"a", "b", "id"} {
			if rapid.Bool().Draw(r, "has "+name) {
				e.Set(name, rapid.SampledFrom([]string{"", "1", "+1", "0", "true", "TRUE", "x"}).Draw(r, name))
			}
		}
		match, err := x.Match(&e)
		for name, values := range x.Required() {
			if have, ok := e.Attribute(name); match && (!ok || !contains(values, have)) {
				r.Fatalf("%s matches %v, but requires %s to be of %q", x, e.Attributes, name, values)
			}
		}
		if never := x.CheckFilter(); match && never != nil {
			r.Fatalf("%s matches %v, but %v", x, e.Attributes, never)
		}
		value, _ := x.Eval(&e)
		if s := x.Explain(&e); s.Value != value || (s.Err == nil) != (err == nil) {
			r.Fatalf("%s: %+v, but Eval says %v, %v", x, s, value, err)
		}
	})
}

func drawExpression(r *rapid.T, depth int) string {
	leaf := func() string {
		return rapid.SampledFrom([]string{"a", "b", "id", "'1'", "'x'", "1", "0", "TRUE", "false", "'TRUE'", "EXISTS a"}).
			Draw(r, "leaf")
	}
	if depth == 0 {
		return leaf()
	}
	sub := func() string { return "(" + drawExpression(r, depth-1) + ")" }
	switch rapid.SampledFrom([]string{"leaf", "equal", "equal", "logic", "logic", "in", "like", "not", "sum", "call"}).
		Draw(r, "kind") {
	case "equal":
		return leaf() + rapid.SampledFrom([]string{" = ", " = ", " != ", " < "}).Draw(r, "op") + leaf()
	case "logic":
		return sub() + rapid.SampledFrom([]string{" AND ", " OR ", " XOR "}).Draw(r, "op") + sub()
	case "in":
		return leaf() + rapid.SampledFrom([]string{" IN (", " NOT IN ("}).Draw(r, "op") + leaf() + ", " + leaf() + ")"
	case "like":
		return leaf() + rapid.SampledFrom([]string{" LIKE '1'", " NOT LIKE '1'", " LIKE '%1'"}).Draw(r, "op")
	case "not":
		return "NOT " + sub()
	case "sum":
		return sub() + rapid.SampledFrom([]string{" + ", " / ", " % "}).Draw(r, "op") + sub()
	case "call":
		return rapid.SampledFrom([]string{"INT", "BOOL", "LENGTH", "IS_INT", "NOSUCH"}).Draw(r, "function") + sub()
	default:
		return leaf()
	}
}
