package rawevent_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// jsonRow is one event in the JSON event format.
type jsonRow struct {
	name   string
	input  string
	expect expectation
}

// jsonRows has the rows of the behaviour table that are about structured mode.
var jsonRows = []jsonRow{
	{"minimal", minimal, all(has("id", "1"), has("specversion", "1.0"), lacks("datacontenttype"), noData)},
	{
		"white space everywhere",
		" {\n\t\"specversion\" : \"1.0\" ,\r\n\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\" ,\"data\" : 1 } ",
		hasData("1"),
	},

	// Characters.
	{"control characters in a string", with(`"subject":"a\u0001b\nc"`), invalid("subject")},
	{"U+0000", with(`"subject":"\u0000"`), invalid("subject")},
	{"U+007F", with(`"subject":"\u007f"`), invalid("subject")},
	{"U+009F", with(`"subject":"\u009f"`), invalid("subject")},
	{"raw U+0085", with("\"subject\":\"\u0085\""), invalid("subject")},
	{"noncharacter U+FFFE", with(`"subject":"\uFFFE"`), invalid("subject")},
	{"noncharacter U+FDD0", with(`"foo":"\ufdd0"`), invalid("foo")},
	{"noncharacter U+1FFFF as a pair", with(`"foo":"\ud83f\udfff"`), invalid("foo")},
	{"U+FFFD itself", with(`"subject":"\ufffd"`), has("subject", "\ufffd")},
	{"a surrogate pair", with(`"subject":"\uD83D\uDe00!"`), has("subject", "😀!")},
	{"lone surrogate", with(`"subject":"\uDEAD"`), invalid("subject")},
	{"lone high surrogate", with(`"subject":"\ud83d"`), invalid("subject")},
	{"lone high surrogate and text", with(`"subject":"\ud83dabcdefgh"`), invalid("subject")},
	{"lone high surrogate and an escape", with(`"subject":"\ud83d\nabcdef"`), invalid("subject")},
	{
		"lone high surrogate, an escape and what looks like a low one",
		with(`"subject":"\ud83d\ndc00"`),
		invalid("subject"),
	},
	{"two high surrogates", with(`"subject":"\ud83d\ud83d"`), invalid("subject")},
	{"surrogates in the wrong order", with(`"subject":"\ude00\ud83d"`), invalid("subject")},
	{"lone surrogate in a name", with(`"\ud83d":"x"`), invalid("")},
	{"lone surrogate in text data", with(`"datacontenttype":"text/plain","data":"\ud83d"`), invalid("data")},
	{
		"every escape",
		with(`"datacontenttype":"text/plain","data":"\"\\\/\b\f\n\r\t\u00e9\u20AC"`),
		hasData("\"\\/\b\f\n\r\té€"),
	},
	{"invalid UTF-8 in a string", with("\"subject\":\"caf\xe9\""), invalid("")},
	{"invalid UTF-8 in the data", with("\"data\":{\"a\":\"\xff\"}"), invalid("")},
	{"byte order mark", "\ufeff" + minimal, invalid("")},

	// Each attribute at most once.
	{"id twice", with(`"id":"2"`), invalid("id")},
	{"id twice, one escaped", with(`"\u0069d":"2"`), invalid("id")},
	{"data twice", with(`"data":1,"data":1`), invalid("data")},
	{"data_base64 twice", with(`"data_base64":"","data_base64":""`), invalid("data_base64")},
	{"data_base64 twice, null", with(`"data_base64":null,"data_base64":null`), invalid("data_base64")},
	{"extension twice", with(`"foo":"1","foo":"1"`), invalid("foo")},
	{
		"datacontenttype twice",
		with(`"datacontenttype":"text/plain","datacontenttype":"text/plain"`),
		invalid("datacontenttype"),
	},
	{
		"datacontenttype twice, null",
		with(`"datacontenttype":null,"datacontenttype":"text/plain"`),
		invalid("datacontenttype"),
	},
	{"extension null, then a value", with(`"foo":null,"foo":"1"`), invalid("foo")},
	{"extension a value, then null", with(`"foo":"1","foo":null`), invalid("foo")},
	{"extension null twice", with(`"foo":null,"foo":null`), invalid("foo")},
	{"keys twice inside the data", with(`"data":{"id":1,"id":2}`), hasData(`{"id":1,"id":2}`)},

	// Names.
	{"ID instead of id", without("id", `"ID":"1"`), invalid("ID")},
	{"FooBar", with(`"FooBar":"x"`), invalid("FooBar")},
	{"foo and FOO", with(`"foo":"x","FOO":"y"`), invalid("FOO")},
	{"FOO with null", with(`"FOO":null`), invalid("FOO")},
	{"Data", with(`"Data":1`), invalid("Data")},
	{"an empty name", with(`"":"x","foo":"y"`), invalid("")},
	{"foo_bar", with(`"foo_bar":"x"`), invalid("foo_bar")},
	{"a name of 40 characters", with(`"` + strings.Repeat("n", 40) + `":"x"`), has(strings.Repeat("n", 40), "x")},
	{
		"a name of 65 characters",
		with(`"` + strings.Repeat("n", 65) + `":"x"`),
		refused(rawevent.TooLarge, strings.Repeat("n", 64)),
	},
	{
		"a long name cut inside a character",
		with(`"a` + strings.Repeat("é", 40) + `":"x"`),
		refused(rawevent.TooLarge, "a"+strings.Repeat("é", 31)),
	},
	{"256 attributes", with(manyMembers(252, `"v"`)), has("x251", "v")},
	{"257 attributes", with(manyMembers(253, `"v"`)), refused(rawevent.TooLarge, "")},
	{"257 nulls", with(manyMembers(257, `null`)), refused(rawevent.TooLarge, "")},

	// Empty and null.
	{"empty subject", with(`"subject":""`), invalid("subject")},
	{"empty time", with(`"time":""`), invalid("time")},
	{"empty dataschema", with(`"dataschema":""`), invalid("dataschema")},
	{"empty datacontenttype", with(`"datacontenttype":""`), invalid("datacontenttype")},
	{"empty id", without("id", `"id":""`), invalid("id")},
	{"empty extension", with(`"foo":""`), has("foo", "")},
	{
		"null attributes",
		with(`"foo":null,"subject":null,"time":null`),
		all(lacks("foo"), lacks("subject"), lacks("time")),
	},
	{
		"datacontenttype null at the end",
		with(`"data":"hi","datacontenttype":null`),
		all(has("datacontenttype", "application/json"), hasData(`"hi"`)),
	},
	{
		"datacontenttype null at the front",
		`{"datacontenttype":null,` + opening + `}`,
		all(lacks("datacontenttype"), noData),
	},
	{"id null", without("id", `"id":null`), invalid("id")},
	{"specversion null", without("specversion", `"specversion":null`), invalid("specversion")},

	// Types.
	{"id a number", without("id", `"id":5`), invalid("id")},
	{"specversion a number", without("specversion", `"specversion":1.0`), invalid("specversion")},
	{"subject a boolean", with(`"subject":true`), invalid("subject")},
	{"time a number", with(`"time":0`), invalid("time")},
	{"datacontenttype a number", with(`"datacontenttype":5`), invalid("datacontenttype")},
	{"true", with(`"foo":true`), has("foo", "true")},
	{"false", with(`"foo":false`), has("foo", "false")},
	{"zero", with(`"foo":0`), has("foo", "0")},
	{"minus zero", with(`"foo":-0`), has("foo", "0")},
	{"largest integer", with(`"foo":2147483647`), has("foo", "2147483647")},
	{"smallest integer", with(`"foo":-2147483648`), has("foo", "-2147483648")},
	{"2147483648", with(`"foo":2147483648`), invalid("foo")},
	{"-2147483649", with(`"foo":-2147483649`), invalid("foo")},
	{"2^53+1", with(`"foo":9007199254740993`), invalid("foo")},
	{"1.5", with(`"foo":1.5`), invalid("foo")},
	{"1.0", with(`"foo":1.0`), invalid("foo")},
	{"1e2", with(`"foo":1e2`), invalid("foo")},
	{"an object", with(`"foo":{}`), invalid("foo")},
	{"an array", with(`"foo":[]`), invalid("foo")},
	{"digits in a string stay a string", with(`"foo":"007"`), has("foo", "007")},

	// Not an event.
	{"empty", "", invalid("")},
	{"not JSON", "{bad", invalid("")},
	{"text after the event", minimal + "x", invalid("")},
	{"two events", minimal + minimal, invalid("")},
	{"an array of events", "[" + minimal + "]", invalid("")},
	{"null", "null", invalid("")},
	{"a string", `"x"`, invalid("")},
	{"an empty object", "{}", invalid("specversion")},
	{"missing id", without("id", ""), invalid("id")},
	{"missing source", without("source", ""), invalid("source")},
	{"missing type", without("type", ""), invalid("type")},
	{"missing specversion", without("specversion", ""), invalid("specversion")},
	{"specversion 1.1", without("specversion", `"specversion":"1.1"`), invalid("specversion")},
	{"specversion 0.3", without("specversion", `"specversion":"0.3"`), invalid("specversion")},
	{
		"128 levels",
		with(`"data":` + strings.Repeat("[", 127) + strings.Repeat("]", 127)),
		hasData(strings.Repeat("[", 127) + strings.Repeat("]", 127)),
	},
	{
		"129 levels",
		with(`"data":` + strings.Repeat("[", 128) + strings.Repeat("]", 128)),
		refused(rawevent.TooLarge, ""),
	},
	{"128 levels and more beside them", with(`"data":[[],` + strings.Repeat("[", 126) + strings.Repeat("]", 126) + `]`),
		hasData("[[]," + strings.Repeat("[", 126) + strings.Repeat("]", 126) + "]")},
	{
		"129 levels, brackets in a string before them",
		with(`"data":["]]",` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + `]`),
		refused(rawevent.TooLarge, ""),
	},
	{
		"brackets in a string do not count as levels",
		with(`"data":"\"` + strings.Repeat("[", 200) + `"`),
		hasData(`"\"` + strings.Repeat("[", 200) + `"`),
	},
	{"a million levels", strings.Repeat("[", 1e6), refused(rawevent.TooLarge, "")},
}

// manyMembers returns n extensions of this value.
func manyMembers(n int, value string) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"x%d":%s`, i, value)
	}
	return strings.Join(members, ",")
}

func TestStructuredJSON(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for _, row := range append(jsonRows, dataRows...) {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			e, err := rawevent.FromJSON([]byte(row.input))
			row.expect(t, &e, err)
		})
		t.Run(row.name+", over a socket", func(t *testing.T) {
			t.Parallel()
			status, e, err := overSocket(
				t,
				server,
				"POST / HTTP/1.1",
				headers("Content-Type: application/cloudevents+json"),
				row.input,
			)
			if status != http.StatusAccepted {
				t.Fatalf("net/http answers %d", status)
			}
			row.expect(t, e, err)
		})
	}
}
