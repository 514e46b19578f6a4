package layout_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/protocol/redisstreams"
	"github.com/streamgate/streamgate/protocol/redisstreams/layout"
)

// fastStreamOne is a container that FastStream 0.7.8 wrote.
const fastStreamOne = "\x89BIN\r\n\x1a\n\x00\x01\x00\x00\x00\x12\x00\x00\x00\x47\x00\x02" +
	"\x00\x0ecorrelation_id\x00\x01c\x00\x0ccontent-type\x00\x10application/json" + `{"a":1}`

// fastStream builds a container; size measures what precedes each name and value.
func fastStream(size func(string) int, body string, headers ...string) string {
	part := binary.BigEndian.AppendUint16(nil, uint16(len(headers)/2))
	for _, text := range headers {
		part = append(binary.BigEndian.AppendUint16(part, uint16(size(text))), text...)
	}
	head := binary.BigEndian.AppendUint32([]byte(fastStreamOne[:10]), 18)
	head = binary.BigEndian.AppendUint32(head, uint32(18+len(part)))
	return string(head) + string(part) + body
}

func bytesIn(s string) int { return len(s) }

func charactersIn(s string) int { return len([]rune(s)) }

func TestLayoutFastStream(t *testing.T) {
	t.Parallel()
	binaryCase := func(want string, size func(string) int, body string, headers ...string) layoutCase {
		return layoutCase{[]string{"__data__", fastStream(size, body, headers...)}, want, nil}
	}
	patched := func(at int, with string) layoutCase {
		return malformed("__data__", fastStreamOne[:at]+with+fastStreamOne[at+len(with):])
	}
	const asJSON = `,"datacontenttype":"application/json","data":{"a":1}}`
	const kafka = `{"specversion":"1.0","id":"1","source":"/s","type":"t"`
	runLayoutCases(t, layout.Config{Name: "faststream"}, map[string]layoutCase{
		"as written":       {[]string{"__data__", fastStreamOne}, made + `,"correlationid":"c"` + asJSON, nil},
		"no headers":       binaryCase(made+`,"data_base64":"/w=="}`, bytesIn, "\xff"),
		"empty body":       binaryCase(made+`,"correlationid":"c","data_base64":""}`, bytesIn, "", "correlation_id", "c"),
		"own headers":      binaryCase(made+`,"n2":"1","replyto":"r","datacontenttype":"text/plain","data":"x"}`, bytesIn, "x", "reply_to", "r", "content-type", "text/plain", "N-2", "1", "é", "y", "id", "z"),
		"message id":       binaryCase(strings.Replace(made, "orders/1700000000123-4", "m", 1)+`,"datacontenttype":"text/plain","data":"x"}`, bytesIn, "x", "message_id", "m", "content-type", "text/plain"),
		"other text":       binaryCase(made+`,"name":"größe 😀"`+asJSON, bytesIn, `{"a":1}`, "name", "größe 😀"),
		"character counts": binaryCase(made+`,"gre":"ü","name":"größe 😀"`+asJSON, charactersIn, `{"a":1}`, "name", "größe 😀", "größe", "ü"),
		"attributes":       binaryCase(kafka+asJSON, bytesIn, `{"a":1}`, "ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "t", "content-type", "application/json"),
		"structured":       binaryCase(whole[:len(whole)-1]+`,"correlationid":"c"}`, bytesIn, whole, "content-type", "application/cloudevents+json", "correlation_id", "c"),
		"further data between": {[]string{"__data__", fastStreamOne[:13] + "\x14" + fastStreamOne[14:17] + "\x49" + "??" + fastStreamOne[18:]},
			made + `,"correlationid":"c"` + asJSON, nil},

		"version":               patched(9, "\x02"),
		"headers in the head":   patched(13, "\x11"),
		"headers beyond":        patched(13, "\x46"),
		"headers far beyond":    patched(10, "\xff\xff\xff\xff"),
		"body beyond":           patched(14, "\xff\xff\xff\xff"),
		"body before headers":   patched(17, "\x12"),
		"body in the headers":   patched(17, "\x46"),
		"more headers":          patched(18, "\xff\xff"),
		"fewer headers":         patched(19, "\x01"),
		"long name":             patched(20, "\xff"),
		"header not UTF-8":      patched(22, "\xff"),
		"cut in the head":       malformed("__data__", fastStreamOne[:17]),
		"cut in the headers":    malformed("__data__", fastStreamOne[:40]),
		"magic alone":           malformed("__data__", fastStreamOne[:8]),
		"invalid content type":  malformed("__data__", fastStream(bytesIn, "x", "content-type", "json")),
		"twice":                 malformed("__data__", "x", "__data__", "x"),
		"structured, no event":  malformed("__data__", fastStream(bytesIn, "x", "content-type", "application/cloudevents+json")),
		"structured, by Avro":   {[]string{"__data__", fastStream(bytesIn, "x", "content-type", "application/cloudevents+avro")}, "", redisstreams.ErrUnknownFormat},
		"another":               unknown("data", "x"),
		"JSON":                  {[]string{"__data__", `{"data": "{\"a\": 1}", "headers": {"correlation_id": "c", "content-type": "application/json", "n": 1, "z": null}}`}, made + `,"correlationid":"c","n":"1","datacontenttype":"application/json","data":{"a": 1}}`, nil},
		"JSON, no headers":      {[]string{"__data__", `{"headers":{},"data":"é"}`}, made + `,"data_base64":"w6k="}`, nil},
		"raw":                   {[]string{"__data__", "\x89BIN"}, made + `,"data_base64":"iUJJTg=="}`, nil},
		"raw JSON":              {[]string{"__data__", `{"data":"x"}`}, made + `,"datacontenttype":"application/json","data":{"data":"x"}}`, nil},
		"raw JSON of its names": {[]string{"__data__", `{"data":1,"headers":{}}`}, made + `,"datacontenttype":"application/json","data":{"data":1,"headers":{}}}`, nil},
	})
}

// FuzzFastStream reads any container, binary, JSON or raw.
func FuzzFastStream(f *testing.F) {
	f.Add(fastStreamOne)
	f.Add(fastStream(charactersIn, "x", "größe", "ü", "message_id", "m"))
	f.Add(`{"data":"x","headers":{"content-type":"text/plain"}}`)
	all := allLayouts(f)
	f.Fuzz(func(t *testing.T, value string) {
		checkLayouts(t, all, redisstreams.Entry{Stream: "s", ID: "1-1", Fields: []string{"__data__", value}})
	})
}
