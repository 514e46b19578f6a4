package schema_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/gateway/schema"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

const order = `{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"https://example.com/order.json","type":"object",
"required":["id"],"properties":{"id":{"type":"integer","minimum":1},"to":{"$ref":"place.json"},"sum":{"maximum":1000}}}`

const place = `{"$id":"https://example.com/place.json","type":"object","properties":{"city":{"type":"string","pattern":"^[A-Z]"}},"additionalProperties":false}`

func about(eventType, dataSchema, data string) *rawevent.Event {
	e := rawevent.New("1", "/s", eventType)
	if dataSchema != "" {
		e.Set("dataschema", dataSchema)
	}
	e.DataContentType, e.Data = "application/json", []byte(data)
	return &e
}

func TestCheck(t *testing.T) {
	t.Parallel()
	set, err := schema.Compile([]schema.Source{
		{Text: []byte(order), Type: "com.example.order.*"},
		{Text: []byte(place)},
		{Text: []byte(place), DataSchema: "https://example.com/place.json"},
		{Text: []byte(`false`), Type: "never", DataSchema: "urn:never"},
		{Text: []byte(place), Type: "moved", DataSchema: "urn:example:place"},
	})
	if err != nil {
		t.Fatal(err)
	}
	text := about("com.example.order.made", "", "x")
	text.DataContentType = "text/plain"
	none := rawevent.New("1", "/s", "com.example.order.made")
	for name, c := range map[string]struct {
		event *rawevent.Event
		want  string // path and end of the schema's address
	}{
		"valid":                      {about("com.example.order.made", "", `{"id":1,"to":{"city":"Rome"}}`), ""},
		"no schema is for it":        {about("other", "https://example.com/other", `{"id":0}`), ""},
		"a member is missing":        {about("com.example.order.made", "", `{}`), " order.json#/required"},
		"a value is too small":       {about("com.example.order.made", "", `{"id":0}`), "/id order.json#/properties/id/minimum"},
		"in another schema":          {about("com.example.order.made", "", `{"id":1,"to":{"city":"rome"}}`), "/to/city place.json#/properties/city/pattern"},
		"by dataschema":              {about("any", "https://example.com/place.json", `{"a/b~":1}`), " place.json#/additionalProperties"},
		"its $id is another address": {about("moved", "urn:example:place", `{"city":1}`), "/city place.json#/properties/city/type"},
		"both conditions":            {about("never", "urn:never", `1`), " urn:never#"},
		"one condition of two":       {about("never", "", `1`), ""},
		"not JSON by its type":       {text, " the data is not JSON by its datacontenttype, but a schema applies to it"},
		"not JSON":                   {about("com.example.order.made", "", `{`), " the data is not valid JSON"},
		"two values":                 {about("com.example.order.made", "", `{} {}`), " the data is not valid JSON"},
		"no data":                    {&none, " the data is not JSON by its datacontenttype, but a schema applies to it"},
		"a number of a megabyte":     {about("com.example.order.made", "", `{"id":1,"sum":[1e1000000]}`), " a number in the data has an exponent beyond 400"},
		"a number of many zeros":     {about("com.example.order.made", "", `{"id":1,"sum":1e-99999999999999999999}`), " a number in the data has an exponent beyond 400"},
		"a number just in bounds":    {about("com.example.order.made", "", `{"id":1e400}`), ""},
		"a whole number as a real":   {about("com.example.order.made", "", `{"id":1.0}`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, v := range set.Check(c.event) {
				got = append(got, v.Path+" "+v.Schema[strings.LastIndex(v.Schema, "example.com/")+1:])
			}
			switch {
			case c.want == "" && len(got) > 0, c.want != "" && len(got) != 1:
				t.Errorf("got %v", got)
			case c.want != "" && !strings.HasSuffix(got[0], c.want[strings.Index(c.want, " ")+1:]) || c.want != "" && !strings.HasPrefix(got[0], c.want[:strings.Index(c.want, " ")+1]):
				t.Errorf("got %q, want %q", got[0], c.want)
			}
		})
	}
	if (*schema.Set)(nil).Check(text) != nil {
		t.Error("no set accepts everything")
	}
}

