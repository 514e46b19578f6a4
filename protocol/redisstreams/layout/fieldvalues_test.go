package layout_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
	"github.com/streamgate/streamgate/protocol/redisstreams/layout"
)

func TestLayoutEmbedded(t *testing.T) {
	t.Parallel()
	const odd = `{"SpecVersion":"1.0","id":"1","source":"/s","type":"t","subject":null,"X":1.5}`
	const repaired = `{"specversion":"1.0","id":"1","source":"/s","type":"t","x":"1.5"}`
	runLayoutCases(t, layout.Config{Name: "embedded"}, map[string]layoutCase{
		"event":       {[]string{"any", whole}, whole, nil},
		"broken":      malformed("any", whole[:20]),
		"not lenient": malformed("any", odd),
		"two fields":  unknown("any", whole, "x", "y"),
	})
	runLayoutCases(t, layout.Config{Name: "embedded", Lenient: true}, map[string]layoutCase{"lenient": {[]string{"any", odd}, repaired, nil}})
	runLayoutCases(t, layout.Config{Lenient: true}, map[string]layoutCase{
		"lenient, by auto": {[]string{"any", odd}, repaired, nil},
		"not an event":     unknown("any", strings.Replace(odd, "source", "s", 1)),
	})
}

func TestFieldsHoldAnEvent(t *testing.T) {
	t.Parallel()
	rules := layout.FieldRules{Event: "event", Extensions: []layout.FieldExtension{{Name: "error"}, {Name: "x", Field: "meta.x"}}}
	runLayoutCases(t, layout.Config{Name: "fields", Fields: rules}, map[string]layoutCase{
		"event":          {[]string{"event", whole, "other", "1"}, whole, nil},
		"extensions":     {[]string{"event", whole, "error", "e", "meta", `{"x":7}`}, whole[:len(whole)-1] + `,"error":"e","x":"7"}`, nil},
		"its own wins":   {[]string{"error", "e", "event", whole[:len(whole)-1] + `,"error":"own"}`}, whole[:len(whole)-1] + `,"error":"own"}`, nil},
		"broken":         malformed("event", whole[:20], "error", "e"),
		"twice":          malformed("event", whole, "event", whole),
		"no field":       unknown("error", "e"),
		"bad extension":  malformed("event", whole, "error", "\xff"),
		"not JSON, meta": {[]string{"event", whole, "meta", `{"x":`}, whole, nil},
	})
	rules.Base64 = []string{"event"}
	runLayoutCases(t, layout.Config{Name: "fields", Fields: rules}, map[string]layoutCase{
		"in base64": {[]string{"event", `"eyJzcGVjdmVyc2lvbiI6IjEuMCIsImlkIjoiaiIsInNvdXJjZSI6Ii9zIiwidHlwZSI6InQifQ=="`}, whole, nil},
	})
}

func TestFieldsOfMembers(t *testing.T) {
	t.Parallel()
	const task = `{"task_id":"f72d","task_name":"tq:add","n":7,"sub":{"a.b":"deep"},"none":null,"at":"2026-11-23T01:02:03Z"}`
	rules := layout.FieldRules{
		Data: "data", ID: "data.task_id", Type: "data.task_name", Subject: "data.sub.a.b", Time: "data.at",
		Extensions: []layout.FieldExtension{{Name: "n", Field: "data.n"}, {Name: "none", Field: "data.none"}, {Name: "dotted", Field: "a.b"}, {Name: "obj", Field: "data.sub"}},
	}
	runLayoutCases(t, layout.Config{Name: "fields", Fields: rules}, map[string]layoutCase{
		"members": {[]string{"data", task, "a.b", "c"}, `{"specversion":"1.0","id":"f72d","source":"/streams/orders","type":"tq:add","time":"2026-11-23T01:02:03Z","subject":"deep","dotted":"c","n":"7","obj":"{\"a.b\":\"deep\"}","datacontenttype":"application/json","data":` + task + `}`, nil},
		"none":    {[]string{"data", "[1]"}, made + `,"datacontenttype":"application/json","data":[1]}`, nil},
		"text":    {[]string{"data", "x"}, made + `,"data_base64":"eA=="}`, nil},
		"twice":   malformed("data", task, "data", task),
		"invalid": malformed("data", `{"at":"today"}`),
	})
}

