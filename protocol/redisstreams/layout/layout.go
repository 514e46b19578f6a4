package layout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Names of the layouts.
const (
	// Auto detects the layout of each entry, in this order:
	//
	//   - cloudevents, if Entry.Mode recognizes it or any field begins with "ce_": a broken entry of this binding is not
	//     tried with other layouts.
	//   - triggermesh, if "ce" is the only field and its value begins with "{".
	//   - watermill, if there is a field _watermill_message_uuid.
	//   - dapr, if the only fields are data and, optionally, metadata, a JSON object of strings, and either data is a JSON
	//     object with specversion, topic and pubsubname or metadata has a true rawPayload.
	//   - faststream, if __data__ is the only field and holds a container of FastStream, binary or JSON.
	//   - debezium, if the name of the only field is a JSON object and its value one too, or "default"; or if there are key
	//     and value, further fields having names in upper case, and the value is a change event, a CloudEvent or "default".
	//   - origin, if there are subject, producer and href.
	//   - embedded, if the only field, whatever its name, holds a complete CloudEvent in JSON.
	//
	// It never chooses redpanda-connect or fields, because their entries carry no mark of their writer. An entry that
	// matches no layout is rejected with ErrUnknownEncoding. A redpanda-connect entry with ce_specversion is an event
	// without data in this binding and is read as one: name the layout where a stream has such entries.
	Auto = "auto"
	// CloudEvents is the Redis Streams binding itself: [redisstreams.Entry.Event].
	CloudEvents = "cloudevents"
	// Origin is the flat layout of the notebook that this gateway comes from: subject, producer, href. subject becomes
	// the attribute; the other fields become members of the data, a JSON object as in the layout Fields. An entry
	// without producer or href is not of this layout; a missing or empty subject gives no attribute.
	Origin = "origin"
	// Dapr is the layout of Dapr's pubsub.redis: "data" holds an event in JSON or a raw payload, and the optional field
	// "metadata" a JSON object. data is an event if it is a JSON object with a member specversion; anything else is a
	// raw payload of the media type Config.DataContentType. Dapr writes attributes without a value as empty strings:
	// they are left out unless they are required. An event without an id, as Dapr forwards it, gets the one derived
	// from the entry. Metadata that is not empty becomes the extension daprmetadata, as JSON.
	Dapr = "dapr"
	// TriggerMesh is the layout of TriggerMesh's broker: "ce" holds an event in JSON. Other fields are ignored. Bytes
	// that are not UTF-8 are accepted in data that is a string and not of a JSON type, because the broker writes them.
	TriggerMesh = "triggermesh"
	// RedpandaConnect is the layout of Redpanda Connect's redis_streams output: the field Config.BodyField is the
	// message, every other field is metadata, read as described at [Layout].
	RedpandaConnect = "redpanda-connect"
	// Watermill is the layout of watermill-redisstream: "payload" is the message, "metadata" its metadata in
	// MessagePack, read as described at [Layout], and "_watermill_message_uuid" the id. If the metadata has a different
	// id, the UUID becomes the extension watermillmessageuuid.
	Watermill = "watermill"
	// FastStream is the layout of FastStream (Python): "__data__" holds the message and its headers, in a binary
	// container since 0.6 and in JSON before; anything else is a message without headers. The headers are metadata,
	// read as described at [Layout]; message_id is the id.
	FastStream = "faststream"
	// Debezium is the layout of Debezium Server's Redis sink, in its message formats compact (one field, whose name is
	// the key and whose value is the record) and extended (the fields key and value, and the headers in upper case).
	// The text default is null, as the sink writes it.
	//
	// A value that is a CloudEvent in JSON, as Debezium's converter writes it, is that event, read with the repairs of
	// [rawevent.Lenient] if it is not valid. Any other value is the data. The key becomes partitionkey, as in the Kafka
	// binding. A change event also gets the extensions iodebeziumop, -connector, -name, -db, -schema, -table and
	// -collection, where it has these members, the time of the change, and, if it has a key, an id that is the same when
	// Debezium repeats the change after a restart. A record without a value gives an event without data.
	Debezium = "debezium"
	// Embedded is the layout of entries with one field, of any name, that holds a CloudEvent in JSON.
	Embedded = "embedded"
	// Fields is the layout of any flat entry, read by the rules in Config.Fields.
	Fields = "fields"
)

