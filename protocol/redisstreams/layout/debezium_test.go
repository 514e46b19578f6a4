package layout_test

import (
	"strings"
	"testing"

	"github.com/streamgate/streamgate/protocol/redisstreams"
	"github.com/streamgate/streamgate/protocol/redisstreams/layout"
)

const (
	// debeziumUpdate has the members of a change event of the PostgreSQL connector.
	debeziumUpdate = `{"before":{"id":1,"n":"a"},"after":{"id":1,"n":"b"},"source":{"version":"3.6.1.Final","connector":"postgresql",` +
		`"name":"shop","ts_ms":1795395723000,"snapshot":"false","db":"postgres","sequence":"[null,\"22179432\"]","schema":"public",` +
		`"table":"orders","txId":726,"lsn":22179432},"transaction":null,"op":"u","ts_ms":1795395724111}`
	debeziumKey = `{"id":1}`
	// debeziumCloudEvent is what the converter writes, with names and values that the JSON event format does not allow.
	debeziumCloudEvent = `{"id":"name:shop;lsn:1;txId:1","source":"/debezium/postgresql/shop","specversion":"1.0",` +
		`"type":"io.debezium.connector.postgresql.DataChangeEvent","time":"2026-11-30T23:05:26.231Z","datacontenttype":"application/json",` +
		`"iodebeziumop":"r","iodebeziumtxId":"726","iodebeziumtxid":null,"iodebeziumxmin":null,"rate":1.5,"data":{"id":1}}`
)

// changed is the event of debeziumUpdate, up to its data.
const changed = `{"specversion":"1.0","id":"ID","source":"/streams/orders","type":"dev.streamgate.entry","time":"2026-11-23T01:02:03.000Z",` +
	`"iodebeziumconnector":"postgresql","iodebeziumdb":"postgres","iodebeziumname":"shop","iodebeziumop":"u","iodebeziumschema":"public",` +
	`"iodebeziumtable":"orders","partitionkey":"{\"id\":1}"`

func TestLayoutDebezium(t *testing.T) {
	t.Parallel()
	const row = `,"datacontenttype":"application/json","data":`
	const read = `{"specversion":"1.0","id":"name:shop;lsn:1;txId:1","source":"/debezium/postgresql/shop",` +
		`"type":"io.debezium.connector.postgresql.DataChangeEvent","time":"2026-11-30T23:05:26.231Z",` +
		`"iodebeziumop":"r","iodebeziumtxid":"726","rate":"1.5","datacontenttype":"application/json","data":{"id":1}}`
	const key = `,"partitionkey":"{\"id\":1}"`
	runLayoutCases(t, layout.Config{Name: "debezium"}, map[string]layoutCase{
		"compact event":          {[]string{debeziumKey, whole}, whole, nil},
		"event to be repaired":   {[]string{debeziumKey, debeziumCloudEvent}, read, nil},
		"extended, with headers": {[]string{"key", debeziumKey, "value", debeziumCloudEvent, "X", "1"}, read, nil},
		"event without a key":    {[]string{"default", whole}, whole, nil},
		"broken event":           malformed(debeziumKey, strings.Replace(whole, `"/s"`, `""`, 1)),
		"row":                    {[]string{debeziumKey, `{"id":1}`}, made + key + row + `{"id":1}}`, nil},
		"extended row":           {[]string{"value", `{"id":1}`, "MY_HEADER", "h", "key", "k 1"}, made + `,"myheader":"h","partitionkey":"k 1"` + row + `{"id":1}}`, nil},
		"no key":                 {[]string{"default", `{"id":1}`}, made + row + `{"id":1}}`, nil},
		"tombstone":              {[]string{debeziumKey, "default"}, made + key + `}`, nil},
		"extended tombstone":     {[]string{"key", debeziumKey, "value", "default"}, made + key + `}`, nil},
		"no value":               {[]string{"key", debeziumKey, "value", ""}, made + key + `}`, nil},
		"not JSON":               {[]string{"\xff", "\xff"}, made + `,"partitionkeybase64":"/w==","data_base64":"/w=="}`, nil},
		"key twice":              malformed("key", "1", "value", "1", "key", "1"),
		"value twice":            malformed("key", "1", "value", "1", "value", "1"),
		"other fields":           unknown("a", "b", "c", "d"),
		"a change without key": {[]string{"default", debeziumUpdate}, strings.NewReplacer(`"ID"`, `"orders/`+layoutEntryID+`"`, key, "").Replace(changed) +
			row + debeziumUpdate + `}`, nil},
		"odd members of the source": {[]string{debeziumKey, `{"op":"c","source":{"connector":"mongodb","name":"m","db":null,"collection":"c","ts_ms":"x"},"after":"{}"}`},
			strings.Replace(made, "orders/1700000000123-4", "3e752d4826587590e7bd383571570db1", 1) +
				`,"iodebeziumcollection":"c","iodebeziumconnector":"mongodb","iodebeziumname":"m","iodebeziumop":"c"` + key +
				row + `{"op":"c","source":{"connector":"mongodb","name":"m","db":null,"collection":"c","ts_ms":"x"},"after":"{}"}}`, nil},
	})
}

