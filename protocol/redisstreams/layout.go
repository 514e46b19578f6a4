package redisstreams

import (
	"fmt"
	"iter"
	"net/url"
	"strings"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Names of the layouts.
const (
	// LayoutAuto finds the layout of each entry, in this order:
	//
	//   - cloudevents, if Entry.Mode knows it or any field begins with "ce_": what is ours and broken is nobody else's.
	//   - triggermesh, if "ce" is the only field and its value begins with "{".
	//   - watermill, if there is a field _watermill_message_uuid.
	//   - dapr, if there is nothing but data and perhaps metadata, a JSON object of strings, and either data is a JSON object
	//     with specversion, topic and pubsubname or metadata has a true rawPayload.
	//   - origin, if there are subject, producer and href.
	//
	// Never redpanda-connect or fields, as nothing in their entries shows whose they are. An entry of no layout is none
	// (ErrUnknownEncoding). An entry of redpanda-connect with ce_specversion is an event without data by our binding, and
	// read like that: name the layout where there are such.
	LayoutAuto = "auto"
	// LayoutCloudEvents is the binding of this package: [Entry.Event].
	LayoutCloudEvents = "cloudevents"
	// LayoutOrigin is the flat one of the notebook that this gateway comes from: subject, producer, href. subject becomes
	// the attribute, the other fields are members of the data, a JSON object as in LayoutFields. An entry without
	// producer or href is not of this layout; an empty subject, or none, gives no attribute.
	LayoutOrigin = "origin"
	// LayoutDapr is that of Dapr's pubsub.redis: "data" holds an event in JSON, or a raw payload, and "metadata", which
	// need not be there, a JSON object. data is an event if it is a JSON object with a member specversion; anything else
	// is a raw payload, of LayoutConfig.DataContentType. Dapr writes attributes that it has no value for as empty strings:
	// those are left out unless they are required. An event without an id, as Dapr passes it on, gets that of the entry.
	// Metadata becomes the extension daprmetadata, as JSON, unless it is empty.
	LayoutDapr = "dapr"
	// LayoutTriggerMesh is that of TriggerMesh's broker: "ce" holds an event in JSON. Other fields are ignored. Bytes
	// that are not UTF-8, in data that is a string and not of a JSON type, are accepted, because the broker writes them.
	LayoutTriggerMesh = "triggermesh"
	// LayoutRedpandaConnect is that of Redpanda Connect's redis_streams output: LayoutConfig.BodyField is the message,
	// every other field its metadata, which is read as said at [Layout].
	LayoutRedpandaConnect = "redpanda-connect"
	// LayoutWatermill is that of watermill-redisstream: "payload" is the message, "metadata" its metadata in MessagePack,
	// which is read as said at [Layout], and "_watermill_message_uuid" the id. If the metadata has another, the UUID
	// becomes the extension watermillmessageuuid.
	LayoutWatermill = "watermill"
	// LayoutFields is that of any flat entry, read by LayoutConfig.Fields.
	LayoutFields = "fields"
)

// LayoutConfig names a layout and says what events look like that carry no attributes of their own.
type LayoutConfig struct {
	// Name is LayoutAuto, which is the default, or one of [Layouts].
	Name string
	// Source is the source of events that carry none; default "/streams/" and the name of the stream, percent-encoded as
	// a path segment.
	Source string
	// Type is the type of events that carry none; default dev.streamgate.entry.
	Type string
	// DataContentType is the media type of data whose layout and entry tell none; default none, and then JSON knows the
	// data as base64 only.
	DataContentType string
	// BodyField is the field that holds the message, Redpanda Connect's body_key; default body. It is for
	// LayoutRedpandaConnect only.
	BodyField string
	// Fields is for LayoutFields only.
	Fields FieldRules
}

const (
	defaultLayoutType = "dev.streamgate.entry"
	defaultBodyField  = "body"
)

// Layout reads the entries of one program, ours or another, as CloudEvents. Make it with [NewLayout]. It is immutable
// and safe for concurrent use; the same entry gives the same event whenever it is read.
//
// An event gets what its entry does not carry: id is the stream's name, "/" and the entry's id; time that of the entry's
// id, unless it lies beyond the year 9999; source and type are those of the [LayoutConfig]. A stream's name that is no
// valid attribute value, or has a "%", is percent-encoded in the id. Empty values count as not given. An entry that holds
// a whole event, with its specversion, gets nothing: what it lacks makes it malformed. So does every value that the
// CloudEvents specification does not allow for its attribute, and a field of the layout that occurs twice.
//
// Metadata that comes beside data, as pairs of strings, is read like the headers of the Kafka binding: "ce_" and a name
// is that attribute; content-type, in any case, is datacontenttype (ce_datacontenttype only where that is missing). If it
// is a media type of CloudEvents, the data holds the event and the ce_ attributes are ignored. Everything else becomes an
// extension whose name is the lower-cased letters and digits of the metadata's. It is left out if nothing remains of the
// name, or more than 64 characters, or the name of an attribute that the event has already or that the specification
// defines: the first one wins. A value that is no string of CloudEvents (not UTF-8, or with control characters) stands in
// base64 under the name with the suffix base64. More metadata than an event can have attributes is malformed.
type Layout struct {
	config LayoutConfig
	rules  []fieldRule // of config.Fields
	read   func(*Layout, *Entry) (rawevent.Event, error)
}

// layout is how the entries of one program are read.
type layout struct {
	name string
	read func(*Layout, *Entry) (rawevent.Event, error)
	// owns reports whether an entry is of this layout beyond doubt, broken or not; nil if that cannot be told.
	owns func(*Entry) bool
}

// layouts lists them in the order in which LayoutAuto tries them: those whose fields are the least likely to be somebody
// else's come first.
func layouts() []layout {
	return []layout{
		{LayoutCloudEvents, (*Layout).cloudEvent, nil}, // LayoutAuto has a rule of its own
		{LayoutTriggerMesh, (*Layout).triggerMesh, ownedByTriggerMesh},
		{LayoutWatermill, (*Layout).watermill, ownedByWatermill},
		{LayoutDapr, (*Layout).dapr, ownedByDapr},
		{LayoutOrigin, (*Layout).origin, ownedByOrigin},
		{LayoutRedpandaConnect, (*Layout).redpandaConnect, nil},
		{LayoutFields, (*Layout).fields, nil},
	}
}

// Layouts returns the names of all layouts, without LayoutAuto, which is none by itself.
func Layouts() []string {
	var names []string
	for _, known := range layouts() {
		names = append(names, known.name)
	}
	return names
}

// NewLayout checks the configuration and returns the layout.
func NewLayout(c LayoutConfig) (*Layout, error) {
	if c.Name == "" {
		c.Name = LayoutAuto
	}
	l := &Layout{}
	if c.Name == LayoutAuto {
		l.read = newAuto()
	}
	for _, known := range layouts() {
		if known.name == c.Name {
			l.read = known.read
		}
	}
	if l.read == nil {
		return nil, fmt.Errorf("redisstreams: there is no layout %q; use %s, %s", c.Name, LayoutAuto, strings.Join(Layouts(), ", "))
	}
	if c.BodyField != "" && c.Name != LayoutRedpandaConnect {
		return nil, fmt.Errorf("redisstreams: the layout %s has no body field; only %s has", c.Name, LayoutRedpandaConnect)
	}
	if c.Fields.given() && c.Name != LayoutFields {
		return nil, fmt.Errorf("redisstreams: the layout %s has no field rules; only %s has", c.Name, LayoutFields)
	}
	if err := c.Fields.check(); err != nil {
		return nil, err
	}
	l.config, l.rules = c.withDefaults(), c.Fields.all()
	probe := rawevent.New("x", l.source("x"), l.config.Type)
	probe.DataContentType = c.DataContentType
	if err := probe.Validate(); err != nil {
		return nil, fmt.Errorf("redisstreams: the events of the layout %s would be invalid: %w", c.Name, err)
	}
	if rawevent.ModeOf(c.DataContentType) != rawevent.Binary {
		return nil, fmt.Errorf("redisstreams: %q is the media type of events, not of their data", c.DataContentType)
	}
	return l, nil
}

func (c LayoutConfig) withDefaults() LayoutConfig {
	if c.Type == "" {
		c.Type = defaultLayoutType
	}
	if c.BodyField == "" {
		c.BodyField = defaultBodyField
	}
	return c
}

// Name returns the layout's name.
func (l *Layout) Name() string { return l.config.Name }

// Event reads the event that the entry holds, which is valid: [rawevent.Event.Validate] finds nothing. Its data may
// share memory with the entry. A non-nil error is an *[EntryError]: ErrUnknownEncoding if the entry is not of this
// layout, ErrMalformed if it is and breaks a rule, ErrUnknownFormat, with the encoded event, as at [Entry.Event], which
// also says why an entry has no fields.
func (l *Layout) Event(e *Entry) (rawevent.Event, error) {
	if len(e.Fields) < 2 {
		return e.Event() // an entry that is too large comes without its fields, whatever its layout
	}
	return l.read(l, e)
}

// newAuto returns how LayoutAuto reads: an entry with a field of our binding, whole or broken, is no other program's.
func newAuto() func(*Layout, *Entry) (rawevent.Event, error) {
	known := layouts()
	return func(l *Layout, e *Entry) (rawevent.Event, error) {
		if claimsToBeOurs(e) {
			return l.cloudEvent(e)
		}
		for i := range known {
			if known[i].owns != nil && known[i].owns(e) {
				return known[i].read(l, e)
			}
		}
		return rawevent.Event{}, e.fail(ErrUnknownEncoding, "no layout is known by its fields")
	}
}

func claimsToBeOurs(e *Entry) bool {
	if _, ok := e.Mode(); ok {
		return true
	}
	for name := range fieldsOf(e) {
		if strings.HasPrefix(name, FieldPrefix) {
			return true
		}
	}
	return false
}

func (l *Layout) cloudEvent(e *Entry) (rawevent.Event, error) {
	event, err := e.Event()
	if err != nil {
		return event, err
	}
	return validEvent(e, &event)
}

// complete gives the event the required attributes that it does not have, and the time.
func (l *Layout) complete(e *Entry, event *rawevent.Event) {
	set := func(name, value string) {
		if _, found := event.Attribute(name); !found && value != "" {
			event.Set(name, value)
		}
	}
	set(rawevent.AttrSpecVersion, rawevent.SpecVersion)
	set(rawevent.AttrID, entryEventID(e))
	set(rawevent.AttrSource, l.source(e.Stream))
	set(rawevent.AttrType, l.config.Type)
	if t, ok := EntryTime(e.ID); ok {
		set(rawevent.AttrTime, t.Format(TimeFormat))
	}
}

// validEvent is the last step of every layout.
func validEvent(e *Entry, event *rawevent.Event) (rawevent.Event, error) {
	if err := event.Validate(); err != nil {
		return rawevent.Event{}, e.fail(ErrMalformed, err.Error())
	}
	return *event, nil
}

func (l *Layout) source(stream string) string {
	if l.config.Source != "" {
		return l.config.Source
	}
	return "/streams/" + url.PathEscape(stream)
}

// entryEventID returns the id of an event whose entry carries none. A name with "%" is encoded too, so that no two
// streams give the same id.
func entryEventID(e *Entry) string {
	stream := e.Stream
	if strings.Contains(stream, "%") || !isString(stream) {
		stream = url.PathEscape(stream)
	}
	return stream + "/" + e.ID
}

// fieldsOf yields the names and values of an entry.
func fieldsOf(e *Entry) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for i := 0; i+1 < len(e.Fields); i += 2 {
			if !yield(e.Fields[i], e.Fields[i+1]) {
				return
			}
		}
	}
}

// onlyField returns the value of a field that must not occur twice.
func onlyField(e *Entry, wanted string) (value string, found bool, err error) {
	for name, v := range fieldsOf(e) {
		if name != wanted {
			continue
		}
		if found {
			return "", true, e.fail(ErrMalformed, fmt.Sprintf("the field %q occurs twice", wanted))
		}
		value, found = v, true
	}
	return value, found, nil
}

// requiredField is onlyField for the fields by which an entry is known to be of the layout.
func requiredField(e *Entry, name string) (string, error) {
	value, found, err := onlyField(e, name)
	if err == nil && !found {
		err = e.fail(ErrUnknownEncoding, fmt.Sprintf("it has no field %q", name))
	}
	return value, err
}

// hasExactly reports whether the entry consists of the fields of these names, each once.
func hasExactly(e *Entry, names ...string) bool {
	if len(e.Fields) != 2*len(names) {
		return false
	}
	for _, name := range names {
		if _, found := e.Field(name); !found {
			return false
		}
	}
	return true
}
