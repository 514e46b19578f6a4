package layout

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

const (
	debeziumKey   = "key"
	debeziumValue = "value"
	// debeziumNull is what the sink writes for a record without a key or a value, unless it is configured otherwise.
	debeziumNull = "default"
	// debeziumPrefix begins the extensions that Debezium's own CloudEvents converter gives to events.
	debeziumPrefix = "iodebezium"
	partitionKey   = "partitionkey"
)

// debeziumRecord is a record of Debezium as its Redis sink wrote it; key and value are empty if they are null.
type debeziumRecord struct {
	key, value string
	headers    []string // names and values alternately
	compact    bool
}

// readDebezium returns the record of an entry: in the extended message format the fields key and value, and one for
// each header; in the compact one a single field, whose name is the key.
func readDebezium(e *redisstreams.Entry) (r debeziumRecord, ok bool, err error) {
	_, hasKey := e.Field(debeziumKey)
	_, hasValue := e.Field(debeziumValue)
	switch {
	case hasKey && hasValue:
		if r.key, _, err = onlyField(e, debeziumKey); err != nil {
			return r, true, err
		}
		if r.value, _, err = onlyField(e, debeziumValue); err != nil {
			return r, true, err
		}
		for name, value := range fieldsOf(e) {
			if name != debeziumKey && name != debeziumValue {
				r.headers = append(r.headers, name, value)
			}
		}
	case len(e.Fields) == 2:
		r.compact, r.key, r.value = true, e.Fields[0], e.Fields[1]
	default:
		return r, false, nil
	}
	if r.key == debeziumNull {
		r.key = ""
	}
	if r.value == debeziumNull {
		r.value = ""
	}
	return r, true, nil
}

// ownedByDebezium: the name of a field that is a JSON object is a key of the compact format, if the value is a JSON
// object or null. Fields named key and value are common, and so is a field named default: they are Debezium's only if
// the value is one of its change events, or a CloudEvent, or null beside a key that is a JSON object.
func ownedByDebezium(e *redisstreams.Entry) bool {
	r, ok, err := readDebezium(e)
	if !ok || err != nil || r.key != "" && !isJSONObject(r.key) {
		return false
	}
	for i := 0; i < len(r.headers); i += 2 {
		if r.headers[i] != strings.ToUpper(r.headers[i]) {
			return false
		}
	}
	if r.value == "" {
		value, _ := e.Field(debeziumValue)
		return r.key != "" && (value == debeziumNull || r.compact && e.Fields[1] == debeziumNull)
	}
	if !isJSONObject(r.value) {
		return false
	}
	return r.compact && r.key != "" || isEncodedEvent(objectMembers(r.value)) || changeOf(r.value) != nil
}

func (l *Layout) debezium(e *redisstreams.Entry) (rawevent.Event, error) {
	r, ok, err := readDebezium(e)
	switch {
	case err != nil:
		return rawevent.Event{}, err
	case !ok:
		return rawevent.Event{}, e.Reject(redisstreams.ErrUnknownEncoding,
			"it has neither the fields key and value nor a single field")
	case isEncodedEvent(objectMembers(r.value)):
		// The converter writes attributes with upper-case letters and null.
		event, err := jsonEvent(r.value, true)
		if err != nil {
			return rawevent.Event{}, e.Reject(redisstreams.ErrMalformed, err.Error())
		}
		return event, nil
	}
	var event rawevent.Event
	if r.value != "" {
		event.Data = bytesOf(r.value)
		event.DataContentType = l.dataType(event.Data)
	}
	key := compactJSON(string(payloadOf(r.key)))
	if change := changeOf(r.value); change != nil {
		change.describe(&event, key)
	}
	if key != "" {
		setExtension(&event, partitionKey, key)
	}
	for i := 0; i+1 < len(r.headers) && len(event.Attributes) <= maxAttributes; i += 2 {
		setExtension(&event, r.headers[i], r.headers[i+1])
	}
	if err := l.complete(e, &event); err != nil {
		return rawevent.Event{}, err
	}
	return validEvent(e, &event)
}

// debeziumChange is the envelope of a change event. The members of Source that matter are strings or numbers, by the
// connector: they are kept as they are.
type debeziumChange struct {
	Op     string                     `json:"op"`
	Source map[string]json.RawMessage `json:"source"`
	Before json.RawMessage            `json:"before"`
	After  json.RawMessage            `json:"after"`
}

// payloadOf returns the payload of a key or a value, which the JSON converter wraps in an object of schema and payload
// unless its schemas are disabled.
func payloadOf(text string) []byte {
	var wrapped struct {
		Schema  json.RawMessage `json:"schema"`
		Payload json.RawMessage `json:"payload"`
	}
	if json.Unmarshal(bytesOf(text), &wrapped) == nil && len(wrapped.Schema) > 0 && len(wrapped.Payload) > 0 {
		return wrapped.Payload
	}
	return bytesOf(text)
}

// changeOf returns the envelope in a value, or nil unless there is an operation, which is a single letter, and the
// source block of a connector.
func changeOf(value string) *debeziumChange {
	if !isJSONObject(value) {
		return nil
	}
	var c debeziumChange
	if json.Unmarshal(payloadOf(value), &c) != nil || len(c.Op) != 1 ||
		valueText(c.Source["connector"]) == "" || valueText(c.Source["name"]) == "" {
		return nil
	}
	return &c
}

// describe sets the attributes that the change has. Debezium repeats changes after a restart, with another time of its
// own: the id is made of what stays the same, the key, the operation, the position in the source, and the row. Without
// a key, rows of one transaction can be equal, and the id is that of the entry.
func (c *debeziumChange) describe(event *rawevent.Event, key string) {
	event.Set(debeziumPrefix+"op", c.Op)
	for _, name := range [...]string{"connector", "name", "db", "schema", "table", "collection"} {
		setExtension(event, debeziumPrefix+name, valueText(c.Source[name]))
	}
	if ms, err := strconv.ParseInt(valueText(c.Source["ts_ms"]), 10, 64); err == nil && ms > 0 {
		if at := time.UnixMilli(ms).UTC(); at.Year() <= 9999 {
			event.Set(rawevent.AttrTime, at.Format(redisstreams.TimeFormat))
		}
	}
	if key == "" {
		return
	}
	source, err := json.Marshal(c.Source) // members in the order of their names
	if err != nil {
		return
	}
	sum := sha256.New()
	for _, part := range [][]byte{bytesOf(key), bytesOf(c.Op), source, c.Before, c.After} {
		// The length keeps parts apart. A hash never returns an error.
		_, _ = sum.Write(append(strconv.AppendInt(nil, int64(len(part)), 10), ':'))
		_, _ = sum.Write(part)
	}
	event.Set(rawevent.AttrID, hex.EncodeToString(sum.Sum(nil)[:16]))
}

// compactJSON removes white space between the tokens of JSON; any other text it returns as it is.
func compactJSON(text string) string {
	var compact bytes.Buffer
	if json.Compact(&compact, bytesOf(text)) != nil {
		return text
	}
	return compact.String()
}