// TestDebeziumIDsAreStable: Debezium repeats a change after a restart, with another time of its own; a different
// change, key or row has another id. The schema that the converter adds changes nothing.
func TestDebeziumIDsAreStable(t *testing.T) {
	t.Parallel()
	l := newLayout(t, layout.Config{})
	idOf := func(entry, key, value string) string {
		e := redisstreams.Entry{Stream: "orders", ID: entry, Fields: []string{key, value}}
		event, err := l.Event(&e)
		if err != nil {
			t.Fatal(err)
		}
		if op, _ := event.Attribute("iodebeziumop"); op == "" {
			t.Errorf("no operation: %+v", event)
		}
		return event.ID()
	}
	first := idOf("1-0", debeziumKey, debeziumUpdate)
	for name, same := range map[string]string{
		"repeated":    strings.Replace(debeziumUpdate, "1795395724111", "1795395799999", 1),
		"with schema": `{"schema":{"type":"struct"},"payload":` + debeziumUpdate + `}`,
	} {
		if got := idOf("2-0", debeziumKey, same); got != first {
			t.Errorf("%s: id %s, want %s", name, got, first)
		}
	}
	ids := map[string]bool{first: true}
	for _, other := range [][2]string{
		{`{"id":2}`, debeziumUpdate},
		{debeziumKey, strings.Replace(debeziumUpdate, `"op":"u"`, `"op":"r"`, 1)},
		{debeziumKey, strings.Replace(debeziumUpdate, `"lsn":22179432`, `"lsn":22179433`, 1)},
		{debeziumKey, strings.Replace(debeziumUpdate, `"n":"b"`, `"n":"c"`, 1)},
		{debeziumKey, strings.Replace(debeziumUpdate, `"n":"a"`, `"n":"c"`, 1)},
	} {
		ids[idOf("1-0", other[0], other[1])] = true
	}
	if len(ids) != 6 {
		t.Errorf("%d different ids, want 6", len(ids))
	}
	if a, b := idOf("1-0", "default", debeziumUpdate), idOf("2-0", "default", debeziumUpdate); a == b {
		t.Errorf("two changes without a key have the id %s", a)
	}
}

// FuzzDebezium reads any record in both message formats.
func FuzzDebezium(f *testing.F) {
	f.Add(debeziumKey, debeziumUpdate, "X-ID", "1")
	f.Add(debeziumKey, debeziumCloudEvent, "", "")
	f.Add("default", `{"schema":{},"payload":`+debeziumUpdate+`}`, "", "")
	f.Add(debeziumKey, "default", "", "")
	all := allLayouts(f)
	f.Fuzz(func(t *testing.T, key, value, header, text string) {
		checkLayouts(t, all, redisstreams.Entry{Stream: "s", ID: "1-1", Fields: []string{key, value}})
		checkLayouts(t, all, redisstreams.Entry{Stream: "s", ID: "1-1", Fields: []string{"key", key, "value", value, header, text}})
	})
}
