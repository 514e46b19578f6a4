package layout_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/protocol/redisstreams"
	"github.com/streamgate/streamgate/protocol/redisstreams/layout"
)

// TestLayoutAuto: ambiguous entries are not guessed, and broken ones are not read by another layout.
func TestLayoutAuto(t *testing.T) {
	t.Parallel()
	const binary = `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`
	const fromDapr = `{"specversion":"1.0","id":"1","source":"/s","type":"t","pubsubname":"p","topic":"o"}`
	ours := []string{"ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "t"}
	with := func(more ...string) []string { return append(slices.Clone(ours), more...) }
	runLayoutCases(t, layout.Config{}, map[string]layoutCase{
		"binary":                          {ours, binary, nil},
		"with a foreign body field":       {with("body", "x"), binary, nil},
		"with the origin's fields":        {with("subject", "s", "producer", "p", "href", "h"), binary, nil},
		"with watermill's field":          {with("_watermill_message_uuid", "u"), binary, nil},
		"structured":                      {[]string{"content-type", "application/cloudevents+json", "data", whole}, whole, nil},
		"other format":                    {[]string{"content-type", "application/cloudevents+avro", "data", "x"}, "", redisstreams.ErrUnknownFormat},
		"broken binary":                   malformed("ce_specversion", "1.0", "subject", "s", "producer", "p", "href", "h"),
		"broken structured":               malformed("content-type", "application/cloudevents+json", "metadata", "{}"),
		"attributes, no specversion":      unknown("ce_id", "1", "_watermill_message_uuid", "u", "payload", "x"),
		"origin":                          {[]string{"producer", "p", "href", "h", "subject", ""}, made + `,"datacontenttype":"application/json","data":{"producer":"p","href":"h"}}`, nil},
		"origin, no subject":              unknown("producer", "p", "href", "h"),
		"origin, more fields":             {[]string{"producer", "p", "href", "h", "subject", "", "x", "y", "data", "z"}, made + `,"datacontenttype":"application/json","data":{"producer":"p","href":"h","x":"y","data":"z"}}`, nil},
		"origin, broken":                  malformed("subject", "s", "producer", "p", "href", "h", "href", "h"),
		"triggermesh":                     {[]string{"ce", whole}, whole, nil},
		"triggermesh, broken":             malformed("ce", whole[:20]),
		"triggermesh, no object":          unknown("ce", "[]"),
		"triggermesh, another field":      unknown("ce", whole, "x", "y"),
		"dapr":                            {[]string{"metadata", "{}", "data", fromDapr}, fromDapr, nil},
		"dapr, null metadata":             {[]string{"metadata", "null", "data", fromDapr}, fromDapr, nil},
		"dapr, no metadata":               {[]string{"data", fromDapr}, fromDapr, nil},
		"dapr, broken":                    malformed("metadata", "{}", "data", `{"specversion":"1.0","topic":"","pubsubname":""}`),
		"dapr, cut off":                   malformed("data", `{"topic":"","pubsubname":"","specversion":"1.0","id"`),
		"dapr, cut off in a value":        malformed("data", `{"topic":"","pubsubname":"","specversion":"1.`),
		"dapr, raw":                       {[]string{"data", "x", "metadata", `{"RawPayload":"TRUE"}`}, made + `,"daprmetadata":"{\"RawPayload\":\"TRUE\"}","data_base64":"eA=="}`, nil},
		"dapr or another program":         unknown("data", "x", "metadata", "{}"),
		"dapr, raw or not":                unknown("data", "x", "metadata", `{"rawPayload":"false"}`),
		"not dapr's, but an event":        {[]string{"data", whole[:len(whole)-1] + `,"topic":"o"}`}, whole[:len(whole)-1] + `,"topic":"o"}`, nil},
		"not dapr's, but an event, too":   {[]string{"data", whole[:len(whole)-1] + `,"pubsubname":"p"}`}, whole[:len(whole)-1] + `,"pubsubname":"p"}`, nil},
		"an event in any field":           {[]string{"\xff", whole}, whole, nil},
		"an event beside another field":   unknown("event", whole, "error", "refused"),
		"an invalid event in a field":     unknown("event", `{"specversion":"1.0","id":"","source":"/s","type":"t"}`),
		"an object in a field":            unknown("event", `{"id":"1","source":"/s","type":"t"}`),
		"faststream, binary":              {[]string{"__data__", fastStreamOne}, made + `,"correlationid":"c","datacontenttype":"application/json","data":{"a":1}}`, nil},
		"faststream, broken":              malformed("__data__", fastStreamOne[:20]),
		"faststream, JSON":                {[]string{"__data__", `{"data":"x","headers":{}}`}, made + `,"data_base64":"eA=="}`, nil},
		"faststream, raw":                 unknown("__data__", "x"),
		"faststream, other members":       unknown("__data__", `{"data":"x","headers":{},"x":1}`),
		"faststream, another field":       unknown("__data__", fastStreamOne, "x", "y"),
		"debezium, compact event":         {[]string{`{"id":1}`, whole}, whole, nil},
		"debezium, extended event":        {[]string{"key", `{"id":1}`, "value", whole}, whole, nil},
		"debezium, event without key":     {[]string{"key", "default", "value", whole, "X-ID", "1"}, whole, nil},
		"debezium, broken event":          malformed(`{"id":1}`, `{"specversion":"1.0","id":"","source":"/s","type":"t"}`),
		"debezium, compact tombstone":     {[]string{`{"id":1}`, "default"}, made + `,"partitionkey":"{\"id\":1}"}`, nil},
		"debezium, extended tombstone":    {[]string{"value", "default", "key", `{"id":1}`}, made + `,"partitionkey":"{\"id\":1}"}`, nil},
		"debezium, a compact row":         {[]string{`{ "id": 1}`, `{"id":1}`}, made + `,"partitionkey":"{\"id\":1}","datacontenttype":"application/json","data":{"id":1}}`, nil},
		"debezium, nothing at all":        unknown("default", "default"),
		"debezium, not JSON":              unknown(`{"id":1}`, "x"),
		"debezium or key and value":       unknown("key", `{"id":1}`, "value", `{"id":1}`),
		"debezium, a plain key":           unknown("key", "1", "value", debeziumUpdate),
		"debezium, no key":                unknown("default", `{"op":"u"}`),
		"debezium, lower-case header":     unknown("key", `{"id":1}`, "value", whole, "x-id", "1"),
		"debezium, key twice":             unknown("key", `{"id":1}`, "value", whole, "key", `{"id":1}`),
		"dapr, no event":                  unknown("data", `{"topic":"o","pubsubname":"p"}`),
		"dapr, metadata of no strings":    unknown("data", fromDapr, "metadata", `{"rawPayload":true}`),
		"dapr, metadata no object":        unknown("data", fromDapr, "metadata", `[]`),
		"dapr, another field":             unknown("data", fromDapr, "metadata", "{}", "x", "y"),
		"dapr, data twice":                unknown("data", fromDapr, "data", fromDapr),
		"watermill":                       {[]string{"payload", "x", "_watermill_message_uuid", "u", "metadata", "\x80"}, strings.Replace(made, "orders/1700000000123-4", "u", 1) + `,"data_base64":"eA=="}`, nil},
		"watermill, broken":               malformed("payload", "x", "_watermill_message_uuid", "u", "metadata", "{}"),
		"redpanda-connect is never known": unknown("body", "x"),
		"fields are never known":          unknown("a", "b"),
		"empty":                           unknown(),
	})
}
