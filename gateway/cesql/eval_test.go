package cesql

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// sample is the event of the tables: texts, numbers and Booleans as extensions, one beyond ASCII, and no subject.
func sample() rawevent.Event {
	e := rawevent.New("1", "/cameras/7", "com.example.created")
	e.Set("hop", "5")
	e.Set("ttl", "10")
	e.Set("flag", "True")
	e.Set("on", "true")
	e.Set("name", "Zoë")
	e.Set("nodigits", "12a")
	e.DataContentType = "application/json"
	return e
}

func TestEval(t *testing.T) {
	t.Parallel()
	event := sample()
	for expression, want := range evalTable() {
		t.Run(expression, func(t *testing.T) {
			t.Parallel()
			x, err := Compile(expression)
			if err != nil {
				t.Fatal(err)
			}
			value, err := x.Eval(&event)
			if value.Any() != want.value || kindOf(err) != want.kind {
				t.Errorf("got %v (%v), %v; want %v, %q", value.Any(), value.Type(), err, want.value, want.kind)
			}
			checkConsistent(t, x, &event)
		})
	}
}

type result struct {
	value any
	kind  string
}

func good(v any) result { return result{v, ""} }

func evalTable() map[string]result {
	const most, least = int32(math.MaxInt32), int32(math.MinInt32)
	return map[string]result{
		// Arithmetic, 32 bits, signs that are literals and signs that are operators.
		"5-1": good(
			int32(4),
		),
		"5 -1":   good(int32(4)),
		"5 - -1": good(int32(6)),
		"hop -1": good(int32(4)),
		"--5":    good(int32(5)),
		"- hop": good(
			int32(-5),
		),
		"-'7'":      good(int32(-7)),
		"+5":        good(int32(5)),
		"007":       good(int32(7)),
		"1+2*3":     good(int32(7)),
		"7 / -2":    good(int32(-3)),
		"-7 % 3":    good(int32(-1)),
		"7 % -3":    good(int32(1)),
		"2 * 3 % 4": good(int32(2)),
		"-2147483648": good(
			least,
		),
		"-2147483648 % -1": good(int32(0)),
		"10 - 3 - 2":       good(int32(5)),
		"TRUE + 1":         good(int32(2)),
		"2147483647 + 1":   {most, "math"},
		"-2147483648 - 1":  {least, "math"},
		"-(-2147483648)":   {most, "math"},
		"65536 * 65536": {
			most,
			"math",
		},
		"-2147483648 / -1":  {most, "math"},
		"1 / 0":             {int32(0), "math"},
		"1 % 0":             {int32(0), "math"},
		"'a' + 1":           {int32(0), "cast"},
		"-'a'":              {int32(0), "cast"},
		"-missing":          {int32(0), "missingAttribute"},
		"1 + (1 / 0)":       {int32(0), "math"},
		"(1 / 0) = 0":       {false, "math"},
		"NOT ((1 / 0) = 0)": {false, "math"},
		// Precedence and order.
		"true OR true AND false": good(
			false,
		),
		"true OR (true AND false)": good(true),
		"true XOR true XOR true":   good(true),
		"NOT true = false":         good(true),
		"NOT (true = true)":        good(false),
		"NOT 'true' LIKE 'false'":  good(true),
		"1 < 2 = true": good(
			true,
		),
		"1 + 1 IN (2)":       {int32(1), ""},
		"(1 + 1) IN (2)":     good(true),
		"not exists subject": good(true),
		"3 > 2 > 0": good(
			true,
		),
		"NOT NOT true": good(true),
		"NOT 10":       good(false),
		"NOT 0":        good(true),
		"NOT 'x'":      {false, "cast"},
		// Casts: the right operand decides.
		"hop = 5": good(
			true,
		),
		"hop = '05'": good(false),
		"'05' = 5":   good(true),
		"5 = '05'":   good(false),
		"5 = hop":    good(true),
		"flag = true": good(
			true,
		),
		"true = flag":       good(false),
		"flag = 'True'":     good(true),
		"nodigits = 12":     {false, "cast"},
		"nodigits != 12":    {false, "cast"},
		"1 = true":          good(true),
		"true = 1":          good(true),
		"2 = true":          good(true),
		"'+5' = 5":          good(true),
		"'' = 0":            {false, "cast"},
		"' 5' = 5":          {false, "cast"},
		"'1_0' = 10":        {false, "cast"},
		"'2147483648' = 1":  {false, "cast"},
		"'-2147483648' < 0": good(true),
		"'-2147483649' < 0": {false, "cast"},
		"'falſe' = false": {
			false,
			"cast",
		},
		"hop < ttl":  good(true),
		"'10' < '9'": good(false),
		"name < 5":   {false, "cast"},
		// Missing attributes: the sub-expression has the error, and the zero value of its type.
		"subject": {
			false,
			"missingAttribute",
		},
		"subject != 'x'":                   {false, "missingAttribute"},
		"NOT subject":                      {false, "missingAttribute"},
		"subject NOT LIKE '%'":             {false, "missingAttribute"},
		"subject NOT IN ('a')":             {false, "missingAttribute"},
		"LENGTH(subject)":                  {int32(0), "missingAttribute"},
		"UPPER(subject)":                   {"", "missingAttribute"},
		"'x' IN (subject, 'x')":            {false, "missingAttribute"},
		"'x' IN ('x', subject)":            good(true),
		"EXISTS subject AND subject = 'x'": good(false),
		"subject = 'x' OR true":            {false, "missingAttribute"},
		"true OR subject = 'x'": good(
			true,
		),
		"true XOR subject = 'x'": {false, "missingAttribute"},
		"EXISTS data":            good(false),
		"EXISTS datacontenttype": good(true),
		"SOURCE = '/cameras/7'":  good(true),
		"EXISTS ID":              good(true),
		// IN: the left operand decides.
		"hop IN ('05', 5)": good(
			true,
		),
		"5 IN ('05')":   good(true),
		"1 IN ('a', 1)": {false, "cast"},
		"1 IN (1, 'a')": good(true),
		"1 NOT IN ('a', 1)": {
			false,
			"cast",
		},
		"true IN ('TRUE')":  good(true),
		"'a' IN ('b', 'A')": good(false),
		"2 not in (1)":      good(true),
		"type IN ('a','b','c','d','e','f','g','com.example.created')": good(
			true,
		),
		"hop NOT IN (1,2,3,4,6,7,8,9)":     good(true),
		"INT(hop) IN (1,2,3,4,'05',7,8,9)": good(true),
		"INT(hop) IN (1,2,3,4,'x',5,8,9)":  {false, "cast"},
		"hop IN (1,2,3,4,5,7,8,9)":         good(true),
		// Functions: characters, not bytes.
		"LENGTH(name)": good(
			int32(3),
		),
		"LENGTH('日本語')": good(int32(3)),
		"LENGTH(123)":   good(int32(3)),
		"length('')":    good(int32(0)),
		"LEFT(name, 2)": good(
			"Zo",
		),
		"LEFT(name, 9)":          good("Zoë"),
		"LEFT('ab', 0)":          good(""),
		"LEFT('ab', -1)":         {"ab", "functionEvaluation"},
		"RIGHT(name, 2)":         good("oë"),
		"RIGHT('ab', 0)":         good(""),
		"RIGHT('ab', -1)":        {"ab", "functionEvaluation"},
		"SUBSTRING(name, 3)":     good("ë"),
		"SUBSTRING(name, -1)":    good("ë"),
		"SUBSTRING('日本語', 2, 1)": good("本"),
		"SUBSTRING('abc', 0)": good(
			"",
		),
		"SUBSTRING('abc', 4)":  {"", "functionEvaluation"},
		"SUBSTRING('abc', -3)": good("abc"),
		"SUBSTRING('abc', -4)": {
			"",
			"functionEvaluation",
		},
		"SUBSTRING('abc', 2, 9)": good("bc"),
		"SUBSTRING('abc', 2, 0)": good(""),
		"SUBSTRING('abc', 1, -1)": {
			"",
			"functionEvaluation",
		},
		"SUBSTRING('abc', -2, 1)":       good("b"),
		"SUBSTRING('', 1)":              {"", "functionEvaluation"},
		"SUBSTRING('abc', -2147483648)": {"", "functionEvaluation"},
		"CONCAT()": good(
			"",
		),
		"CONCAT('a', 1, true)": good("a1true"),
		"CONCAT_WS(',')":       good(""),
		"CONCAT_WS(',', 'a')":  good("a"),
		"concat_ws(', ', 'a', 'b', 3)": good(
			"a, b, 3",
		),
		"CONCAT_WS()":               {false, "missingFunction"},
		"UPPER(name)":               good("ZOË"),
		"LOWER('ABC')":              good("abc"),
		"TRIM('\u00a0\u2003a b\t')": good("a b"),
		"TRIM('\u200ba')":           good("\u200ba"),
		"ABS(-5)": good(
			int32(5),
		),
		"ABS('-5')":        good(int32(5)),
		"ABS(-2147483648)": {most, "math"},
		"ABS('x')":         {int32(0), "cast"},
		"INT('+12')": good(
			int32(12),
		),
		"INT('x')":          {int32(0), "cast"},
		"INT(true)":         good(int32(1)),
		"INT('2147483648')": {int32(0), "cast"},
		"BOOL('TrUe')": good(
			true,
		),
		"BOOL('x')":     {false, "cast"},
		"BOOL(2)":       good(true),
		"STRING(-5)":    good("-5"),
		"STRING(FALSE)": good("false"),
		"IS_INT('12')": good(
			true,
		),
		"IS_INT('x')":      good(false),
		"IS_INT(true)":     good(true),
		"is_bool('FALSE')": good(true),
		"IS_BOOL('1')":     good(false),
		"ABC(1)": {
			false,
			"missingFunction",
		},
		"LENGTH()":         {false, "missingFunction"},
		"LENGTH('a', 'b')": {false, "missingFunction"},
		"SUBSTRING('a')": {
			false,
			"missingFunction",
		},
		"true OR ABC(1 / 0)":             good(true),
		"ABC(1 / 0)":                     {false, "missingFunction"},
		"LENGTH (STRING(hop * 10 + 10))": good(int32(2)),
		// Literals.
		`'it\'s'`: good(
			"it's",
		),
		`"it's"`: good("it's"),
		`'a\"b'`: good(`a\"b`),
		`'a\\'`:  good(`a\\`),
		`'a\nb'`: good(`a\nb`),
		`''`:     good(""),
		// A lone extension is what its text says; core attributes are texts.
		"on":            good(true),
		"hop":           good(int32(5)),
		"(ttl)":         good(int32(10)),
		"flag":          good("True"),
		"id":            good("1"),
		" \t\r\n type ": good("com.example.created"),
	}
}

