package cesql

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	for expression, c := range map[string]struct {
		offset int
		want   string // a part of the error
	}{
		"":                   {0, "found the end of the expression"},
		"NOT":                {3, "found the end"},
		"a = ":               {4, "expected an attribute"},
		"a b":                {2, "expected an operator or the end"},
		"a == b":             {3, "write a single = for equality"},
		"1 LIKE":             {6, "a pattern in quotes after LIKE"},
		"x LIKE 123":         {7, "a pattern in quotes after LIKE, found `123`"},
		"x LIKE y":           {7, "a pattern"},
		"x LIKE 'a' + 'b' ,": {17, "found `,`"},
		"EXISTS (id)":        {7, "the name of an attribute after EXISTS"},
		"EXISTS in":          {7, "cannot be used in an expression"},
		"EXISTS a_b":         {7, "the name of an attribute"},
		"''='' AND (":        {11, "found the end"},
		"'abc":               {0, "the literal has no end"},
		`'abc\'`:             {0, "the literal has no end"},
		"'it''s'":            {3, `write \' for the quote itself`},
		"'a' 'b'":            {4, "write an operator before the string"},
		"1 IN ()":            {6, "expected an attribute"},
		"1 IN 2":             {5, "a list after IN"},
		"1 IN (2,)":          {8, "expected an attribute"},
		"1 IN (2":            {7, "expected `)`"},
		"1 NOT 2":            {2, "expected an operator"},
		"ABC(":               {4, "found the end"},
		"ABC(1,":             {6, "found the end"},
		"(1":                 {2, "closes the parenthesis at offset 0"},
		"1)":                 {1, "found `)`"},
		"A1(1)":              {0, "function names consist of letters and _"},
		"_A(1)":              {0, "function names"},
		"a_b = 1":            {0, "attribute names consist of letters and digits"},
		"+ 5":                {0, "found `+`"},
		"+a":                 {0, "found `+`"},
		"2147483648":         {0, "not a 32-bit integer"},
		"- 2147483648":       {2, "not a 32-bit integer"},
		"-2147483649":        {0, "not a 32-bit integer"},
		"a ! b":              {2, `unexpected character '!'`},
		"a = é":              {4, `'é'`},
		"a = 'x' && b":       {8, `'&'`},
		"a;":                 {1, `';'`},
		"'\xff'":             {1, "not valid UTF-8"},
		"AND":                {0, "the keyword AND"},
		"a AND or":           {6, "the keyword OR"},
	} {
		t.Run(expression, func(t *testing.T) {
			t.Parallel()
			x, err := Compile(expression)
			var found *Error
			if x != nil || !errors.As(err, &found) || !errors.Is(err, ErrParse) {
				t.Fatalf("got %v, %v", x, err)
			}
			if found.Position.Offset != c.offset || !strings.Contains(err.Error(), c.want) || found.Remedy == "" {
				t.Errorf("got offset %d: %v; want %d: %s", found.Position.Offset, err, c.offset, c.want)
			}
		})
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		"a = 1 AND b = 2 OR c":       "(((a = 1) AND (b = 2)) OR c)",
		"a OR b AND c XOR d":         "(((a OR b) AND c) XOR d)",
		"NOT a LIKE 'x' AND b":       "(((NOT a) LIKE 'x') AND b)",
		"a + b LIKE 'x'":             "(a + (b LIKE 'x'))",
		"a * b IN (1) + 2":           "((a * (b IN (1))) + 2)",
		"1 + 2 * 3 - 4":              "((1 + (2 * 3)) - 4)",
		"1 = 2 <> 3 < 4":             "(((1 = 2) != 3) < 4)",
		"- a * b":                    "((- a) * b)",
		"NOT - a = 1":                "((NOT (- a)) = 1)",
		"NOT EXISTS a = TRUE":        "((NOT EXISTS a) = true)",
		"a IN (1) LIKE 'true'":       "((a IN (1)) LIKE 'true')",
		"a NOT IN (1) NOT LIKE 'x'":  "((a NOT IN (1)) NOT LIKE 'x')",
		"a = 'x' AND ((b)) = 1":      "((a = 'x') AND (b = 1))",
		"upper(a) IN (b, LENGTH(c))": "(UPPER(a) IN (b, LENGTH(c)))",
	} {
		x, err := Compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got := dump(x.root); got != want {
			t.Errorf("%s is read as %s, want %s", expression, got, want)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	nested := func(open, inner, end string, depth int) string {
		return strings.Repeat(open, depth) + inner + strings.Repeat(end, depth)
	}
	chain := func(op string) string { return "hop = 1" + strings.Repeat(op+"hop = 1", (MaxLength-7)/(7+len(op))) }
	for name, c := range map[string]struct {
		expression string
		want       string // a part of the error, "" for none
	}{
		"parentheses":          {nested("(", "hop", ")", MaxDepth), ""},
		"too many parentheses": {nested("(", "hop", ")", MaxDepth+1), "nested deeper than 64 levels"},
		"calls":                {nested("ABS(", "hop", ")", MaxDepth), ""},
		"too many calls":       {nested("ABS(", "hop", ")", MaxDepth+1), "nested deeper"},
		"too many NOT":         {nested("NOT ", "on", "", MaxDepth+1), "nested deeper"},
		"too many minus":       {nested("- ", "hop", "", MaxDepth+1), "nested deeper"},
		"too many sets":        {nested("hop IN (", "5", ")", MaxDepth+1), "nested deeper"},
		"siblings":             {strings.Repeat("(hop) + ", 1000) + "1", ""},
		"length":               {"'" + strings.Repeat("a", MaxLength-2) + "'", ""},
		"too long":             {"'" + strings.Repeat("a", MaxLength-1) + "'", "16385 bytes, more than the limit of 16384"},
		"OR":                   {chain(" OR "), ""},
		"AND":                  {chain(" AND "), ""},
		"plus":                 {"hop" + strings.Repeat("+hop", MaxLength/4-1), ""},
		"minus":                {"1=1" + strings.Repeat("=1", MaxLength/2-2), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			x, err := Compile(c.expression)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 500 {
					t.Fatalf("got %v, want %s", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			e := sample()
			checkConsistent(t, x, &e)
			_ = x.CheckFilter()
			_ = x.Required()
			if took := time.Since(
				begin,
			); took > 20*time.Second { // quadratic is some hundred milliseconds, cubic is hours
				t.Errorf("took %v", took)
			}
		})
	}
}
