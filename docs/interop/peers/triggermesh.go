package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/redis/go-redis/v9"
)

// newTriggermesh rebuilds what the broker stores: it receives events over HTTP with sdk-go, and Produce
// (pkg/backend/impl/redis/redis.go) puts what event.MarshalJSON returns into the one field "ce". Both steps are calls
// of sdk-go.
func newTriggermesh() (peer, error) {
	sdk, err := moduleVersion("github.com/cloudevents/sdk-go/v2")
	if err != nil {
		return peer{}, err
	}
	requests := triggermeshRequests()
	p := peer{
		name:    "triggermesh",
		version: "rebuilt with " + sdk,
		how: "Rebuilt, the peer not run: the Go module proxy does not serve github.com/triggermesh/brokers. Each event comes from an " +
			"HTTP request through sdk-go, as in the broker, and is stored as the broker's Produce does it (read at 35674fe): " +
			"event.MarshalJSON of sdk-go into the field ce, by go-redis.",
	}
	for _, r := range requests {
		p.cases = append(p.cases, r.name)
	}
	p.publish = func(ctx context.Context, t target) error {
		for _, r := range requests {
			e, err := r.receive(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			b, err := e.MarshalJSON()
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			args := &redis.XAddArgs{Stream: t.stream, MaxLen: 1000, Approx: true, Values: map[string]any{"ce": b}}
			if err := t.client.XAdd(ctx, args).Err(); err != nil {
				return err
			}
		}
		return nil
	}
	return p, nil
}

// request is what a producer sends to the broker.
type request struct {
	name   string
	header map[string]string
	body   string
}

func (r request) receive(ctx context.Context) (*event.Event, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://broker.example/", strings.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	e, err := cehttp.NewEventFromHTTPRequest(req)
	if err != nil {
		return nil, err
	}
	return e, e.Validate()
}

func triggermeshRequests() []request {
	structured := func(name, body string) request {
		return request{name: name, header: map[string]string{"Content-Type": "application/cloudevents+json"}, body: body}
	}
	binary := func(name, contentType, body string, more ...string) request {
		header := map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "1234", "Ce-Source": "x", "Ce-Type": "example.type"}
		if contentType != "" {
			header["Content-Type"] = contentType
		}
		for i := 0; i < len(more); i += 2 {
			header[more[i]] = more[i+1]
		}
		return request{name: name, header: header, body: body}
	}
	const head = `"specversion":"1.0","id":"1234","source":"x","type":"example.type"`
	return []request{
		binary("json data", "application/json", `{"href":"https://example.com/items/1","n":12345678901234567890,"html":"<a&b>"}`),
		binary("json data with white space", "application/json", "{ \"a\" : 1 ,\n \"a\" : 2 }\n"),
		binary("json data that is not an object", "application/json", `"text"`),
		binary("json suffix", "application/geo+json; charset=utf-8", `{"type":"Feature"}`),
		binary("text data", "text/plain", "hello, wörld\n"),
		binary("xml data", "application/xml", `<a b="c">d</a>`),
		binary("no datacontenttype", "", `{"a":1}`),
		binary("no data", "", ""),
		binary("extensions", "application/json", `{}`, "Ce-Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			"Ce-Partitionkey", "10TFK", "Ce-Count", "3"),
		binary("all attributes", "application/json", `{}`, "Ce-Time", "2026-11-23T01:02:03.000000004+01:00", "Ce-Subject", "items/1",
			"Ce-Dataschema", "https://example.com/schema"),
		binary("unicode subject", "application/json", `{}`, "Ce-Subject", "Gr%C3%B6%C3%9Fe%20%E8%A1%9B%E6%98%9F"),
		binary("binary data, sent as binary", "application/octet-stream", string(allBytes())),
		binary("image, sent as binary", "image/png", "\x89PNG\r\n\x1a\n\x00"),
		structured("binary data, sent as structured", `{`+head+`,"datacontenttype":"application/octet-stream","data_base64":"iVBORw0KGgoA/w=="}`),
		structured("json data, sent as structured", `{`+head+`,"datacontenttype":"application/json","data":{"a":[1,2.50,null]}}`),
		structured("typed extensions, sent as structured", `{`+head+`,"count":3,"flag":true,"text":"t","data":{"a":1}}`),
		structured("text data, sent as structured", `{`+head+`,"datacontenttype":"text/plain","data":"hello"}`),
		structured("null data, sent as structured", `{`+head+`,"data":null}`),
		structured("no data, sent as structured", `{`+head+`}`),
		structured("specversion 0.3", `{"specversion":"0.3","id":"1234","source":"x","type":"example.type","datacontentencoding":"base64",`+
			`"datacontenttype":"application/octet-stream","data":"iVBORw0KGgoA/w=="}`),
	}
}
