package rawevent_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// dataRows has the rows of the behaviour table that are about reading data from JSON.
var dataRows = []jsonRow{
	{
		"object with application/vnd.x+json",
		with(`"datacontenttype":"application/vnd.x+json","data":{"a":1}`),
		hasData(`{"a":1}`),
	},
	{
		"object with Application/JSON; charset=utf-8",
		with(`"datacontenttype":"Application/JSON; charset=utf-8","data":{"a":1}`),
		all(has("datacontenttype", "Application/JSON; charset=utf-8"), hasData(`{"a":1}`)),
	},
	{"object with text/json", with(`"datacontenttype":"text/json","data":{}`), hasData(`{}`)},
	{
		"string without datacontenttype",
		with(`"data":"hi"`),
		all(has("datacontenttype", "application/json"), hasData(`"hi"`)),
	},
	{
		"string with JSON type stays a JSON string",
		with(`"datacontenttype":"application/json","data":"{\"a\":1}"`),
		hasData(`"{\"a\":1}"`),
	},
	{
		"string with text/plain",
		with(`"datacontenttype":"text/plain","data":"hi"`),
		all(has("datacontenttype", "text/plain"), hasData("hi")),
	},
	{"string before its datacontenttype", with(`"data":"hi","datacontenttype":"text/plain"`), hasData("hi")},
	{"empty string with text/plain", with(`"datacontenttype":"text/plain","data":""`), hasData("")},
	{"object with text/plain", with(`"datacontenttype":"text/plain","data":{}`), invalid("data")},
	{"number with text/plain", with(`"datacontenttype":"text/plain","data":1`), invalid("data")},
	{"application/jsonx is not JSON", with(`"datacontenttype":"application/jsonx","data":{}`), invalid("data")},
	{"null with text/plain", with(`"datacontenttype":"text/plain","data":null`), invalid("data")},
	{"null", with(`"data":null`), all(has("datacontenttype", "application/json"), hasData("null"))},
	{"null with application/json", with(`"datacontenttype":"application/json","data":null`), hasData("null")},
	{
		"no data but datacontenttype",
		with(`"datacontenttype":"text/plain"`),
		all(has("datacontenttype", "text/plain"), noData),
	},
	{"escaped name of data", with(`"d\u0061ta":1`), hasData("1")},

	{"data and data_base64", with(`"data":1,"data_base64":"AA=="`), invalid("data_base64")},
	{"data null and data_base64", with(`"data_base64":"AA==","data":null`), invalid("data_base64")},
	{"data and data_base64 null", with(`"data":1,"data_base64":null`), hasData("1")},
	{"data_base64 null", with(`"data_base64":null`), all(lacks("datacontenttype"), noData)},
	{"data_base64", with(`"data_base64":"AP/+"`), all(lacks("datacontenttype"), hasData("\x00\xff\xfe"))},
	{"data_base64 empty", with(`"data_base64":""`), all(lacks("datacontenttype"), hasData(""))},
	{
		"data_base64 with JSON type",
		with(`"datacontenttype":"application/json","data_base64":"e30="`),
		all(has("datacontenttype", "application/json"), hasData("{}")),
	},
	{
		"data_base64 with JSON type that is not JSON",
		with(`"datacontenttype":"application/json","data_base64":"e2JhZA=="`),
		hasData("{bad"),
	},
	{"data_base64 with escaped slashes, no datacontenttype", with(`"data_base64":"\/\/8="`), hasData("\xff\xff")},
	{
		"data_base64 with escaped slashes, datacontenttype later",
		with(`"data_base64":"\/\/8=","datacontenttype":"text/plain"`),
		hasData("\xff\xff"),
	},
	{"data_base64 garbage", with(`"data_base64":"!!!!"`), invalid("data_base64")},
	{"data_base64 without padding", with(`"data_base64":"AA"`), invalid("data_base64")},
	{"data_base64 in the URL alphabet", with(`"data_base64":"__8="`), invalid("data_base64")},
	{"data_base64 with bits left over", with(`"data_base64":"AB=="`), invalid("data_base64")},
	{"data_base64 with a line feed", with(`"data_base64":"AA\n=="`), invalid("data_base64")},
	{"data_base64 with CR LF at the end", with(`"data_base64":"AA==\r\n"`), invalid("data_base64")},
	{"data_base64 with a space", with(`"data_base64":"AA =="`), invalid("data_base64")},
	{"data_base64 1", `{"data_base64":1,` + opening + `}`, invalid("data_base64")},
	{"data_base64 12", with(`"data_base64":12`), invalid("data_base64")},
	{"data_base64 123456", with(`"data_base64":123456`), invalid("data_base64")},
	{"data_base64 an object", with(`"data_base64":{}`), invalid("data_base64")},
	{"data_base64 true", with(`"data_base64":true`), invalid("data_base64")},
}

