package foreign_test

import (
	"fmt"
	"strings"

	"github.com/streamgate/streamgate/gateway/foreign"
)

func ExampleReadJSON() {
	answer := "\xef\xbb\xbf" + `{"id": "scene-1", "nodata": NaN}`
	text, err := foreign.ReadJSON(strings.NewReader(answer), foreign.Options{
		ContentType: "application/json", Limit: 1 << 20, NonFinite: foreign.NullNonFinite,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(text.Bytes), text.NonFinite)

	_, err = foreign.ReadJSON(strings.NewReader("<html><title>Sign in</title>"), foreign.Options{})
	fmt.Println(err)
	// Output:
	// {"id": "scene-1", "nodata": null} 1
	// the content is not JSON, but an HTML page with the title "Sign in"
}
