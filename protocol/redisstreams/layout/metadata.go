package layout

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

const (
	maxExtensionName = 64  // rawevent refuses longer ones
	maxAttributes    = 256 // rawevent refuses more; checked here to stop early
)

// dataAndMetadata is a message of a program that does not use CloudEvents.
type dataAndMetadata struct {
	data     *string  // nil if there is no data
	metadata []string // names and values alternately
	// idField names the field that holds the id of the message, id is its value. Both are empty if there is no such
	// field.
	idField, id string
}

// eventOf makes an event of a message, as documented at [Layout].
func (l *Layout) eventOf(e *redisstreams.Entry, m *dataAndMetadata) (rawevent.Event, error) {
	event, err := coreEvent(e, m)
	if err != nil {
		return event, err
	}
	if _, isWhole := event.Attribute(rawevent.AttrSpecVersion); !isWhole {
		if _, found := event.Attribute(rawevent.AttrID); !found && m.id != "" {
			event.Set(rawevent.AttrID, m.id)
		}
		if event.DataContentType == "" && event.Data != nil {
			event.DataContentType = l.dataType(event.Data)
		}
		if err := l.complete(e, &event); err != nil {
			return rawevent.Event{}, err
		}
	}
	if m.id != event.ID() {
		setExtension(&event, m.idField, m.id)
	}
	for i := 0; i+1 < len(m.metadata); i += 2 {
		name := m.metadata[i]
		if !strings.HasPrefix(name, redisstreams.FieldPrefix) && !strings.EqualFold(name, redisstreams.FieldContentType) {
			setExtension(&event, name, m.metadata[i+1])
		}
		if len(event.Attributes) > maxAttributes {
			return rawevent.Event{}, e.Reject(redisstreams.ErrMalformed,
				fmt.Sprintf("it has more metadata than the %d attributes that an event can have", maxAttributes))
		}
	}
	return validEvent(e, &event)
}

// coreEvent returns the event as far as the content type and the ce_ metadata of the message describe it.
func coreEvent(e *redisstreams.Entry, m *dataAndMetadata) (rawevent.Event, error) {
	event := rawevent.Event{DataContentType: metadataContentType(m.metadata)}
	if rawevent.ModeOf(event.DataContentType) != rawevent.Binary {
		return encodedEvent(e, event.DataContentType, m.data)
	}
	if m.data != nil {
		event.Data = bytesOf(*m.data)
	}
	for i := 0; i+1 < len(m.metadata); i += 2 {
		name, isAttribute := strings.CutPrefix(m.metadata[i], redisstreams.FieldPrefix)
		value := m.metadata[i+1]
		if !isAttribute || name == rawevent.AttrDataContentType || value == "" {
			continue
		}
		if !rawevent.ValidName(name) {
			return rawevent.Event{}, e.Reject(redisstreams.ErrMalformed,
				fmt.Sprintf("the metadata %q is not a valid attribute name", m.metadata[i]))
		}
		if _, found := event.Attribute(name); found {
			return rawevent.Event{}, e.Reject(redisstreams.ErrMalformed,
				fmt.Sprintf("the metadata %q occurs twice", m.metadata[i]))
		}
		event.Set(name, value)
		if len(event.Attributes) > maxAttributes {
			break // the caller reports it
		}
	}
	return event, nil
}

// encodedEvent reads an event in structured mode, as [redisstreams.Entry.Event] does for entries of the binding.
func encodedEvent(e *redisstreams.Entry, mediaType string, data *string) (rawevent.Event, error) {
	native := redisstreams.Entry{Stream: e.Stream, ID: e.ID, Fields: []string{redisstreams.FieldContentType, mediaType}}
	if data != nil {
		native.Fields = append(native.Fields, redisstreams.FieldData, *data)
	}
	return native.Event()
}

// metadataContentType returns the first content type, in any letter case: the Kafka binding writes content-type, HTTP
// writes Content-Type.
func metadataContentType(metadata []string) string {
	fallback := ""
	for i := 0; i+1 < len(metadata); i += 2 {
		switch name := metadata[i]; {
		case strings.EqualFold(name, redisstreams.FieldContentType) && metadata[i+1] != "":
			return metadata[i+1]
		case name == redisstreams.FieldPrefix+rawevent.AttrDataContentType && fallback == "":
			fallback = metadata[i+1]
		}
	}
	return fallback
}

// setExtension sets an extension, if a valid name can be derived from anyName, as documented at [Layout].
func setExtension(event *rawevent.Event, anyName, value string) {
	name := extensionName(anyName)
	if name == "" || value == "" {
		return
	}
	if !isString(value) {
		name, value = name+"base64", base64.StdEncoding.EncodeToString([]byte(value))
	}
	if _, taken := event.Attribute(name); !taken && !reservedName(name) && len(name) <= maxExtensionName {
		event.Set(name, value)
	}
}

// extensionName returns the ASCII letters and digits of a name, lower-cased.
func extensionName(s string) string {
	if rawevent.ValidName(s) {
		return s // saves an allocation
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		default:
			return -1
		}
	}, s)
}

// reservedName reports whether the specification uses the name, so that an extension cannot have it.
func reservedName(name string) bool {
	switch name {
	case rawevent.AttrSpecVersion, rawevent.AttrID, rawevent.AttrSource, rawevent.AttrType, rawevent.AttrTime,
		rawevent.AttrSubject, rawevent.AttrDataSchema, rawevent.AttrDataContentType, "data":
		return true
	}
	return false
}

// isString reports whether s is a valid attribute value. Printable ASCII needs no further check; rawevent decides the
// rest.
func isString(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			probe := rawevent.New("x", "/x", "x")
			probe.Set("x", s)
			return probe.Validate() == nil
		}
	}
	return true
}