// TestViolationsAreBounded, and do not repeat what is in the data.
func TestViolationsAreBounded(t *testing.T) {
	t.Parallel()
	set, err := schema.Compile([]schema.Source{{Text: []byte(`{"items":{"enum":["a"]}}`), Type: "*"}})
	if err != nil {
		t.Fatal(err)
	}
	list := set.Check(about("t", "", `["secret"`+strings.Repeat(`,"secret"`, 100)+`]`))
	if len(list) != 10 || list[9].Path != "/9" {
		t.Errorf("%v", list)
	}
	if slices.ContainsFunc(list, func(v schema.Violation) bool { return strings.Contains(v.Path+v.Schema, "secret") }) {
		t.Error("a value is told")
	}
}

func TestWrongSchemas(t *testing.T) {
	t.Parallel()
	for want, sources := range map[string][]schema.Source{
		"schema 0: the schema is not valid JSON":                              {{Text: []byte(`{`)}},
		"schema 1: ":                                                          {{Text: []byte(`{}`)}, {Text: []byte(`{"type":"thing"}`)}},
		"file:///etc/passwd is not configured":                                {{Text: []byte(`{"$ref":"file:///etc/passwd"}`), Type: "t"}},
		"https://example.com/x.json is not configured":                        {{Text: []byte(`{"$ref":"https://example.com/x.json"}`), Type: "t"}},
		"schema 0: the schema is larger than 1048576 bytes":                   {{Text: []byte(strings.Repeat(" ", schema.MaxText+1))}},
		"another schema has the same address, https://example.com/place.json": {{Text: []byte(place)}, {Text: []byte(`{"type":"null"}`), DataSchema: "https://example.com/place.json"}},
		"is not valid regex":                                                  {{Text: []byte(`{"pattern":"(?!a)"}`)}},
	} {
		_, err := schema.Compile(sources)
		if wrong, ok := errors.AsType[*schema.Error](
			err,
		); !ok ||
			!strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) {
			t.Errorf("want %q, got %v (%v)", want, err, wrong)
		}
	}
}

// FuzzCheck: no data makes it panic, and each violation is one of something.
func FuzzCheck(f *testing.F) {
	set, err := schema.Compile([]schema.Source{{Text: []byte(order), Type: "t"}, {Text: []byte(place)}})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{`{"id":1}`, `{"id":1e99}`, `[`, `{"to":{"city":"a"}}`, `1e400`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, v := range set.Check(about("t", "", string(data))) {
			if v.Schema == "" {
				t.Error("a violation of nothing")
			}
		}
	})
}

// TestReferencesWithin a schema are followed whatever its address is, also in circles.
func TestReferencesWithin(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "urn:example:tree", "https://example.com/tree.json", "https://example.com/schemas/tree", "HTTP://EXAMPLE.com/a?b=c"} {
		for name, text := range map[string]string{
			"defs":    `{"$ref":"#/$defs/tree","$defs":{"tree":{"type":"array","items":{"$ref":"#/$defs/tree"}}}}`,
			"root":    `{"type":"array","items":{"$ref":"#"}}`,
			"anchors": `{"$ref":"#tree","$defs":{"tree":{"$anchor":"tree","type":"array","items":{"$ref":"#tree"}}}}`,
		} {
			set, err := schema.Compile([]schema.Source{{Text: []byte(text), Type: "t", DataSchema: address}})
			if err != nil {
				t.Errorf("%s at %q: %v", name, address, err)
				continue
			}
			if v := set.Check(about("t", address, strings.Repeat("[", 5000)+strings.Repeat("]", 5000))); v != nil {
				t.Errorf("%s at %q: %v", name, address, v)
			}
			if v := set.Check(about("t", address, "[[],[1]]")); len(v) != 1 || v[0].Path != "/1/0" {
				t.Errorf("%s at %q: %v", name, address, v)
			}
		}
	}
	circle, err := schema.Compile([]schema.Source{{Text: []byte(`{"$ref":"#"}`), Type: "t"}})
	if err != nil {
		t.Fatal(err)
	}
	if v := circle.Check(about("t", "", "1")); len(v) != 1 {
		t.Errorf("a schema that is nothing but itself: %v", v)
	}
}
