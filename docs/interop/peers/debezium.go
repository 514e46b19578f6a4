package main

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// newDebezium rebuilds what Debezium Server's Redis sink writes of a record: RedisStreamChangeConsumer.java, which
// makes one field of key and value, or the fields key and value and those of the headers. null is the text default.
func newDebezium() (peer, error) {
	const (
		key    = `{"id":1}`
		source = `"source":{"version":"3.6.1.Final","connector":"postgresql","name":"shop","ts_ms":1795395723000,"snapshot":"false",` +
			`"db":"postgres","sequence":"[null,\"22179432\"]","schema":"public","table":"orders","txId":726,"lsn":22179432,"xmin":null}`
		update = `{"before":null,"after":{"id":1,"price":"MDk="},` + source + `,"transaction":null,"op":"u","ts_ms":1795395724111}`
		remove = `{"before":{"id":1,"price":null},"after":null,` + source + `,"transaction":null,"op":"d","ts_ms":1795395724112}`
		event  = `{"id":"name:shop;lsn:22179432;txId:726","source":"/debezium/postgresql/shop","specversion":"1.0",` +
			`"type":"io.debezium.connector.postgresql.DataChangeEvent","time":"2026-11-23T01:02:03.000Z","datacontenttype":"application/json",` +
			`"iodebeziumop":"u","iodebeziumversion":"3.6.1.Final","iodebeziumconnector":"postgresql","iodebeziumname":"shop",` +
			`"iodebeziumtsms":"1795395723000","iodebeziumsnapshot":"false","iodebeziumdb":"postgres","iodebeziumschema":"public",` +
			`"iodebeziumtable":"orders","iodebeziumtxId":"726","iodebeziumtxid":null,"iodebeziumlsn":"22179432","iodebeziumxmin":null,` +
			`"data":{"before":null,"after":{"id":1,"price":"MDk="}}}`
		null = "default"
	)
	entries := []struct {
		name   string
		fields []string
	}{
		{"compact, change", []string{key, update}},
		{"compact, delete", []string{key, remove}},
		{"compact, tombstone", []string{key, null}},
		{"compact, without a key", []string{null, update}},
		{"compact, with schemas", []string{`{"schema":{"type":"struct"},"payload":` + key + `}`, `{"schema":{"type":"struct"},"payload":` + update + `}`}},
		{"compact, row", []string{key, `{"id":1,"price":"MDk="}`}},
		{"compact, CloudEvent", []string{key, event}},
		{"extended, change", []string{"key", key, "value", update}},
		{"extended, tombstone", []string{"key", key, "value", null}},
		{"extended, CloudEvent", []string{"key", key, "value", event}},
		{"extended, headers", []string{"key", key, "value", update, "TRACE-ID", "t", "__DBZ__PHYSICALTABLEIDENTIFIER", "shop.orders"}},
	}
	p := peer{
		name:    "debezium",
		version: "rebuilt by the rules of debezium-server 3.7",
		how: "Rebuilt, the peer not run: it needs a database. The fields follow the rules of RedisStreamChangeConsumer.java (read at " +
			"01496f1), the values those of the JSON and CloudEvents converters of 3.6.1.",
	}
	for _, e := range entries {
		p.cases = append(p.cases, e.name)
	}
	p.publish = func(ctx context.Context, t target) error {
		for _, e := range entries {
			if err := t.client.XAdd(ctx, &redis.XAddArgs{Stream: t.stream, Values: e.fields}).Err(); err != nil {
				return err
			}
		}
		return nil
	}
	return p, nil
}
