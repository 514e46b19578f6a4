package rawevent_test

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

func ExampleFromHTTP() {
	header := http.Header{}
	header.Set("Ce-Specversion", "1.0")
	header.Set("Ce-Id", "42")
	header.Set("Ce-Source", "/sensors/17")
	header.Set("Ce-Type", "com.example.measured")
	header.Set("Ce-Subject", "caf%C3%A9") // percent-encoded, as the HTTP protocol binding requires
	header.Set("Content-Type", "application/json")

	e, err := rawevent.FromHTTP(header, []byte(`{"celsius": 21.50}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.ID(), e.Subject(), string(e.Data))
	// Output:
	// 42 café {"celsius": 21.50}
}

func ExampleFromJSON() {
	e, err := rawevent.FromJSON([]byte(`{
		"specversion": "1.0", "id": "42", "source": "/sensors/17", "type": "com.example.measured",
		"sequence": 7, "data": {"celsius": 21.50}
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	sequence, _ := e.Attribute("sequence")
	celsius, _ := e.DataMember("celsius") // the text of the number, not a float64
	fmt.Println(sequence, celsius, e.DataContentType)
	// Output:
	// 7 21.50 application/json
}

// An error names the attribute and the rule, but never the value.
func ExampleFromJSON_invalid() {
	_, err := rawevent.FromJSON([]byte(`{"specversion":"1.0","id":"","source":"/s","type":"t"}`))
	var invalid *rawevent.Error
	if errors.As(err, &invalid) {
		fmt.Println(invalid.Attribute, "-", invalid.Rule)
	}
	// Output:
	// id - must not be empty
}

func ExampleEvent_AppendJSON() {
	e := rawevent.New("42", "/sensors/17", "com.example.measured")
	e.Set("time", "2026-11-23T01:02:03Z")
	e.DataContentType, e.Data = "image/png", []byte{0x89, 'P', 'N', 'G'}
	if err := e.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(e.AppendJSON(nil)))
	// Output:
	// {"specversion":"1.0","id":"42","source":"/sensors/17","type":"com.example.measured","time":"2026-11-23T01:02:03Z","datacontenttype":"image/png","data_base64":"iVBORw=="}
}

func ExampleEvent_WriteHTTP() {
	e := rawevent.New("42", "/sensors/17", "com.example.measured")
	e.Set("subject", "room 4")
	header := http.Header{}
	e.WriteHTTP(header)
	fmt.Println(header.Get("Ce-Id"), header.Get("Ce-Subject"))
	// Output:
	// 42 room%204
}

func ExampleLenient() {
	var l rawevent.Lenient // one for each request
	e, err := l.FromHTTP(
		http.Header{"Content-Type": {rawevent.MediaTypeJSON}},
		[]byte(`{"specversion":"1.0","ID":"42","source":"/a b","type":"t","time":"2026-11-23 1:02:03Z"}`),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	when, _ := e.Attribute("time")
	fmt.Println(e.ID(), e.Source(), when)
	fmt.Println(l.Mended)
	// Output:
	// 42 /a%20b 2026-11-23T01:02:03Z
	// [id source time]
}
