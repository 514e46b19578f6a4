package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// generate returns n events or some more: each case in both modes, with the SDK and without, and random ones.
func generate(n int, seed uint64) []expectation {
	g := &generator{rand.New(rand.NewPCG(seed, seed))}
	var all []expectation
	for _, c := range cases() {
		for i := range 4 {
			if c.Structured, c.SDK = i&1 != 0, i&2 != 0; !c.SDK || c.forSDK() {
				all = append(all, c)
			}
		}
	}
	for len(all) < n {
		all = append(all, g.event())
	}
	for i := range all {
		id := []attribute{{"specversion", kindString, "1.0"}, {"id", kindString, fmt.Sprintf("%s %d", all[i].Name, i)}}
		all[i].Attributes = append(id, all[i].Attributes...)
	}
	return all
}

// cases returns one event for each thing that an implementation may get wrong.
func cases() []expectation {
	all := dataCases()
	for _, a := range []attribute{
		{"time", kindTimestamp, "2026-11-23T01:02:03Z"},
		{"time", kindTimestamp, "2026-11-23T01:02:03.123456789Z"},
		{"time", kindTimestamp, "2026-11-23T01:02:03.5+05:45"},
		{"time", kindTimestamp, "0001-01-02T00:00:00-00:00"},
		{"time", kindTimestamp, "9999-12-30T23:59:59.999999Z"},
		{"subject", kindString, " ö 100% %C3%B6 \"\\\U0001f6f0\u2028 "},
		{"dataschema", kindURI, "urn:example:schema?+a"},
		{"partitionkey", kindString, "orders/7"},
		{"traceparent", kindString, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		{"empty", kindString, ""},
		{"1st", kindString, "a name may begin with a digit"},
		{"true", kindBoolean, "true"},
		{"false", kindBoolean, "false"},
		{"zero", kindInteger, "0"},
		{"lowest", kindInteger, "-2147483648"},
		{"highest", kindInteger, "2147483647"},
		{"digits", kindString, "007"},
		{"bytes", kindBinary, "AP/+"},
		{"nobytes", kindBinary, ""},
		{"absolute", kindURI, "https://example.com/%C3%B6?q=a%20b"},
		{"relative", kindURIRef, "../a?b#c"},
		{"timestamp", kindTimestamp, "2026-11-23T01:02:03.000001Z"},
		{"long" + strings.Repeat("x", 60), kindString, strings.Repeat("ö", 4096)},
	} {
		all = append(all, expectation{Name: a.Name + "=" + a.Value[:min(len(a.Value), 12)], Attributes: required(a)})
	}
	for i := range all {
		all[i].Name = strings.ToValidUTF8(all[i].Name, "")
	}
	return all
}

func dataCases() []expectation {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	all := []expectation{
		{Name: "no data", Attributes: required()},
		{Name: "no data of a type", Attributes: required(contentType("application/json"))},
		{Name: "empty data", Attributes: required(), Data: []byte{}},
		{Name: "every byte", Attributes: required(), Data: every},
		{Name: "mebibyte", Attributes: required(contentType("application/octet-stream")), Data: bytes.Repeat(every, 4096)},
		{Name: "type with parameters", Attributes: required(contentType(`text/plain; charset="iso-8859-1"`)), Data: []byte{0xe9}},
	}
	for _, mediaType := range []string{"application/octet-stream", "text/plain", "application/json", "application/xml"} {
		all = append(all, expectation{Name: "empty " + mediaType, Attributes: required(contentType(mediaType)), Data: []byte{}})
	}
	for _, text := range []string{"a", "ö \U0001f6f0 \x00\x1f\x7f \u2028 \"\\", "null", "{}", "\xef\xbb\xbfbom", "half \xc3"} {
		for _, mediaType := range []string{"text/plain", "text/plain;charset=utf-8", "application/xml", "application/octet-stream"} {
			all = append(all, expectation{Name: "text", Attributes: required(contentType(mediaType)), Data: []byte(text)})
		}
	}
	for _, text := range []string{
		`{"a":[1,{"b":null}],"ö":"\u00e9é😀"}`, `null`, `true`, `42`, `""`, `"text"`, `[]`, `{"data":1,"data":2}`,
		"{\t\"space\" :\r\n1 }", `123456789012345678901234567890`, `1.0`, `1e400`, `"\ud83d\ude00\u0000"`, `no JSON`,
	} {
		for _, mediaType := range []string{"application/json", "text/json", "application/geo+json; charset=utf-8"} {
			all = append(all, expectation{Name: "json", Attributes: required(contentType(mediaType)), Data: []byte(text)})
		}
	}
	inner := []byte(`{"specversion":"1.0","id":"inner","source":"a","type":"b"}`)
	return append(all,
		expectation{Name: "an event in an event", Attributes: required(contentType("application/cloudevents+json")), Data: inner},
		expectation{Name: "similar type", Attributes: required(contentType("application/cloudeventsish")), Data: inner},
	)
}

func contentType(mediaType string) attribute {
	return attribute{"datacontenttype", kindString, mediaType}
}

func required(more ...attribute) []attribute {
	return append([]attribute{{"source", kindURIRef, "https://example.com/a?b=c%20d"}, {"type", kindString, "com.example.case"}}, more...)
}

type generator struct{ *rand.Rand }

// event returns a random event with up to 255 bytes of data.
func (g *generator) event() expectation {
	e := expectation{Name: "random", Structured: g.IntN(2) == 0}
	e.Attributes = []attribute{{"source", kindURIRef, "/" + g.word()}, {"type", kindString, "t" + g.text()}}
	for _, a := range []attribute{
		{"time", kindTimestamp, g.time().Format(time.RFC3339Nano)}, {"subject", kindString, "s" + g.text()},
		{"dataschema", kindURI, "https://example.com/" + g.word()},
	} {
		if g.IntN(2) == 0 {
			e.Attributes = append(e.Attributes, a)
		}
	}
	for i := range g.IntN(8) {
		kinds := []kind{kindString, kindBoolean, kindInteger, kindBinary, kindURI, kindURIRef, kindTimestamp}
		k := kinds[g.IntN(len(kinds))]
		e.Attributes = append(e.Attributes, attribute{fmt.Sprintf("%s%d", g.word(), i), k, g.value(k)})
	}
	switch g.IntN(4) {
	case 0:
		e.Data = g.bytes()
	case 1:
		e.Attributes = append(e.Attributes, contentType("text/plain"))
		e.Data = []byte(g.text())
	case 2:
		e.Attributes = append(e.Attributes, contentType("application/json"))
		e.Data, _ = json.Marshal(map[string]any{g.text(): g.text(), "n": g.Int32()}) // strings and numbers are always JSON
	}
	g.Shuffle(len(e.Attributes), func(i, j int) { e.Attributes[i], e.Attributes[j] = e.Attributes[j], e.Attributes[i] })
	e.SDK = g.IntN(2) == 0 && e.forSDK()
	return e
}

func (g *generator) value(k kind) string {
	switch k {
	case kindBoolean:
		return strconv.FormatBool(g.IntN(2) == 0)
	case kindInteger:
		return strconv.Itoa(int(int32(g.Uint32())))
	case kindBinary:
		return base64.StdEncoding.EncodeToString(g.bytes())
	case kindURI:
		return "https://example.com/" + g.word()
	case kindURIRef:
		return "../" + g.word()
	case kindTimestamp: // in extensions only whole seconds, which every language writes in the same way
		return g.time().Truncate(time.Second).UTC().Format(time.RFC3339)
	default:
		return g.text()
	}
}

func (g *generator) time() time.Time {
	return time.Unix(g.Int64N(4e9), g.Int64N(1e9)).In(time.FixedZone("", 60*(g.IntN(24*60)-12*60)))
}

func (g *generator) bytes() []byte {
	b := make([]byte, g.IntN(256))
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

func (g *generator) word() string {
	return string(rune('a'+g.IntN(26))) + strconv.FormatUint(g.Uint64N(1e9), 36)
}

// text returns any characters that an attribute may have, those that are easily broken more often.
func (g *generator) text() string {
	const liked = " %+&=:;,/\\\"'<>{}[]\u00a0éß\u0301ש\u2028\u200d\ufeff\ufffd日本\U0001f6f0\U0010fffd"
	pool := []rune(liked)
	var b strings.Builder
	for range g.IntN(40) {
		if g.IntN(2) == 0 {
			b.WriteRune(pool[g.IntN(len(pool))])
		} else {
			b.WriteRune(rune(' ' + 1 + g.IntN('~'-' ')))
		}
	}
	return b.String()
}
