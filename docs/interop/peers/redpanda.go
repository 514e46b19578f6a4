package main

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// newRedpandaConnect rebuilds what the redis_streams output writes (internal/impl/redis/output_streams.go): one field
// for each metadata value of the message, as go-redis prints it, and the body under body_key, which wins over metadata
// of that name.
func newRedpandaConnect() (peer, error) {
	client, err := moduleVersion("github.com/redis/go-redis/v9")
	if err != nil {
		return peer{}, err
	}
	messages := connectMessages()
	p := peer{
		name:    "redpanda-connect",
		version: "rebuilt with " + client,
		how: "Rebuilt, the peer not run: the Go module proxy does not serve github.com/redpanda-data/connect/v4 nor " +
			"github.com/redpanda-data/benthos/v4. The fields are those of its redis_streams output (read at 48a4b64): a Go map of the " +
			"metadata and of the body under body_key, by go-redis, its client library.",
	}
	for _, m := range messages {
		p.cases = append(p.cases, m.name)
	}
	p.publish = func(ctx context.Context, t target) error {
		for _, m := range messages {
			values := map[string]any{}
			for name, value := range m.metadata {
				values[name] = value
			}
			key := m.bodyKey
			if key == "" {
				key = "body"
			}
			values[key] = m.body
			if err := t.client.XAdd(ctx, &redis.XAddArgs{ID: "*", Stream: t.stream, Approx: true, Values: values}).Err(); err != nil {
				return err
			}
		}
		return nil
	}
	return p, nil
}

type connectMessage struct {
	name     string
	bodyKey  string // "" means body, the default
	body     []byte
	metadata map[string]any // the values keep their types until go-redis prints them
}

func connectMessages() []connectMessage {
	json := []byte(`{"orderId":"100"}`)
	cloudEvent := func(contentType string) map[string]any {
		return map[string]any{
			"ce_specversion": "1.0", "ce_id": "1234", "ce_source": "/orders", "ce_type": "com.example.order", "ce_time": "2026-11-23T01:02:03Z",
			contentType: "application/json",
		}
	}
	kafka := map[string]any{
		"kafka_key": []byte("10TFK"), "kafka_topic": "orders", "kafka_partition": 3, "kafka_offset": 42,
		"kafka_timestamp_unix": int64(1795395723), "kafka_tombstone_message": false, "kafka_lag": int64(0),
	}
	fromKafka := cloudEvent("content-type")
	for name, value := range kafka {
		fromKafka[name] = value
	}
	return []connectMessage{
		{name: "no metadata", body: json},
		{name: "metadata", body: json, metadata: map[string]any{"Content-Type": "application/json", "order": "100", "größe": "groß"}},
		{name: "custom body_key", bodyKey: "payload", body: json, metadata: map[string]any{"order": "100"}},
		{name: "metadata named like the body", body: json, metadata: map[string]any{"body": "lost", "order": "100"}},
		{name: "binary body", body: allBytes(), metadata: map[string]any{"Content-Type": "application/octet-stream"}},
		{name: "empty body", body: []byte{}, metadata: map[string]any{"order": "100"}},
		{name: "text body", body: []byte("hello, wörld"), metadata: map[string]any{"order": "100"}},
		{name: "structured event in the body", body: []byte(`{"specversion":"1.0","id":"1","source":"x","type":"t","data":{"a":1}}`),
			metadata: map[string]any{"Content-Type": "application/cloudevents+json"}},
		{name: "typed metadata", body: json, metadata: map[string]any{
			"int": 3, "float": 2.5, "true": true, "false": false, "null": nil, "bytes": []byte("\x00\xff"), "empty": "",
		}},
		{name: "metadata from kafka", body: json, metadata: kafka},
		{name: "event from kafka in binary mode", body: json, metadata: fromKafka},
		{name: "event from kafka in binary mode, Content-Type", body: json, metadata: cloudEvent("Content-Type")},
		{name: "metadata that was read from redis_streams", body: json, metadata: map[string]any{"redis_stream": "1795395723000-0"}},
	}
}