// TestWriteData has the rows of the behaviour table that are about writing data as JSON.
func TestWriteData(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, mediaType, data, want string }{
		{"application/json", "application/json", `{"a":1}`, `"data":{"a":1}`},
		{"application/json, a string", "application/json", `"hi"`, `"data":"hi"`},
		{"application/json, null", "application/json", `null`, `"data":null`},
		{"application/json that is not JSON", "application/json", `{bad`, `"data_base64":"e2JhZA=="`},
		{"application/json, two values", "application/json", `1,"id":"2"`, `"data_base64":"MSwiaWQiOiIyIg=="`},
		{"application/json, closing brace", "application/json", `1}`, `"data_base64":"MX0="`},
		{"application/json, not UTF-8", "application/json", "\"\xff\"", `"data_base64":"Iv8i"`},
		{"application/json, byte order mark", "application/json", "\ufeff1", `"data_base64":"77u/MQ=="`},
		{"application/json, empty", "application/json", "", `"data_base64":""`},
		{"application/vnd.x+json", "application/vnd.x+json", `{"a":1}`, `"data":{"a":1}`},
		{"Application/JSON; charset=utf-8", "Application/JSON; charset=utf-8", `[]`, `"data":[]`},
		{"text/json", "text/json", `{"a":1}`, `"data":{"a":1}`},
		{"text/json that is not JSON", "text/json", `{bad`, `"data_base64":"e2JhZA=="`},
		{"text/json, empty", "text/json", "", `"data_base64":""`},
		{"text/x+json that is not JSON", "text/x+json; charset=utf-8", `hi`, `"data_base64":"aGk="`},
		{"text/plain", "text/plain", "a \"b\"\\\n\t\r\x01é", `"data":"a \"b\"\\\n\t\r\u0001é"`},
		{"text/plain, not UTF-8", "text/plain", "\xe9", `"data_base64":"6Q=="`},
		{"text/plain, empty", "text/plain", "", `"data":""`},
		{"text/plain; charset=utf-8", "text/plain; charset=utf-8", "é", `"data":"é"`},
		{"text/plain; charset=iso-8859-1", "text/plain; charset=iso-8859-1", "\xe9", `"data_base64":"6Q=="`},
		{"application/xml", "application/xml", "<a/>", `"data":"<a/>"`},
		{"image/svg+xml", "image/svg+xml", "<svg/>", `"data":"<svg/>"`},
		{"application/yaml", "application/yaml", "a: 1", `"data":"a: 1"`},
		{"application/octet-stream", "application/octet-stream", "\x00\xff", `"data_base64":"AP8="`},
		{"application/octet-stream, text", "application/octet-stream", "hello", `"data_base64":"aGVsbG8="`},
		{"application/protobuf, empty", "application/protobuf", "", `"data_base64":""`},
		{"unknown type", "", "hello", `"data_base64":"aGVsbG8="`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			e := rawevent.New("1", "/s", "t")
			e.DataContentType, e.Data = row.mediaType, []byte(row.data)
			want := row.want
			if row.mediaType != "" {
				want = `"datacontenttype":"` + row.mediaType + `",` + want
			}
			written := e.AppendJSON(nil)
			if diff := cmp.Diff(with(want), string(written)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			got, err := rawevent.FromJSON(written)
			all(hasData(row.data), accepted)(t, &got, err)
			if got.DataContentType != row.mediaType {
				t.Errorf("read back with media type %q", got.DataContentType)
			}
		})
	}
}

func TestWriteNoData(t *testing.T) {
	t.Parallel()
	e := rawevent.New("1", "/s", "t")
	if got := string(e.AppendJSON([]byte("x"))); got != "x"+minimal {
		t.Errorf("written as %s", got)
	}
	e.DataContentType = "text/plain"
	if got, want := string(e.AppendJSON(nil)), with(`"datacontenttype":"text/plain"`); got != want {
		t.Errorf("written as %s, want %s", got, want)
	}
	e = rawevent.Event{DataContentType: "text/plain"}
	if got := string(e.AppendJSON(nil)); got != `{"datacontenttype":"text/plain"}` {
		t.Errorf("an event without attributes is written as %s", got)
	}
	if got := string((&rawevent.Event{}).AppendJSON([]byte("x"))); got != "x{}" {
		t.Errorf("the zero event is written as %s", got)
	}
}
