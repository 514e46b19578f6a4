package cesql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestPortability has expressions on which the SDK for Go 2.16.2 gives another result, or none, and some on which it
// gives the same one.
func TestPortability(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{ // kinds and offsets
		"false AND true OR true":        "grouping 15",
		"true OR true AND false":        "grouping 13",
		"true XOR true OR true":         "grouping 14",
		"a AND b OR c AND d":            "grouping 8, grouping 13",
		"NOT (a OR b AND c)":            "grouping 12",
		"(true OR true) AND false":      "",
		"true OR (true AND false)":      "",
		"a AND b AND c":                 "",
		"a = 1 OR b = 2 OR c = 3":       "",
		"n-1 = 9":                       "sign 1",
		"n -1 = 9":                      "sign 2",
		"n+1 = 11":                      "sign 1",
		"1-1 = 0":                       "sign 1",
		"(n)-1 = 9":                     "sign 3",
		"LENGTH(name)-1 = 2":            "characters 0, sign 12",
		"n IN (n-1)":                    "sign 7",
		"ABS(n -5) = 5":                 "sign 6",
		"-1a = 5":                       "sign 0",
		"n - 1 = 9":                     "",
		"n - -1 = 9":                    "",
		"n--1 = 9":                      "",
		"n - a1 = 9":                    "",
		"n-a1 = 9":                      "",
		"-n = -10":                      "",
		"n = +10":                       "",
		"n=-10":                         "",
		"- 5 = n":                       "",
		"n IN (-1, +10)":                "",
		"name LIKE 'Zo_'":               "characters 10",
		"name NOT LIKE '_' OR a":        "characters 14",
		"name LIKE 'Zo%'":               "",
		`name LIKE 'Zo\_'`:              "",
		"LEFT(name, 3) = 'x'":           "characters 0",
		"right(name, 3) = 'x'":          "characters 0",
		"a = SUBSTRING(name, 3)":        "characters 4",
		"SUBSTRING(name, 3, 1) = 'x'":   "characters 0",
		"UPPER(name) = 'X'":             "",
		"CONCAT(name, '-1') = 'n-1'":    "",
		"NOT n = 10":                    "",
		"EXISTS n AND n = 10":           "",
		"1 < 2 = TRUE":                  "",
		"2147483647 + 1 = 2147483647":   "",
		"a OR b AND LENGTH(name)-1 = 2": "grouping 7, characters 11, sign 23",
	} {
		x, err := Compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		var got []string
		for _, n := range x.Portability() {
			got = append(got, fmt.Sprintf("%s %d", n.Kind, n.Position.Offset))
			if n.Message == "" || strings.Contains(n.Message, "%!") {
				t.Errorf("%s: message %q", expression, n.Message)
			}
		}
		if joined := strings.Join(got, ", "); joined != want {
			t.Errorf("%s: %s, want %s", expression, joined, want)
		}
	}
}

// TestPortableIsStable: an expression whose operators of logic are all in parentheses has no note, and every expression
// written anew with all parentheses and spaces has none but those about characters.
func TestPortableIsStable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		x, err := Compile(drawExpression(r, 3) + rapid.SampledFrom([]string{"", " AND a OR b", "-1", " + 1"}).Draw(r, "end"))
		if err != nil {
			r.Fatal(err)
		}
		again, err := Compile(dump(x.root))
		if err != nil {
			r.Skip()
		}
		if notes := again.Portability(); slices.ContainsFunc(notes, func(n Note) bool { return n.Kind != NoteCharacters }) {
			r.Fatalf("%s: %v", again, notes)
		}
	})
}
