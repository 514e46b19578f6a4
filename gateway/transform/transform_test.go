package transform

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamgate/streamgate/gateway/schema"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

func TestTransform(t *testing.T) {
	t.Parallel()
	e := rawevent.New("1", "/s", "com.example.created")
	e.Set("subject", "a/b")
	e.Set("region", "eu")
	e.DataContentType, e.Data = "application/json", []byte(`{"id":7,"name":"x","in":{"a/b":{"deep":true}},"none":null}`)
	for name, c := range map[string]struct {
		config Config
		want   string // in JSON
		err    string
	}{
		"set": {Config{Set: map[string]string{"subject": "{source}/{data:id}", "team": "{extension:region}-{type}"}},
			`{"specversion":"1.0","id":"1","source":"/s","type":"com.example.created","subject":"/s/7","region":"eu","team":"eu-com.example.created","datacontenttype":"application/json","data":` + string(e.Data) + `}`, ""},
		"templates see the event as it came": {Config{Set: map[string]string{"id": "{type}", "type": "{id}"}, Unwrap: "in"},
			`{"specversion":"1.0","id":"com.example.created","source":"/s","type":"1","subject":"a/b","region":"eu","datacontenttype":"application/json","data":{"a/b":{"deep":true}}}`, ""},
		"empty is deleted": {Config{Set: map[string]string{"subject": "{data:none?}", "region": "{extension:other?}"}, Unwrap: "id"},
			`{"specversion":"1.0","id":"1","source":"/s","type":"com.example.created","datacontenttype":"application/json","data":7}`, ""},
		"of the entry": {Config{Set: map[string]string{"knativearrivaltime": "{stored}", "subject": "{entry}", "region": ""}, Unwrap: "id"},
			`{"specversion":"1.0","id":"1","source":"/s","type":"com.example.created","subject":"1767322984000-7","knativearrivaltime":"2026-01-02T03:03:04.000Z","datacontenttype":"application/json","data":7}`, ""},
		"delete": {Config{Delete: []string{"subject", "other"}, Unwrap: "in/a~1b/deep"},
			`{"specversion":"1.0","id":"1","source":"/s","type":"com.example.created","region":"eu","datacontenttype":"application/json","data":true}`, ""},
		"unwrap a string": {Config{Unwrap: "name"},
			`{"specversion":"1.0","id":"1","source":"/s","type":"com.example.created","subject":"a/b","region":"eu","datacontenttype":"application/json","data":"x"}`, ""},
		"wrap": {Config{Wrap: "body"},
			`{"specversion":"1.0","id":"1","source":"/s","type":"com.example.created","subject":"a/b","region":"eu","datacontenttype":"application/json","data":{"body":` + string(e.Data) + `}}`, ""},
		"no such member":  {Config{Unwrap: "in/other"}, "", "the data has no member in/other"},
		"no value":        {Config{Set: map[string]string{"subject": "{data:other}"}}, "", "set subject: fill in {data:other}"},
		"no longer valid": {Config{Set: map[string]string{"time": "{data:name}"}}, "", "not valid: attribute \"time\""},
		"an empty id":     {Config{Set: map[string]string{"id": "{data:other?}"}}, "", "not valid: attribute \"id\""},
		"valid by its schema": {Config{Schemas: []schema.Config{{Type: "com.example.*", Schema: `{"required":["id"]}`}}, Unwrap: "id"},
			`{"specversion":"1.0","id":"1","source":"/s","type":"com.example.created","subject":"a/b","region":"eu","datacontenttype":"application/json","data":7}`, ""},
		"not by its schema": {Config{Schemas: []schema.Config{{Type: "com.example.*", Schema: `{"properties":{"name":{"type":"null"}}}`}}, Unwrap: "id"},
			"", `the data at "/name" violates its schema: streamgate:///schemas/0#/properties/name/type`},
		"not a media type": {Config{Set: map[string]string{"datacontenttype": "{data:name}"}}, "", "not valid: attribute \"datacontenttype\""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if problems := c.config.Validate(EntryPlaceholders()); len(problems) > 0 {
				t.Fatal(problems)
			}
			change, err := New(&c.config)
			if err != nil {
				t.Fatal(err)
			}
			before := string(e.AppendJSON(nil))
			got, err := change.Apply(&e, "1767322984000-7")
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v", err)
				}
			case err != nil:
				t.Error(err)
			default:
				if text := string(got.AppendJSON(nil)); text != c.want {
					t.Errorf("got  %s\nwant %s", text, c.want)
				}
			}
			if after := string(e.AppendJSON(nil)); after != before {
				t.Errorf("the event itself has become %s", after)
			}
		})
	}
}

// TestWrapOfAnyData: whatever the data, what wraps it is JSON, and unwrapping JSON gives it back.
func TestWrapOfAnyData(t *testing.T) {
	t.Parallel()
	wrap, err := New(&Config{Wrap: "a/b~"})
	if err != nil {
		t.Fatal(err)
	}
	unwrap, err := New(&Config{Unwrap: "a~1b~0"})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		e := rawevent.New("1", "/s", "t")
		e.DataContentType = rapid.SampledFrom([]string{"", "text/plain", "application/json", "application/geo+json", "image/png"}).Draw(t, "type")
		e.Data = rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.SampledFrom([][]byte{nil, []byte(`{"a":1}`), []byte(`"x"`), []byte(`[`)})).Draw(t, "data")
		wrapped, err := wrap.Apply(&e, "")
		if err != nil {
			t.Fatal(err)
		}
		back, err := unwrap.Apply(&wrapped, "")
		if err != nil {
			t.Fatalf("%s: %v", wrapped.Data, err)
		}
		if rawevent.IsJSON(e.DataContentType) && len(e.Data) > 0 && e.Data[0] != '[' && string(back.Data) != string(e.Data) && string(e.Data) == `{"a":1}` {
			t.Errorf("%s has become %s", e.Data, back.Data)
		}
	})
}

func TestWrongTransformations(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Config{
		": the transformation changes nothing":                 {},
		"schemas[0]: there must be one of file and schema":     {Schemas: []schema.Config{{Type: "t"}}},
		"set.specversion: \"specversion\" is not an attribute": {Set: map[string]string{"specversion": "1.0"}},
		"set.data: \"data\" is not an attribute":               {Set: map[string]string{"data": "x"}},
		"set.a_b: \"a_b\" is not an attribute":                 {Set: map[string]string{"a_b": "x"}},
		"set.subject: {stored} is not a known placeholder":     {Set: map[string]string{"subject": "{stored}"}},
		"set.subject: {region} is not a known placeholder":     {Set: map[string]string{"subject": "{region}"}},
		"delete[0]: every event must have type":                {Delete: []string{"type"}},
		"delete[0]: subject is set as well":                    {Set: map[string]string{"subject": "x"}, Delete: []string{"subject"}},
		"delete[0]: \"A\" is not a valid attribute name":       {Delete: []string{"A"}},
		": the data is to be wrapped and unwrapped":            {Wrap: "a", Unwrap: "b"},
	} {
		problems := c.Validate(Placeholders())
		if len(problems) != 1 || !strings.HasPrefix(problems[0].Path+": "+problems[0].Message, want) {
			t.Errorf("want %q, got %v", want, problems)
		}
	}
}
