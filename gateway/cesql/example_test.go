package cesql_test

import (
	"errors"
	"fmt"

	"github.com/streamgate/streamgate/gateway/cesql"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

func ExampleExpr_Match() {
	x, err := cesql.Compile("type = 'com.example.created' AND subject LIKE '%sentinel-2%'")
	if err != nil {
		fmt.Println(err)
		return
	}
	e := rawevent.New("1", "/catalogue", "com.example.created")
	e.Set("subject", "items/sentinel-2a")
	fmt.Println(x.Match(&e))

	// Without the attribute, the comparison is an error, and the event does not pass.
	e.Delete("subject")
	match, err := x.Match(&e)
	fmt.Println(match, errors.Is(err, cesql.ErrMissingAttribute))
	// Output:
	// true <nil>
	// false true
}

func ExampleExpr_Eval() {
	x, err := cesql.Compile("LENGTH(subject) * 2")
	if err != nil {
		fmt.Println(err)
		return
	}
	e := rawevent.New("1", "/catalogue", "com.example.created")
	e.Set("subject", "tile")
	value, err := x.Eval(&e)
	fmt.Println(value, value.Type(), err)
	// Output:
	// 8 Integer <nil>
}

func ExampleCompile() {
	_, err := cesql.Compile("type == 'com.example.created'")
	var e *cesql.Error
	if errors.As(err, &e) {
		fmt.Printf("column %d: %s\n", e.Position.Column, e.Remedy)
	}
	// Output:
	// column 7: write a single = for equality
}

func ExampleExpr_CheckFilter() {
	for _, expression := range []string{"type = 'a'", "type", "hop < 'ten'", "NOSUCH(type)"} {
		x, err := cesql.Compile(expression)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(expression, "->", errors.Unwrap(x.CheckFilter()))
	}
	// Output:
	// type = 'a' -> <nil>
	// type -> generic error
	// hop < 'ten' -> cast error
	// NOSUCH(type) -> missingFunction error
}

func ExampleExpr_Warnings() {
	x, err := cesql.Compile("NOT type = 'com.example.created'")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, w := range x.Warnings() {
		fmt.Printf("column %d: %s\n", w.Position.Column, w.Message)
	}
	// Output:
	// column 1: NOT binds tighter than =: this is (NOT ...) = ...; add parentheses
}

func ExampleExpr_Required() {
	x, err := cesql.Compile("type IN ('created', 'updated') AND source = '/catalogue' AND hop < 5")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(x.Required())
	// Output:
	// map[source:[/catalogue] type:[created updated]]
}

func ExampleExpr_Explain() {
	x, err := cesql.Compile("type = 'com.example.deleted' OR hop < 'ten'")
	if err != nil {
		fmt.Println(err)
		return
	}
	e := rawevent.New("1", "/catalogue", "com.example.created")
	e.Set("hop", "7")
	for _, step := range x.Explain(&e).Steps {
		fmt.Println(step.Expression, "->", step.Value, errors.Is(step.Err, cesql.ErrCast))
	}
	// Output:
	// type = 'com.example.deleted' -> false false
	// hop < 'ten' -> false true
}

func ExampleExpr_Portability() {
	x, err := cesql.Compile("type = 'a' AND source = '/x' OR hop-1 = 9")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, n := range x.Portability() {
		fmt.Printf("column %d, %s: %s\n", n.Position.Column, n.Kind, n.Message)
	}
	// Output:
	// column 30, grouping: other implementations group AND and OR from the right: ... AND (... OR ...); add parentheses
	// column 36, sign: other implementations take the - for the sign of the number behind it, and refuse the expression; write a space behind the -
}
