package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
)

// newWatermill runs the peer's own publisher.
func newWatermill() (peer, error) {
	version, err := moduleVersion("github.com/ThreeDotsLabs/watermill-redisstream")
	if err != nil {
		return peer{}, err
	}
	messages := watermillMessages()
	p := peer{
		name:    "watermill",
		version: version,
		how:     "Run: redisstream.NewPublisher with its defaults, Publish of one message for each entry.",
	}
	for _, m := range messages {
		p.cases = append(p.cases, m.name)
	}
	p.publish = func(ctx context.Context, t target) error {
		publisher, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: t.client}, nil)
		if err != nil {
			return err
		}
		for i, m := range messages { // not closed: that would close the client
			id := fmt.Sprintf("6ba7b810-9dad-11d1-80b4-%012d", i+1)
			if m.uuid != nil {
				id = *m.uuid
			}
			made := message.NewMessage(id, m.payload)
			if m.metadata != nil {
				made.Metadata = m.metadata
			}
			made.SetContext(ctx)
			if err := publisher.Publish(t.stream, made); err != nil {
				return err
			}
		}
		return nil
	}
	return p, nil
}

type watermillMessage struct {
	name     string
	uuid     *string // nil means one that is made up
	payload  []byte
	metadata map[string]string
}

func watermillMessages() []watermillMessage {
	json := []byte(`{"orderId":"100","amount":12.50}`)
	return []watermillMessage{
		{name: "no metadata", payload: json},
		{name: "empty metadata", payload: json, metadata: map[string]string{}},
		{name: "metadata", payload: json, metadata: map[string]string{"content_type": "application/json", "correlation_id": "c-1"}},
		{name: "one metadata key", payload: json, metadata: map[string]string{"name": "order.placed"}},
		{name: "text payload", payload: []byte("hello, wörld"), metadata: map[string]string{"content_type": "text/plain"}},
		{name: "empty payload", payload: []byte{}, metadata: map[string]string{"name": "order.placed"}},
		{name: "nil payload, no metadata"},
		{name: "binary payload", payload: allBytes(), metadata: map[string]string{"content_type": "application/octet-stream"}},
		{name: "unicode metadata", payload: json, metadata: map[string]string{"größe": "groß", "名前": "注文 🛰", "e": "e\u0301"}},
		{name: "empty metadata values", payload: json, metadata: map[string]string{"a": "", "": "b"}},
		{name: "binary metadata", payload: json, metadata: map[string]string{"trace": "\x00\xff\xfe", "\xff": "key"}},
		{name: "15 metadata keys", payload: json, metadata: numbered(15)},
		{name: "16 metadata keys", payload: json, metadata: numbered(16)},
		{name: "40 metadata keys", payload: json, metadata: numbered(40)},
		{name: "metadata value of 31 bytes", payload: json, metadata: map[string]string{"k": strings.Repeat("x", 31)}},
		{name: "metadata value of 32 bytes", payload: json, metadata: map[string]string{"k": strings.Repeat("x", 32)}},
		{name: "metadata value of 255 bytes", payload: json, metadata: map[string]string{"k": strings.Repeat("x", 255)}},
		{name: "metadata value of 256 bytes", payload: json, metadata: map[string]string{"k": strings.Repeat("x", 256)}},
		{name: "metadata value of 65535 bytes", payload: json, metadata: map[string]string{"k": strings.Repeat("x", 65535)}},
		{name: "metadata value of 65536 bytes", payload: json, metadata: map[string]string{"k": strings.Repeat("x", 65536)}},
		{name: "metadata key of 300 bytes", payload: json, metadata: map[string]string{strings.Repeat("k", 300): "v"}},
		{name: "metadata like a CloudEvent", payload: json, metadata: map[string]string{
			"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/orders", "ce_type": "com.example.order", "content-type": "application/json",
		}},
		{name: "no uuid", uuid: new(string), payload: json, metadata: map[string]string{"name": "order.placed"}},
	}
}

func numbered(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprintf("key%02d", i)] = fmt.Sprintf("value %d", i)
	}
	return m
}