func TestFieldsOfJSONAndBase64(t *testing.T) {
	t.Parallel()
	json := func(object string) string {
		return made + `,"datacontenttype":"application/json","data":` + object + `}`
	}
	runLayoutCases(t, layout.Config{Name: "fields", Fields: layout.FieldRules{Type: "event", JSON: []string{"returnvalue", "data"}}}, map[string]layoutCase{
		"members": {[]string{"event", "completed", "jobId", "1", "returnvalue", `{"ok":true, "n":1.50}`},
			strings.Replace(json(`{"jobId":"1","returnvalue":{"ok":true, "n":1.50}}`), "dev.streamgate.entry", "completed", 1), nil},
		"scalars":   {[]string{"returnvalue", "7", "data", `"x"`}, json(`{"returnvalue":7,"data":"x"}`), nil},
		"not JSON":  {[]string{"returnvalue", "NaN", "data", ""}, json(`{"returnvalue":"NaN","data":""}`), nil},
		"not UTF-8": {[]string{"returnvalue", "\xff"}, json(`{"returnvalue_base64":"/w=="}`), nil},
	})
	runLayoutCases(t, layout.Config{Name: "fields", Fields: layout.FieldRules{JSON: []string{"*"}}}, map[string]layoutCase{
		"every field": {[]string{"a", "1", "b", "[]", "c", "x"}, json(`{"a":1,"b":[],"c":"x"}`), nil},
	})
	runLayoutCases(t, layout.Config{Name: "fields", Fields: layout.FieldRules{ID: "id", Base64: []string{"*"}, JSON: []string{"n"}}}, map[string]layoutCase{
		"every field": {[]string{"id", `"Nw=="`, "n", "WzFd", "z", "null"}, strings.Replace(json(`{"n":[1],"z":""}`), "orders/1700000000123-4", "7", 1), nil},
		"not base64":  malformed("id", "?"),
		"cut off":     malformed("id", `"Nw==`),
	})
}

// TestComplete: the function sees what the entry gave, and its attributes come before the defaults; its error makes the
// entry malformed. Events that came whole do not go through it.
func TestComplete(t *testing.T) {
	t.Parallel()
	refused := errors.New("no kind")
	for _, name := range append(layout.Names(), layout.Auto) {
		l := newLayout(t, layout.Config{Name: name, Complete: func(e *redisstreams.Entry, event *rawevent.Event) error {
			if len(event.Data) == 0 {
				return refused
			}
			event.Set("type", "com.example."+e.Fields[0])
			return nil
		}})
		for _, fields := range [][]string{
			{"producer", "p", "href", "h", "subject", "s"}, {"body", "x"}, {"data", "x", "metadata", `{"rawPayload":"true"}`},
			{"_watermill_message_uuid", "u", "payload", "x"}, {"__data__", fastStreamOne}, {`{"id":1}`, `{"id":1}`}, {"ce", whole},
		} {
			e := redisstreams.Entry{Stream: "s", ID: "1-0", Fields: fields}
			event, err := l.Event(&e)
			if err == nil && event.ID() != "j" && event.Type() != "com.example."+fields[0] {
				t.Errorf("%s, %q: type %q", name, fields, event.Type())
			}
		}
		e := redisstreams.Entry{Stream: "s", ID: "1-0", Fields: []string{"_watermill_message_uuid", "u"}}
		if _, err := l.Event(&e); name == layout.Watermill && !errors.Is(err, redisstreams.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzFieldRules reads fields by rules that decode and take apart their values.
func FuzzFieldRules(f *testing.F) {
	f.Add("data", `{"id":"1","t":{"y":"z"}}`, "n", "[1]")
	f.Add("n", `"WzFd"`, "data.id", "x")
	f.Add("event", whole, "x", "1")
	var all []*layout.Layout
	for _, rules := range []layout.FieldRules{
		{ID: "data.id", Type: "data.t.y", Data: "data"}, {Event: "event", Extensions: []layout.FieldExtension{{Name: "x"}}},
		{ID: "data.id", JSON: []string{"*"}}, {Base64: []string{"*"}, JSON: []string{"n"}}, {Event: "event", Base64: []string{"event"}},
	} {
		all = append(all, newLayout(f, layout.Config{Name: layout.Fields, Fields: rules}), newLayout(f, layout.Config{Name: layout.Fields, Fields: rules, Lenient: true}))
	}
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string) {
		for _, l := range all {
			if _, err := checkLayout(t, l, redisstreams.Entry{Stream: "s", ID: "1-1", Fields: []string{n1, v1, n2, v2}}); err != nil {
				continue
			}
		}
	})
}
