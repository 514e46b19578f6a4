package redisstreams

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

const (
	maxExtensionName = 64  // longer ones rawevent refuses
	maxAttributes    = 256 // more of them rawevent refuses; here they end the work early
)

// dataAndMetadata is a message of a program that knows no events.
type dataAndMetadata struct {
	data     *string  // nil if there is none
	metadata []string // names and values alternately
	// idField and id are the field of the entry that holds an id of the message, and the id; empty if there is none.
	idField, id string
}

// eventOf makes an event of a message as the doc of [Layout] says.
func (l *Layout) eventOf(e *Entry, m *dataAndMetadata) (rawevent.Event, error) {
	event, err := coreEvent(e, m)
	if err != nil {
		return event, err
	}
	if _, isWhole := event.Attribute(rawevent.AttrSpecVersion); !isWhole {
		if _, found := event.Attribute(rawevent.AttrID); !found && m.id != "" {
			event.Set(rawevent.AttrID, m.id)
		}
		if event.DataContentType == "" && event.Data != nil {
			event.DataContentType = l.config.DataContentType
		}
		l.complete(e, &event)
	}
	if m.id != event.ID() {
		setExtension(&event, m.idField, m.id)
	}
	for i := 0; i+1 < len(m.metadata); i += 2 {
		if name := m.metadata[i]; !strings.HasPrefix(name, FieldPrefix) && !strings.EqualFold(name, FieldContentType) {
			setExtension(&event, name, m.metadata[i+1])
		}
		if len(event.Attributes) > maxAttributes {
			return rawevent.Event{}, e.fail(ErrMalformed, fmt.Sprintf("it has more metadata than an event can have attributes, which is %d", maxAttributes))
		}
	}
	return validEvent(e, &event)
}

// coreEvent returns what the message itself says of the event: by its content type and the ce_ metadata.
func coreEvent(e *Entry, m *dataAndMetadata) (rawevent.Event, error) {
	event := rawevent.Event{DataContentType: metadataContentType(m.metadata)}
	if rawevent.ModeOf(event.DataContentType) != rawevent.Binary {
		return encodedEvent(e, event.DataContentType, m.data)
	}
	if m.data != nil {
		event.Data = bytesOf(*m.data)
	}
	for i := 0; i+1 < len(m.metadata); i += 2 {
		name, isAttribute := strings.CutPrefix(m.metadata[i], FieldPrefix)
		value := m.metadata[i+1]
		if !isAttribute || name == rawevent.AttrDataContentType || value == "" {
			continue
		}
		if !rawevent.ValidName(name) {
			return rawevent.Event{}, e.fail(ErrMalformed, fmt.Sprintf("the metadata %q is no valid attribute name", m.metadata[i]))
		}
		if _, found := event.Attribute(name); found {
			return rawevent.Event{}, e.fail(ErrMalformed, fmt.Sprintf("the metadata %q occurs twice", m.metadata[i]))
		}
		event.Set(name, value)
		if len(event.Attributes) > maxAttributes {
			break // which the caller finds
		}
	}
	return event, nil
}

// encodedEvent reads an event in structured mode, as [Entry.Event] reads it from the entries of our own binding.
func encodedEvent(e *Entry, mediaType string, data *string) (rawevent.Event, error) {
	ours := Entry{Stream: e.Stream, ID: e.ID, Fields: []string{FieldContentType, mediaType}}
	if data != nil {
		ours.Fields = append(ours.Fields, FieldData, *data)
	}
	return ours.Event()
}

// metadataContentType returns the first content type, whatever its case: Kafka's binding writes content-type, and HTTP
// Content-Type.
func metadataContentType(metadata []string) string {
	fallback := ""
	for i := 0; i+1 < len(metadata); i += 2 {
		switch name := metadata[i]; {
		case strings.EqualFold(name, FieldContentType) && metadata[i+1] != "":
			return metadata[i+1]
		case name == FieldPrefix+rawevent.AttrDataContentType && fallback == "":
			fallback = metadata[i+1]
		}
	}
	return fallback
}

// setExtension sets an extension under a name made of any other, or none, as the doc of [Layout] says.
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
		return s // without an allocation
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

// reservedName reports whether the specification uses the name, so that no extension can have it.
func reservedName(name string) bool {
	switch name {
	case rawevent.AttrSpecVersion, rawevent.AttrID, rawevent.AttrSource, rawevent.AttrType, rawevent.AttrTime,
		rawevent.AttrSubject, rawevent.AttrDataSchema, rawevent.AttrDataContentType, "data":
		return true
	}
	return false
}

// isString reports whether s is a valid attribute value. Printable ASCII is told at once; rawevent knows the rest.
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
