package cesql

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckFilter(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]error{
		"type = 'a'": nil, "FALSE": nil, "flag": nil, "NOT type": nil, "type = 'a' AND FALSE": nil, "EXISTS a": nil,
		"type":                      ErrGeneric,
		"'true'":                    ErrGeneric,
		"LENGTH(type)":              ErrGeneric,
		"hop + 1":                   ErrGeneric,
		"NOSUCH(type)":              ErrMissingFunction,
		"LENGTH(type, 1) = 3":       ErrMissingFunction,
		"type = 'a' AND NOSUCH()":   ErrMissingFunction,
		"NOSUCH() AND type = 'a'":   ErrMissingFunction,
		"type = 'a' OR NOSUCH()":    nil, // matches events of the type
		"NOSUCH() OR type = 'a'":    ErrMissingFunction,
		"TRUE OR NOSUCH()":          nil,
		"type = 'a' XOR NOSUCH()":   ErrMissingFunction,
		"NOT NOSUCH()":              ErrMissingFunction,
		"hop = 'a' + 1":             ErrCast,
		"'a' = (hop + 1)":           ErrCast,
		"hop < 'ten'":               ErrCast,
		"type AND 'x'":              ErrCast,
		"type = 'a' AND 'x'":        ErrCast,
		"type = 'a' OR 'x'":         nil,
		"hop / 0 = 1":               ErrMath,
		"hop % (1 - 1) = 1":         ErrMath,
		"hop IN (1 / 0, 2)":         ErrMath,
		"hop IN (2, 1 / 0)":         nil,
		"1 IN ('a', hop)":           ErrCast,
		"LEFT('a', -1) LIKE 'a'":    ErrFunctionEvaluation,
		"ABS(hop, 1) IN (1)":        ErrMissingFunction,
		"(1 / 0 = 1) OR (2 / 0= 1)": ErrMath,
	} {
		x, err := Compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if err := x.CheckFilter(); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", expression, err, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{ // "" for no warning
		"a OR b AND c":            "OR and AND have the same precedence",
		"a AND b OR c":            "AND and OR",
		"a XOR b OR c":            "XOR and OR",
		"a OR (b AND c)":          "",
		"(a OR b) AND c":          "",
		"a AND b AND c":           "",
		"NOT a = 'x'":             "NOT binds tighter than =",
		"NOT a LIKE 'x'":          "NOT binds tighter than LIKE",
		"NOT a IN ('x')":          "NOT binds tighter than IN",
		"NOT a < 5":               "NOT binds tighter than <",
		"NOT (a = 'x')":           "",
		"(NOT a) = TRUE":          "",
		"NOT EXISTS a AND b":      "",
		"a NOT LIKE 'x' AND b":    "",
		"a = 'x' AND NOT b = 'x'": "NOT binds tighter than =",
	} {
		x, err := Compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		got := x.Warnings()
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0].Message, want)) {
			t.Errorf("%s: %v, want %q", expression, got, want)
		}
	}
	x, err := Compile("a OR b AND c")
	if err != nil {
		t.Fatal(err)
	}
	if got := x.Warnings()[0].Position; got != (Position{Offset: 7, Line: 1, Column: 8}) {
		t.Errorf("position %+v", got)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	e := sample()
	for expression, want := range map[string]string{
		"hop": "[hop: 5]",
		"type = 'a' AND (hop < 9)": "[type = 'a' AND (hop < 9): false [type = 'a': false [type: com.example.created] ['a': a]] " +
			"[hop < 9: - [hop: -] [9: -]]]",
		"hop IN (4, 5, subject)": "[hop IN (4, 5, subject): true [hop: 5] [4: 4] [5: 5] [subject: -]]",
		"subject = 'x' OR TRUE": "[subject = 'x' OR TRUE: false (missingAttribute) [subject = 'x': false (missingAttribute) " +
			"[subject: false (missingAttribute)] ['x': -]] [TRUE: -]]",
		"ABS(nodigits)":    "[ABS(nodigits): 0 (cast) [nodigits: 12a]]",
		"NOSUCH(hop)":      "[NOSUCH(hop): false (missingFunction) [hop: -]]",
		"(NOT on) XOR on":  "[(NOT on) XOR on: true [NOT on: false [on: true]] [on: true]]",
		"LEFT('ab', -1)":   "[LEFT('ab', -1): ab (functionEvaluation) ['ab': ab] [-1: -1]]",
		"NOT ( EXISTS on)": "[NOT ( EXISTS on): false [EXISTS on: true]]",
	} {
		x, err := Compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got := showStep(x.Explain(&e)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", expression, got, want)
		}
	}
}

func showStep(s Step) string {
	shown := "[" + s.Expression + ": " + s.Value.String()
	if s.Skipped {
		shown = "[" + s.Expression + ": -"
	}
	if s.Err != nil {
		shown += " (" + kindOf(s.Err) + ")"
	}
	for _, step := range s.Steps {
		shown += " " + showStep(step)
	}
	return shown + "]"
}
