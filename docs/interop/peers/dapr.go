package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// What the runtime adds to every event; it takes the time from its clock and the trace from the request.
const (
	daprTime    = "2026-11-23T01:02:03Z"
	daprTrace   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	daprExpires = "2026-11-23T02:02:03Z"
)

// newDapr rebuilds what the runtime and its Redis component write: an envelope as JSON in "data" (pubsub/envelope.go),
// or the bare payload, and the metadata of the request as JSON in "metadata" (pubsub/redis/redis.go), which is left out
// where there is none.
func newDapr() (peer, error) {
	client, err := moduleVersion("github.com/redis/go-redis/v9")
	if err != nil {
		return peer{}, err
	}
	requests := daprRequests()
	p := peer{
		name:    "dapr",
		version: "rebuilt with " + client,
		how: "Rebuilt, the peer not run: github.com/dapr/components-contrib does not compile beside this go-redis. The envelopes follow " +
			"the rules of its pubsub/envelope.go, the fields those of its pubsub/redis/redis.go (read at c23900d), both by " +
			"encoding/json and go-redis as there.",
	}
	for _, r := range requests {
		p.cases = append(p.cases, r.name)
	}
	p.publish = func(ctx context.Context, t target) error {
		for _, r := range requests {
			values, err := r.values()
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			if err := t.client.XAdd(ctx, &redis.XAddArgs{Stream: t.stream, Values: values}).Err(); err != nil {
				return err
			}
		}
		return nil
	}
	return p, nil
}

// daprRequest is a call of the runtime's publish API. Over HTTP there always is metadata, though it may be empty; over
// gRPC there may be none, which is nil.
type daprRequest struct {
	name        string
	contentType string
	body        string
	metadata    map[string]string
}

func (r daprRequest) values() (map[string]any, error) {
	data := []byte(r.body)
	if r.metadata["rawPayload"] != "true" {
		envelope, err := r.envelope()
		if err != nil {
			return nil, err
		}
		if r.metadata["ttlInSeconds"] != "" {
			envelope["expiration"] = daprExpires
		}
		if data, err = json.Marshal(envelope); err != nil {
			return nil, err
		}
	}
	values := map[string]any{"data": data}
	if r.metadata != nil {
		b, err := json.Marshal(r.metadata)
		if err != nil {
			return nil, err
		}
		values["metadata"] = b
	}
	return values, nil
}

// envelope returns the event as a map, from which encoding/json writes the members in the order of their names.
func (r daprRequest) envelope() (map[string]any, error) {
	e := map[string]any{
		"specversion": "1.0", "source": "Dapr", "type": "com.dapr.event.sent", "time": daprTime,
	}
	if media, _, _ := strings.Cut(strings.ToLower(r.contentType), ";"); media == "application/cloudevents+json" {
		var own map[string]any
		if err := decodeNumbers(r.body, &own); err != nil {
			return nil, err
		}
		for name, value := range own {
			e[name] = value
		}
	} else {
		r.wrap(e, media)
	}
	for name, value := range map[string]any{
		"topic": "orders", "pubsubname": "pubsub", "traceid": daprTrace, "traceparent": daprTrace, "tracestate": "",
	} {
		e[name] = value
	}
	return e, nil
}

// wrap puts data that is not an event into one. Only application/json is JSON and only application/octet-stream is
// bytes; all else becomes a JSON string, as does JSON that cannot be parsed.
func (r daprRequest) wrap(e map[string]any, media string) {
	e["id"], e["source"], e["datacontenttype"] = "5929aaac-a5e2-4ca1-859c-edfe73f11565", "checkout", r.contentType
	if r.contentType == "" {
		e["datacontenttype"] = "text/plain"
	}
	for _, name := range []string{"id", "source", "type"} {
		if value := r.metadata["cloudevent."+name]; value != "" {
			e[name] = value
		}
	}
	var data any
	switch {
	case media == "application/octet-stream":
		e["data_base64"] = base64.StdEncoding.EncodeToString([]byte(r.body))
	case media == "application/json" && decodeNumbers(r.body, &data) == nil:
		e["data"] = data
	default:
		e["data"] = r.body
	}
}

