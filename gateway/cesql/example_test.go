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

	e.Delete("subject")
	match, err := x.Match(&e)
	fmt.Println(match, errors.Is(err, cesql.ErrMissingAttribute))
	fmt.Println(x.Required())
	// Output:
	// true <nil>
	// false true
	// map[type:[com.example.created]]
}

func ExampleCompile() {
	_, err := cesql.Compile("type == 'com.example.created'")
	fmt.Println(err)
	// Output:
	// cesql: line 1, column 7 (offset 6): parse error in `=`: expected an attribute, a literal, a function, `(`, NOT, EXISTS or `-`, found `=`; equality is a single =
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
		fmt.Println(step.Expression, "->", step.Value, step.Err)
	}
	// Output:
	// type = 'com.example.deleted' -> false <nil>
	// hop < 'ten' -> false cesql: line 1, column 39 (offset 38): cast error in `'ten'`: the value cannot be read as an Integer; an Integer is a sign and digits from -2147483648 to 2147483647; IS_INT tells whether a value is one
}
