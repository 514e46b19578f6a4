package layout_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
	"github.com/streamgate/streamgate/protocol/redisstreams/layout"
)

func newLayout(t testing.TB, c layout.Config) *layout.Layout {
	t.Helper()
	l, err := layout.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// layoutCase is an entry and what a layout makes of it: the event in JSON, or an error.
type layoutCase struct {
	fields []string
	want   string // in JSON; without specversion, source and type if they are the defaults
	err    error
}

const (
	layoutEntryID = "1700000000123-4"
	// made is how an event begins to which the entry gives nothing.
	made = `{"specversion":"1.0","id":"orders/1700000000123-4","source":"/streams/orders","type":"dev.streamgate.entry","time":"2023-11-14T22:13:20.123Z"`
	// whole is an event as other programs encode it.
	whole = `{"specversion":"1.0","id":"j","source":"/s","type":"t"}`
)

func runLayoutCases(t *testing.T, c layout.Config, cases map[string]layoutCase) {
	t.Helper()
	l := newLayout(t, c)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := redisstreams.Entry{Stream: "orders", ID: layoutEntryID, Fields: c.fields}
			event, err := l.Event(&e)
			if !errors.Is(err, c.err) || c.err == nil && err != nil {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(c.want, string(event.AppendJSON(nil))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func malformed(fields ...string) layoutCase {
	return layoutCase{fields, "", redisstreams.ErrMalformed}
}

func unknown(fields ...string) layoutCase {
	return layoutCase{fields, "", redisstreams.ErrUnknownEncoding}
}

func TestLayoutCloudEvents(t *testing.T) {
	t.Parallel()
	runLayoutCases(t, layout.Config{Name: "cloudevents"}, map[string]layoutCase{
		"binary": {[]string{"ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "t", "content-type", "text/plain", "data", "x"},
			`{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain","data":"x"}`, nil},
		"structured":     {[]string{"content-type", "application/cloudevents+json", "data", whole}, whole, nil},
		"invalid value":  malformed("ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "t", "ce_time", "today"),
		"no id":          malformed("ce_specversion", "1.0", "ce_source", "/s", "ce_type", "t"),
		"no specversion": unknown("ce_id", "1", "ce_source", "/s", "ce_type", "t"),
		"other format":   {[]string{"content-type", "application/cloudevents+avro", "data", "x"}, "", redisstreams.ErrUnknownFormat},
		"another layout": unknown("subject", "s", "producer", "p", "href", "h"),
	})
}

func TestLayoutOrigin(t *testing.T) {
	t.Parallel()
	data := func(members string) string {
		return made + `,"datacontenttype":"application/json","data":` + members + `}`
	}
	withSubject := strings.Replace(made, `3Z"`, `3Z","subject":"s"`, 1)
	runLayoutCases(t, layout.Config{Name: "origin"}, map[string]layoutCase{
		"as the notebook writes it": {[]string{"subject", "s", "producer", "p", "href", "h"},
			withSubject + `,"datacontenttype":"application/json","data":{"producer":"p","href":"h"}}`, nil},
		"no subject":        {[]string{"producer", "p", "href", "h"}, data(`{"producer":"p","href":"h"}`), nil},
		"empty subject":     {[]string{"href", "", "subject", "", "producer", "p"}, data(`{"href":"","producer":"p"}`), nil},
		"one more field":    {[]string{"href", "h", "producer", "p", "é\xff", "\"\n"}, data("{\"href\":\"h\",\"producer\":\"p\",\"é\ufffd\":\"\\\"\\n\"}"), nil},
		"value not UTF-8":   {[]string{"href", "\xff", "producer", "p"}, data(`{"href_base64":"/w==","producer":"p"}`), nil},
		"subject not UTF-8": malformed("subject", "\xff", "producer", "p", "href", "h"),
		"subject twice":     malformed("subject", "a", "producer", "p", "href", "h", "subject", "a"),
		"href twice":        malformed("producer", "p", "href", "h", "href", "h"),
		"no href":           unknown("subject", "s", "producer", "p"),
		"no producer":       unknown("subject", "s", "href", "h"),
		"empty":             unknown(),
	})
}

func TestLayoutTriggerMesh(t *testing.T) {
	t.Parallel()
	runLayoutCases(t, layout.Config{Name: "triggermesh"}, map[string]layoutCase{
		"event":            {[]string{"ce", whole}, whole, nil},
		"other fields":     {[]string{"x", "1", "ce", " " + whole, "x", "2"}, whole, nil},
		"broken":           malformed("ce", whole[:20]),
		"no event":         malformed("ce", `{"a":1}`),
		"empty":            malformed("ce", ""),
		"empty subject":    malformed("ce", `{"specversion":"1.0","id":"j","source":"/s","type":"t","subject":""}`),
		"twice":            malformed("ce", whole, "ce", whole),
		"another's fields": unknown("data", whole),
		"bytes in a string": {[]string{"ce", whole[:len(whole)-1] + `,"datacontenttype":"image/png","data":"\u0000\n` + "\xff\x80é\ufffd" + `\ud83d\ude00\""}`},
			whole[:len(whole)-1] + `,"datacontenttype":"image/png","data_base64":"` + base64.StdEncoding.EncodeToString([]byte("\x00\n\xff\x80é\ufffd😀\"")) + `"}`, nil},
		"bytes elsewhere":               malformed("ce", whole[:len(whole)-1]+`,"datacontenttype":"image/png","data":"","subject":"`+"\xff\"}"),
		"bytes in JSON":                 malformed("ce", whole[:len(whole)-1]+`,"datacontenttype":"application/json","data":"`+"\xff\"}"),
		"bytes in an object":            malformed("ce", whole[:len(whole)-1]+`,"datacontenttype":"image/png","data":{"a":"`+"\xff\"}}"),
		"bytes without datacontenttype": malformed("ce", whole[:len(whole)-1]+`,"data":"`+"\xff\"}"),
		"bytes with data twice":         malformed("ce", whole[:len(whole)-1]+`,"datacontenttype":"image/png","data":"","data":"`+"\xff\"}"),
		"bytes with a broken type":      malformed("ce", whole[:len(whole)-1]+`,"datacontenttype":1,"data":"`+"\xff\"}"),
		"bytes without an end":          malformed("ce", whole[:len(whole)-1]+`,"datacontenttype":"image/png","data":"`+"\xff"),
	})
}

func TestLayoutDapr(t *testing.T) {
	t.Parallel()
	const enveloped = `{"data":{"n":1.50},"datacontenttype":"application/json","id":"i","pubsubname":"p","source":"checkout","specversion":"1.0",` +
		`"time":"2026-11-23T01:02:03Z","topic":"orders","traceid":"","traceparent":"","tracestate":"","type":"com.dapr.event.sent"}`
	const opened = `{"specversion":"1.0","id":"i","source":"checkout","type":"com.dapr.event.sent","time":"2026-11-23T01:02:03Z"`
	const rest = `,"pubsubname":"p","topic":"orders","datacontenttype":"application/json","data":{"n":1.50}}`
	raw := func(more, base64 string) string { return made + more + `,"data_base64":"` + base64 + `"}` }
	runLayoutCases(t, layout.Config{Name: "dapr"}, map[string]layoutCase{
		"envelope": {[]string{"data", enveloped, "metadata", "{}"}, opened + rest, nil},
		"metadata": {[]string{"metadata", `{ "ttlInSeconds": "5" }`, "data", enveloped},
			opened + `,"daprmetadata":"{\"ttlInSeconds\":\"5\"}"` + rest, nil},
		"its own daprmetadata": {[]string{"data", whole[:len(whole)-1] + `,"daprmetadata":"x"}`, "metadata", `{"a":"b"}`}, whole[:len(whole)-1] + `,"daprmetadata":"x"}`, nil},
		"metadata not a String": {[]string{"data", whole, "metadata", "{\"a\":\"\u0080\"}"},
			whole[:len(whole)-1] + `,"daprmetadatabase64":"` + base64.StdEncoding.EncodeToString([]byte("{\"a\":\"\u0080\"}")) + `"}`, nil},
		"no metadata, as long ago":  {[]string{"data", whole}, whole, nil},
		"null metadata":             {[]string{"data", whole, "metadata", "null"}, whole, nil},
		"empty metadata":            {[]string{"data", whole, "metadata", ""}, whole, nil},
		"empty optional attributes": {[]string{"data", whole[:len(whole)-1] + `,"time":"","subject":"","dataschema":"","datacontenttype":"","data":""}`, "metadata", "{}"}, whole[:len(whole)-1] + `,"datacontenttype":"application/json","data":""}`, nil},
		"raw":                       {[]string{"data", "\xff\x00", "metadata", `{"rawPayload":"true"}`}, raw(`,"daprmetadata":"{\"rawPayload\":\"true\"}"`, "/wA="), nil},
		"raw JSON":                  {[]string{"data", `{"a":1}`, "metadata", "{}"}, made + `,"datacontenttype":"application/json","data":{"a":1}}`, nil},
		"raw, specversion deeper":   {[]string{"data", `{"a":{"specversion":"1.0"}}`, "metadata", "{}"}, made + `,"datacontenttype":"application/json","data":{"a":{"specversion":"1.0"}}}`, nil},
		"raw, empty":                {[]string{"data", "", "metadata", "{}"}, raw("", ""), nil},
		"no id":                     {[]string{"data", `{"specversion":"1.0","source":"/s","type":"t"}`}, `{"specversion":"1.0","id":"orders/1700000000123-4","source":"/s","type":"t"}`, nil},
		"empty id":                  {[]string{"data", `{"specversion":"1.0","id":"","source":"/s","type":"t"}`}, `{"specversion":"1.0","id":"orders/1700000000123-4","source":"/s","type":"t"}`, nil},
		"null id":                   {[]string{"data", `{"specversion":"1.0","id":null,"source":"/s","type":"t","topic":""}`}, `{"specversion":"1.0","id":"orders/1700000000123-4","source":"/s","type":"t"}`, nil},
		"id twice":                  malformed("data", `{"specversion":"1.0","id":"1","id":"1","source":"/s","type":"t"}`),
		"empty source":              malformed("data", `{"specversion":"1.0","id":"1","source":"","type":"t"}`, "metadata", "{}"),
		"empty subject, no end":     malformed("data", `{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":""`, "metadata", "{}"),
		"empty subject, more":       malformed("data", `{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":""}}`, "metadata", "{}"),
		"subject twice":             malformed("data", `{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"","subject":"s"}`, "metadata", "{}"),
		"no source":                 malformed("data", `{"specversion":"1.0"}`, "metadata", "{}"),
		"other version":             malformed("data", strings.Replace(whole, "1.0", "0.3", 1), "metadata", "{}"),
		"fraction":                  malformed("data", whole[:len(whole)-1]+`,"x":1.5}`, "metadata", "{}"),
		"capital name":              malformed("data", whole[:len(whole)-1]+`,"X":"1"}`, "metadata", "{}"),
		"metadata no object":        malformed("data", whole, "metadata", "[]"),
		"metadata no JSON":          malformed("data", whole, "metadata", "{"),
		"data twice":                malformed("data", whole, "data", whole),
		"metadata twice":            malformed("data", whole, "metadata", "{}", "metadata", "{}"),
		"no data":                   unknown("metadata", "{}"),
	})
}

func TestLayoutRedpandaConnect(t *testing.T) {
	t.Parallel()
	text := func(more string) string { return made + more + `,"data_base64":"eA=="}` }
	kafka := []string{"body", "x", "ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "t"}
	with := func(more ...string) []string { return append(slices.Clone(kafka), more...) }
	const fromKafka = `{"specversion":"1.0","id":"1","source":"/s","type":"t"`
	many := []string{"body", "x"}
	for i := range 300 {
		many = append(many, fmt.Sprintf("m%d", i), "v")
	}
	runLayoutCases(t, layout.Config{Name: "redpanda-connect"}, map[string]layoutCase{
		"body":                        {[]string{"body", "x"}, text(""), nil},
		"empty body":                  {[]string{"body", ""}, made + `,"data_base64":""}`, nil},
		"metadata":                    {[]string{"kafka_topic", "T", "body", "x", "Xéß_1", "ü"}, text(`,"kafkatopic":"T","x1":"ü"`), nil},
		"metadata of no name":         {[]string{"body", "x", "_é", "1", "", "2"}, text(""), nil},
		"metadata of a reserved name": {[]string{"body", "x", "id", "1", "Data", "2", "spec-version", "3", "time", "4", "data_content_type", "5"}, text(""), nil},
		"metadata, the first wins":    {[]string{"body", "x", "a_b", "1", "ab", "2", "a_b", "3"}, text(`,"ab":"1"`), nil},
		"metadata of a long name":     {[]string{"body", "x", strings.Repeat("a", 65), "1", strings.Repeat("b", 64), "2", strings.Repeat("c", 60), "\n"}, text(`,"` + strings.Repeat("b", 64) + `":"2"`), nil},
		"empty metadata":              {[]string{"body", "x", "a", ""}, text(""), nil},
		"metadata not a String":       {[]string{"body", "x", "a", "\xff", "b", "\n"}, text(`,"abase64":"/w==","bbase64":"Cg=="`), nil},
		"content type": {[]string{"Content-Type", "text/plain", "content-type", "text/html", "body", "x"},
			made + `,"datacontenttype":"text/plain","data":"x"}`, nil},
		"binary mode of Kafka": {with("content-type", "application/json", "ce_x", "1", "kafka_key", "k"),
			fromKafka + `,"kafkakey":"k","x":"1","datacontenttype":"application/json","data_base64":"eA=="}`, nil},
		"its attribute wins":               {[]string{"body", "x", "a", "1", "ce_a", "2"}, text(`,"a":"2"`), nil},
		"some attributes":                  {[]string{"body", "x", "ce_id", "1", "ce_datacontenttype", "text/plain", "ce_time", "2026-11-23t01:02:03z"}, `{"specversion":"1.0","id":"1","source":"/streams/orders","type":"dev.streamgate.entry","time":"2026-11-23T01:02:03Z","datacontenttype":"text/plain","data":"x"}`, nil},
		"content-type is stronger":         {[]string{"ce_datacontenttype", "text/html", "body", "x", "content-type", "text/plain"}, made + `,"datacontenttype":"text/plain","data":"x"}`, nil},
		"structured mode of Kafka":         {[]string{"body", whole, "content-type", "application/CloudEvents+json; charset=utf-8", "ce_id", "other", "kafka_key", "k"}, whole[:len(whole)-1] + `,"kafkakey":"k"}`, nil},
		"structured, broken":               malformed("body", "x", "content-type", "application/cloudevents+json"),
		"structured, other format":         {[]string{"body", "x", "content-type", "application/cloudevents+avro"}, "", redisstreams.ErrUnknownFormat},
		"batch":                            malformed("body", "[]", "content-type", "application/cloudevents-batch+json"),
		"whole event without an attribute": malformed("body", "x", "ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s"),
		"invalid attribute":                {with("ce_time", "today"), "", redisstreams.ErrMalformed},
		"invalid attribute name":           malformed("body", "x", "ce_X", "1"),
		"attribute data":                   malformed("body", "x", "ce_data", "1"),
		"attribute twice":                  malformed("body", "x", "ce_x", "1", "ce_x", "1"),
		"invalid content type":             malformed("body", "x", "content-type", "json"),
		"too much metadata":                {many, "", redisstreams.ErrMalformed},
		"body twice":                       malformed("body", "x", "body", "x"),
		"no body":                          unknown("data", "x"),
	})
}

func TestLayoutFields(t *testing.T) {
	t.Parallel()
	runLayoutCases(t, layout.Config{Name: "fields"}, map[string]layoutCase{
		"all in the data":            {[]string{"b", "1", "a", "", "é", "\xff"}, made + `,"datacontenttype":"application/json","data":{"b":"1","a":"","é_base64":"/w=="}}`, nil},
		"field twice":                malformed("a", "1", "a", "1"),
		"member twice":               malformed("a", "\xff", "a_base64", "1"),
		"names that become the same": malformed("\xff", "1", "\xfe", "2"),
		"no fields":                  unknown(),
	})
	rules := layout.FieldRules{
		ID: "order", Source: "shop", Type: "kind", Subject: "order", Time: "at", DataSchema: "schema", Extensions: []layout.FieldExtension{
			{Name: "region"}, {Name: "customer", Field: "Customer ID"},
		},
	}
	const json = `,"datacontenttype":"application/json","data":`
	t.Run("rules", func(t *testing.T) {
		t.Parallel()
		runLayoutCases(t, layout.Config{Name: "fields", Fields: rules}, map[string]layoutCase{
			"everything": {[]string{"order", "7", "shop", "/shop", "kind", "sold", "at", "2026-11-23T01:02:03z", "schema", "https://example.com/s", "region", "eu", "Customer ID", "c", "n", "1"},
				`{"specversion":"1.0","id":"7","source":"/shop","type":"sold","time":"2026-11-23T01:02:03Z","subject":"7","dataschema":"https://example.com/s"` +
					`,"customer":"c","region":"eu","datacontenttype":"application/json","data":{"n":"1"}}`, nil},
			"nothing":        {[]string{"n", "1"}, made + json + `{"n":"1"}}`, nil},
			"empty values":   {[]string{"order", "", "region", "", "n", "1"}, made + json + `{"n":"1"}}`, nil},
			"invalid time":   malformed("at", "1700000000", "n", "1"),
			"invalid source": malformed("shop", "my shop"),
			"invalid ext":    malformed("region", "\xff"),
			"field twice":    malformed("order", "1", "order", "1"),
		})
	})
	withData := rules
	withData.Data, withData.DataContentType = "payload", "mime"
	t.Run("rules with data", func(t *testing.T) {
		t.Parallel()
		runLayoutCases(t, layout.Config{Name: "fields", Fields: withData, DataContentType: "application/xml"}, map[string]layoutCase{
			"data":         {[]string{"payload", `[ 1]`, "mime", "application/json", "other", "x", "other", "x"}, made + json + `[ 1]}`, nil},
			"default type": {[]string{"payload", `<a/>`, "mime", ""}, made + `,"datacontenttype":"application/xml","data":"<a/>"}`, nil},
			"empty data":   {[]string{"payload", ""}, made + `,"datacontenttype":"application/xml","data":""}`, nil},
			"an event":     malformed("payload", whole, "mime", "application/cloudevents+json"),
			"invalid type": malformed("payload", "x", "mime", "x"),
			"data twice":   malformed("payload", "x", "payload", "x"),
			"no data":      unknown("mime", "application/json"),
		})
	})
}

// TestLayoutDefaults: what an event gets that carries nothing.
func TestLayoutDefaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config                     layout.Config
		stream, entry              string
		id, source, eventType, tim string
	}{
		"defaults":       {layout.Config{}, "orders", "1700000000123-4", "orders/1700000000123-4", "/streams/orders", "dev.streamgate.entry", "2023-11-14T22:13:20.123Z"},
		"configured":     {layout.Config{Source: "urn:x:y", Type: "com.example"}, "orders", "1-0", "orders/1-0", "urn:x:y", "com.example", "1970-01-01T00:00:00.001Z"},
		"partition":      {layout.Config{}, "{a b/c:1}é", "0-1", "{a b/c:1}é/0-1", "/streams/%7Ba%20b%2Fc:1%7D%C3%A9", "dev.streamgate.entry", "1970-01-01T00:00:00.000Z"},
		"name not UTF-8": {layout.Config{}, "a/\xff\n", "0-1", "a%2F%FF%0A/0-1", "/streams/a%2F%FF%0A", "dev.streamgate.entry", "1970-01-01T00:00:00.000Z"},
		"name with %":    {layout.Config{}, "a%FF", "0-1", "a%25FF/0-1", "/streams/a%25FF", "dev.streamgate.entry", "1970-01-01T00:00:00.000Z"},
		"last time":      {layout.Config{}, "s", "253402300799999-0", "s/253402300799999-0", "/streams/s", "dev.streamgate.entry", "9999-12-31T23:59:59.999Z"},
		"beyond time":    {layout.Config{}, "s", "253402300800000-0", "s/253402300800000-0", "/streams/s", "dev.streamgate.entry", ""},
		"end of ids":     {layout.Config{}, "s", "18446744073709551615-18446744073709551615", "s/18446744073709551615-18446744073709551615", "/streams/s", "dev.streamgate.entry", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.config.Name = "redpanda-connect"
			e := redisstreams.Entry{Stream: c.stream, ID: c.entry, Fields: []string{"body", "x"}}
			event, err := newLayout(t, c.config).Event(&e)
			if err != nil {
				t.Fatal(err)
			}
			at, _ := event.Attribute("time")
			if diff := cmp.Diff([]string{c.id, c.source, c.eventType, c.tim}, []string{event.ID(), event.Source(), event.Type(), at}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLayoutBodyFieldAndDataContentType(t *testing.T) {
	t.Parallel()
	runLayoutCases(t, layout.Config{Name: "redpanda-connect", BodyField: "msg", DataContentType: "text/plain"}, map[string]layoutCase{
		"body":         {[]string{"msg", "x", "body", "y"}, made + `,"body":"y","datacontenttype":"text/plain","data":"x"}`, nil},
		"its own type": {[]string{"msg", "x", "content-type", "text/html"}, made + `,"datacontenttype":"text/html","data":"x"}`, nil},
		"whole event":  {[]string{"msg", "x", "ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "t"}, `{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"eA=="}`, nil},
	})
}

func TestLayoutConfig(t *testing.T) {
	t.Parallel()
	extension := func(name ...string) layout.FieldRules {
		var r layout.FieldRules
		for _, n := range name {
			r.Extensions = append(r.Extensions, layout.FieldExtension{Name: n, Field: "f"})
		}
		return r
	}
	for name, c := range map[string]struct {
		config layout.Config
		want   string // what the error says
	}{
		"unknown name":            {layout.Config{Name: "kafka"}, `"kafka" is not a layout; use auto, cloudevents, triggermesh, watermill, dapr, faststream, debezium, origin, embedded, redpanda-connect, fields`},
		"source":                  {layout.Config{Source: "a b"}, `attribute "source"`},
		"type":                    {layout.Config{Type: "\n"}, `attribute "type"`},
		"data content type":       {layout.Config{DataContentType: "json"}, `attribute "datacontenttype"`},
		"event as data":           {layout.Config{DataContentType: "application/cloudevents+json"}, "media type of events"},
		"body field of another":   {layout.Config{Name: "dapr", BodyField: "x"}, "does not take a body field"},
		"rules of another":        {layout.Config{Name: "auto", Fields: layout.FieldRules{Data: "x"}}, "does not take field rules"},
		"lenient dapr":            {layout.Config{Name: "dapr", Lenient: true}, "cannot be lenient"},
		"event and data":          {layout.Config{Name: "fields", Fields: layout.FieldRules{Event: "e", Data: "d"}}, "holds the whole event"},
		"event and subject":       {layout.Config{Name: "fields", Fields: layout.FieldRules{Event: "e", Subject: "s"}}, "holds the whole event"},
		"data and JSON":           {layout.Config{Name: "fields", Fields: layout.FieldRules{Data: "d", JSON: []string{"*"}}}, "set Data or JSON"},
		"JSON of another":         {layout.Config{Name: "auto", Fields: layout.FieldRules{JSON: []string{"*"}}}, "does not take field rules"},
		"type of no data":         {layout.Config{Name: "fields", Fields: layout.FieldRules{DataContentType: "x"}}, "set Data"},
		"extension name":          {layout.Config{Name: "fields", Fields: extension("a_b")}, `"a_b" is not a valid name`},
		"reserved extension name": {layout.Config{Name: "fields", Fields: extension("subject")}, `"subject" is not a valid name`},
		"no extension name":       {layout.Config{Name: "fields", Fields: extension("")}, `"" is not a valid name`},
		"long extension name":     {layout.Config{Name: "fields", Fields: extension(strings.Repeat("a", 65))}, "up to 64"},
		"extension twice":         {layout.Config{Name: "fields", Fields: extension("a", "a")}, `two fields for the extension "a"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := layout.New(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	for _, name := range append(layout.Names(), "auto") {
		if got := newLayout(t, layout.Config{Name: name}).Name(); got != name {
			t.Errorf("the layout %s is called %s", name, got)
		}
	}
	if got := newLayout(t, layout.Config{}).Name(); got != "auto" {
		t.Errorf("the default is %s", got)
	}
}

// TestLayoutWithoutData: data that is not there has no media type either.
func TestLayoutWithoutData(t *testing.T) {
	t.Parallel()
	runLayoutCases(t, layout.Config{Name: "watermill", DataContentType: "text/plain"}, map[string]layoutCase{
		"none":  {[]string{"_watermill_message_uuid", ""}, made + `}`, nil},
		"empty": {[]string{"_watermill_message_uuid", "", "payload", ""}, made + `,"datacontenttype":"text/plain","data":""}`, nil},
	})
}

// TestLayoutErrorsAreEntryErrors: with ErrUnknownFormat comes what can be passed on as it is.
func TestLayoutErrorsAreEntryErrors(t *testing.T) {
	t.Parallel()
	e := redisstreams.Entry{Stream: "orders", ID: "5-1", Fields: []string{"Content-Type", "application/cloudevents+avro", "body", "x"}}
	event, err := newLayout(t, layout.Config{Name: "redpanda-connect"}).Event(&e)
	var entryError *redisstreams.EntryError
	if !errors.As(err, &entryError) || entryError.Stream != "orders" || entryError.ID != "5-1" {
		t.Fatalf("the error does not say which entry: %v", err)
	}
	if diff := cmp.Diff(rawevent.Event{DataContentType: "application/cloudevents+avro", Data: []byte("x")}, event); diff != "" {
		t.Error(diff)
	}
}