// decodeNumbers keeps numbers as they are written. Like the peer it does not look at what follows the value.
func decodeNumbers(body string, v any) error {
	in := json.NewDecoder(strings.NewReader(body))
	in.UseNumber()
	return in.Decode(v)
}

func daprRequests() []daprRequest {
	none, raw := map[string]string{}, map[string]string{"rawPayload": "true"}
	const (
		order      = `{"orderId":"100","amount":12.50,"n":12345678901234567890,"html":"<a&b>"}`
		structured = "application/cloudevents+json"
	)
	return []daprRequest{
		{name: "json data", contentType: "application/json", body: order, metadata: none},
		{name: "json data over gRPC, no metadata", contentType: "application/json", body: order},
		{name: "json data with a charset", contentType: "application/json; charset=utf-8", body: order, metadata: none},
		{name: "json data that cannot be parsed", contentType: "application/json", body: `{"orderId":`, metadata: none},
		{name: "json null", contentType: "application/json", body: "null", metadata: none},
		{name: "metadata", contentType: "application/json", body: order, metadata: map[string]string{
			"partitionKey": "10TFK", "ttlInSeconds": "3600", "größe": "<groß>",
		}},
		{name: "attributes given in metadata", contentType: "application/json", body: order, metadata: map[string]string{
			"cloudevent.id": "d99b228f", "cloudevent.source": "payment", "cloudevent.type": "com.example.order",
		}},
		{name: "text data", contentType: "text/plain", body: "hello, wörld", metadata: none},
		{name: "no content type", body: "hello", metadata: none},
		{name: "xml data", contentType: "application/xml", body: `<a b="c">d</a>`, metadata: none},
		{name: "json suffix", contentType: "application/geo+json", body: `{"type":"Feature"}`, metadata: none},
		{name: "binary data", contentType: "application/octet-stream", body: string(allBytes()), metadata: none},
		{name: "image", contentType: "image/png", body: "\x89PNG\r\n\x1a\n\x00", metadata: none},
		{name: "empty body", contentType: "application/octet-stream", metadata: none},
		{name: "structured event", contentType: structured, metadata: none, body: `{"specversion":"1.0","id":"abc-123","source":"/orders",` +
			`"type":"com.example.order","subject":"orders/100","time":"2026-11-23T01:02:03.5Z","datacontenttype":"application/json",` +
			`"partitionkey":"10TFK","count":3,"flag":true,"data":` + order + `}`},
		{name: "structured event with bytes", contentType: structured, metadata: none, body: `{"specversion":"1.0","id":"abc-124",` +
			`"source":"/orders","type":"com.example.image","datacontenttype":"image/png","data_base64":"iVBORw0KGgoA"}`},
		{name: "structured event with little", contentType: structured, metadata: none, body: `{"id":"abc-125","data":{"orderId":"100"}}`},
		{name: "structured event without id", contentType: structured, metadata: none, body: `{"type":"com.example.order","data":{"orderId":"100"}}`},
		{name: "structured event without data", contentType: structured, metadata: none, body: `{"specversion":"1.0","id":"abc-126",` +
			`"source":"/orders","type":"com.example.order","traceid":"lost"}`},
		{name: "raw payload, json", contentType: "application/json", body: order, metadata: raw},
		{name: "raw payload, text", contentType: "text/plain", body: "hello, wörld", metadata: raw},
		{name: "raw payload, bytes", contentType: "application/octet-stream", body: string(allBytes()), metadata: raw},
		{name: "raw payload, empty", metadata: raw},
		{name: "raw payload that is a structured event", contentType: structured, metadata: raw,
			body: `{"specversion":"1.0","id":"abc-127","source":"/orders","type":"com.example.order","data":{"orderId":"100"}}`},
		{name: "raw payload, more metadata", contentType: "application/json", body: order, metadata: map[string]string{
			"rawPayload": "true", "partitionKey": "10TFK",
		}},
	}
}