// Config names a layout and describes the events whose entries carry no attributes of their own.
type Config struct {
	// Name is Auto, which is the default, or one of [Names].
	Name string
	// Source is the source of events that carry none; default "/streams/" and the name of the stream, percent-encoded
	// as a path segment.
	Source string
	// Type is the type of events that carry none; default dev.streamgate.entry.
	Type string
	// DataContentType is the media type of data for which neither layout nor entry states one. By default it is
	// application/json for a JSON object or array; anything else has none then, and the JSON event format represents it
	// in base64.
	DataContentType string
	// BodyField is the field that holds the message, Redpanda Connect's body_key; default body. Only for
	// RedpandaConnect.
	BodyField string
	// Fields maps fields to attributes. Only for the layout Fields.
	Fields FieldRules
	// Lenient repairs CloudEvents in JSON that are not valid, as [rawevent.Lenient] does. Only for the layouts Auto,
	// Embedded and Fields; Debezium always does.
	Lenient bool
	// Complete, if set, may set attributes that an event lacks, before the defaults are added; events that came with
	// their specversion are not passed to it. It must depend on the entry and the event alone and must not keep them;
	// it is called concurrently. An error makes the entry malformed.
	Complete func(e *redisstreams.Entry, event *rawevent.Event) error
}

const (
	defaultType      = "dev.streamgate.entry"
	defaultBodyField = "body"
)

// Layout reads the entries of one program as CloudEvents. Make it with [New]. It is immutable and safe for concurrent
// use; the same entry gives the same event every time it is read.
//
// Attributes that an entry does not carry are added: id is the stream's name, "/" and the entry's id; time is the time
// of the entry's id, unless it lies beyond the year 9999; source and type are those of the [Config]. In the id, the
// stream's name is percent-encoded if it is not a valid attribute value or has a "%". Empty values count as missing. An
// entry that holds a complete event, with its specversion, gets nothing added: a missing attribute makes it malformed,
// as does any value that the CloudEvents specification does not allow for its attribute, and a field of the layout that
// occurs twice.
//
// Metadata that accompanies data, as pairs of strings, is read like the headers of the Kafka binding: "ce_" and a name
// is that attribute; content-type, in any letter case, is datacontenttype (ce_datacontenttype only where that is
// missing). If it is a media type of CloudEvents, the data holds the event and the ce_ attributes are ignored.
// Everything else becomes an extension, named with the lower-cased letters and digits of the metadata's name. It is
// left out if nothing remains of the name, if more than 64 characters remain, or if the event or the specification
// already has an attribute of that name: the first one wins. A value that is not a valid CloudEvents String (not UTF-8,
// or with control characters) is written in base64, under the name with the suffix base64. More metadata than an event
// can have attributes makes the entry malformed.
type Layout struct {
	config Config
	rules  []fieldRule // of config.Fields
	read   reader
}

var _ redisstreams.Layout = (*Layout)(nil)

// reader reads the event of an entry.
type reader func(*Layout, *redisstreams.Entry) (rawevent.Event, error)

// known describes the layout of one program.
type known struct {
	name string
	read reader
	// owns reports whether an entry, well-formed or not, is certainly of this layout; nil if that cannot be determined.
	owns func(*redisstreams.Entry) bool
}

// knownLayouts lists them in the order in which Auto tries them: the most distinctive fields first.
func knownLayouts() []known {
	return []known{
		{CloudEvents, (*Layout).cloudEvent, nil}, // Auto has a separate rule for it
		{TriggerMesh, (*Layout).triggerMesh, ownedByTriggerMesh},
		{Watermill, (*Layout).watermill, ownedByWatermill},
		{Dapr, (*Layout).dapr, ownedByDapr},
		{FastStream, (*Layout).fastStream, ownedByFastStream},
		{Debezium, (*Layout).debezium, ownedByDebezium},
		{Origin, (*Layout).origin, ownedByOrigin},
		{Embedded, (*Layout).embedded, nil}, // Auto has a separate rule for it
		{RedpandaConnect, (*Layout).redpandaConnect, nil},
		{Fields, (*Layout).fields, nil},
	}
}

// Names returns the names of all layouts, without Auto, which selects one of them.
func Names() []string {
	var names []string
	for _, k := range knownLayouts() {
		names = append(names, k.name)
	}
	return names
}