func TestEvalTooLongText(t *testing.T) {
	t.Parallel()
	e := sample()
	e.Set("long", strings.Repeat("x", maxText))
	for expression, want := range map[string]error{
		"CONCAT(long) = long": nil, "CONCAT(long, hop) = long": ErrFunctionEvaluation, "CONCAT_WS('-', '', long) = ''": ErrFunctionEvaluation,
	} {
		x, err := Compile(expression)
		if err != nil {
			t.Fatal(err)
		}
		if match, err := x.Match(&e); !errors.Is(err, want) || match != (want == nil) {
			t.Errorf("%s: %v, %v; want %v", expression, match, err, want)
		}
	}
}

func TestErrorsNameThePlace(t *testing.T) {
	t.Parallel()
	e := sample()
	x, err := Compile("EXISTS hop\nAND name = 'Zoë' AND nodigits < 5")
	if err != nil {
		t.Fatal(err)
	}
	_, err = x.Eval(&e)
	var found *Error
	if !errors.As(err, &found) || !errors.Is(err, ErrCast) || errors.Is(err, ErrMath) {
		t.Fatalf("got %v", err)
	}
	if want := (Position{Offset: 33, Line: 2, Column: 22}); found.Position != want || found.Expression != "nodigits" {
		t.Errorf("got %+v, want %+v", found, want)
	}
	if strings.Contains(err.Error(), "12a") ||
		!strings.Contains(err.Error(), "line 2, column 22 (offset 33): cast error in `nodigits`: ") {
		t.Errorf("got %s", err)
	}
}

// By the specification the required attributes always exist, since an event is valid.
func TestRequiredAttributesAlwaysExist(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"id", "source", "type", "specversion"} {
		x, err := Compile("EXISTS " + name)
		if err != nil {
			t.Fatal(err)
		}
		if match, err := x.Match(&rawevent.Event{}); !match || err != nil {
			t.Errorf("%s: %v, %v", x, match, err)
		}
	}
}
