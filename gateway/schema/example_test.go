package schema_test

import (
	"fmt"

	"github.com/streamgate/streamgate/gateway/schema"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

func ExampleSet_Check() {
	set, err := schema.Compile([]schema.Source{{
		Type: "com.example.measured",
		Text: []byte(`{"$id":"https://example.com/reading","type":"object","required":["celsius"],
			"properties":{"celsius":{"type":"number"}}}`),
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	e := rawevent.New("42", "/sensors/17", "com.example.measured")
	e.DataContentType, e.Data = "application/json", []byte(`{"celsius":"warm"}`)
	for _, violation := range set.Check(&e) {
		fmt.Println(violation)
	}
	// Output:
	// the data at "/celsius" violates its schema: https://example.com/reading#/properties/celsius/type
}