// New validates the configuration and returns the layout.
func New(c Config) (*Layout, error) {
	if c.Name == "" {
		c.Name = Auto
	}
	l := &Layout{}
	if c.Name == Auto {
		l.read = newAuto()
	}
	for _, k := range knownLayouts() {
		if k.name == c.Name {
			l.read = k.read
		}
	}
	if l.read == nil {
		return nil, fmt.Errorf("layout: %q is not a layout; use %s, %s", c.Name, Auto, strings.Join(Names(), ", "))
	}
	if c.BodyField != "" && c.Name != RedpandaConnect {
		return nil, fmt.Errorf("layout: the layout %s does not take a body field; only %s does", c.Name, RedpandaConnect)
	}
	if c.Fields.given() && c.Name != Fields {
		return nil, fmt.Errorf("layout: the layout %s does not take field rules; only %s does", c.Name, Fields)
	}
	if err := c.Fields.check(); err != nil {
		return nil, err
	}
	if c.Lenient && !slices.Contains([]string{Auto, Embedded, Debezium, Fields}, c.Name) {
		return nil, fmt.Errorf("layout: the layout %s cannot be lenient; only %s, %s, %s and %s can",
			c.Name, Auto, Embedded, Debezium, Fields)
	}
	l.config, l.rules = c.withDefaults(), c.Fields.all()
	probe := rawevent.New("x", l.source("x"), l.config.Type)
	probe.DataContentType = c.DataContentType
	if err := probe.Validate(); err != nil {
		return nil, fmt.Errorf("layout: the events of the layout %s would be invalid: %w", c.Name, err)
	}
	if rawevent.ModeOf(c.DataContentType) != rawevent.Binary {
		return nil, fmt.Errorf("layout: %q is the media type of events, not of their data", c.DataContentType)
	}
	return l, nil
}

func (c Config) withDefaults() Config {
	if c.Type == "" {
		c.Type = defaultType
	}
	if c.BodyField == "" {
		c.BodyField = defaultBodyField
	}
	return c
}

// Name returns the layout's name.
func (l *Layout) Name() string { return l.config.Name }

// Event reads the event that the entry holds. The event is valid: [rawevent.Event.Validate] accepts it. Its data may
// share memory with the entry. A non-nil error is an *[redisstreams.EntryError]: ErrUnknownEncoding if the entry is not
// of this layout, ErrMalformed if it is and breaks a rule, or ErrUnknownFormat, together with the encoded event.
// ErrTooLarge is possible in every layout. See [redisstreams.Entry.Event].
func (l *Layout) Event(e *redisstreams.Entry) (rawevent.Event, error) {
	if len(e.Fields) < 2 {
		return e.Event() // an entry that is too large comes without its fields, whatever its layout
	}
	return l.read(l, e)
}

// Native implements [redisstreams.Layout].
func (l *Layout) Native(e *redisstreams.Entry) bool {
	return l.config.Name == CloudEvents || l.config.Name == Auto && claimsToBeNative(e)
}

func (l *Layout) cloudEvent(e *redisstreams.Entry) (rawevent.Event, error) {
	event, err := e.Event()
	if err != nil {
		return event, err
	}
	return validEvent(e, &event)
}

// complete adds the required attributes that the event does not have, and the time.
func (l *Layout) complete(e *redisstreams.Entry, event *rawevent.Event) error {
	if l.config.Complete != nil {
		if err := l.config.Complete(e, event); err != nil {
			return e.Reject(redisstreams.ErrMalformed, err.Error())
		}
	}
	set := func(name, value string) {
		if _, found := event.Attribute(name); !found && value != "" {
			event.Set(name, value)
		}
	}
	set(rawevent.AttrSpecVersion, rawevent.SpecVersion)
	set(rawevent.AttrID, entryEventID(e))
	set(rawevent.AttrSource, l.source(e.Stream))
	set(rawevent.AttrType, l.config.Type)
	if t, ok := redisstreams.EntryTime(e.ID); ok {
		set(rawevent.AttrTime, t.Format(redisstreams.TimeFormat))
	}
	return nil
}

// dataType returns the media type of data for which the entry states none.
func (l *Layout) dataType(data []byte) string {
	if l.config.DataContentType != "" || data == nil {
		return l.config.DataContentType
	}
	text := bytes.TrimLeft(data, " \t\r\n")
	if len(text) > 0 && (text[0] == '{' || text[0] == '[') && utf8.Valid(data) && json.Valid(data) {
		return "application/json"
	}
	return ""
}

// validEvent is the last step of every layout.
func validEvent(e *redisstreams.Entry, event *rawevent.Event) (rawevent.Event, error) {
	if err := event.Validate(); err != nil {
		return rawevent.Event{}, e.Reject(redisstreams.ErrMalformed, err.Error())
	}
	return *event, nil
}

func (l *Layout) source(stream string) string {
	if l.config.Source != "" {
		return l.config.Source
	}
	return "/streams/" + url.PathEscape(stream)
}

// entryEventID returns the id of an event whose entry carries none. A name with "%" is encoded too, so that two streams
// never give the same id.
func entryEventID(e *redisstreams.Entry) string {
	stream := e.Stream
	if strings.Contains(stream, "%") || !isString(stream) {
		stream = url.PathEscape(stream)
	}
	return stream + "/" + e.ID
}
