package template_test

import (
	"errors"
	"fmt"

	"github.com/streamgate/streamgate/gateway/template"
)

func ExampleTemplate_Expand() {
	t, err := template.Parse("{collection|lower}/{id}{datetime?}", "collection", "id", "datetime")
	if err != nil {
		fmt.Println(err)
		return
	}
	values := map[string]string{"collection": "Sentinel-2", "id": "scene-1"}
	lookup := func(name string) (string, bool) { value, found := values[name]; return value, found }
	text, err := t.Expand(nil, lookup)
	fmt.Println(string(text), err)

	delete(values, "id")
	_, err = t.Expand(nil, lookup)
	fmt.Println(errors.Is(err, template.ErrMissing))
	// Output:
	// sentinel-2/scene-1 <nil>
	// true
}
