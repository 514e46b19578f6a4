package rawevent

import (
	"slices"
	"strings"
)

// SpecVersion is the value of specversion in every event that this package accepts or writes.
const SpecVersion = "1.0"

// Names of the context attributes that the core specification defines.
const (
	AttrSpecVersion     = "specversion"
	AttrID              = "id"
	AttrSource          = "source"
	AttrType            = "type"
	AttrTime            = "time"
	AttrSubject         = "subject"
	AttrDataSchema      = "dataschema"
	AttrDataContentType = "datacontenttype"
)

// Attribute is a context attribute: its name in lower case and the canonical string form of its value.
type Attribute struct {
	Name  string
	Value string
}

// Event is a CloudEvent. Create one with [New] or a decoder; the zero value is an empty event that does not validate.
// Concurrent reads are safe; [Event.Validate], [Event.Set] and [Event.Delete] write.
type Event struct {
	// Attributes holds every attribute except datacontenttype, each once, in canonical order. Use [Event.Set] to
	// preserve that order.
	Attributes []Attribute
	// DataContentType is the media type of the data; empty means that the attribute is absent.
	DataContentType string
	// Data is nil if the event has no data; an empty slice that is not nil is data of length zero. Data may share
	// memory with the input of the decoder, so neither may be modified while the event is in use.
	Data []byte
}

// New returns an event with the four required attributes. It is not validated.
func New(id, source, eventType string) Event {
	return Event{Attributes: []Attribute{
		{AttrSpecVersion, SpecVersion}, {AttrID, id}, {AttrSource, source}, {AttrType, eventType},
	}}
}

// ID returns the attribute id.
func (e *Event) ID() string { return e.get(AttrID) }

// Source returns the attribute source.
func (e *Event) Source() string { return e.get(AttrSource) }

// Type returns the attribute type.
func (e *Event) Type() string { return e.get(AttrType) }

// Subject returns the attribute subject, or "" if it is absent.
func (e *Event) Subject() string { return e.get(AttrSubject) }

func (e *Event) get(name string) string {
	value, _ := e.Attribute(name)
	return value
}

// Attribute returns the value of the named attribute, including datacontenttype, and whether the event has it.
func (e *Event) Attribute(name string) (string, bool) {
	for i := range e.Attributes {
		if e.Attributes[i].Name == name {
			return e.Attributes[i].Value, true
		}
	}
	if name == AttrDataContentType && e.DataContentType != "" {
		return e.DataContentType, true
	}
	return "", false
}

// Set sets or replaces the named attribute and preserves the canonical order.
func (e *Event) Set(name, value string) {
	if name == AttrDataContentType {
		e.DataContentType = value
		return
	}
	at, found := slices.BinarySearchFunc(e.Attributes, name, func(a Attribute, name string) int {
		return compareNames(a.Name, name)
	})
	if found {
		e.Attributes[at].Value = value
		return
	}
	e.Attributes = slices.Insert(e.Attributes, at, Attribute{name, value})
}

// Delete removes the named attribute, if the event has it.
func (e *Event) Delete(name string) {
	if name == AttrDataContentType {
		e.DataContentType = ""
		return
	}
	e.Attributes = slices.DeleteFunc(e.Attributes, func(a Attribute) bool { return a.Name == name })
}

// Clone returns a copy with attributes of its own. The data is shared.
func (e *Event) Clone() Event {
	c := *e
	c.Attributes = slices.Clone(e.Attributes)
	return c
}

// Canonicalize sorts attributes that were appended in any order into canonical order.
// It returns the name of an attribute that occurs twice, or "" if there is none.
func (e *Event) Canonicalize() (duplicate string) {
	slices.SortFunc(e.Attributes, func(a, b Attribute) int { return compareNames(a.Name, b.Name) })
	for i := 1; i < len(e.Attributes); i++ {
		if e.Attributes[i].Name == e.Attributes[i-1].Name {
			return e.Attributes[i].Name
		}
	}
	return ""
}

func compareNames(a, b string) int {
	ra, rb := rank(a), rank(b)
	if ra != rb {
		return ra - rb
	}
	return strings.Compare(a, b)
}

// extensionRank is the rank of every extension attribute.
const extensionRank = 7

// rank returns the position of an attribute in every encoding that this package writes: core attributes first, then
// extensions by name. The order is fixed because Redis shares the field names of neighbouring stream entries only if
// they occur in the same order.
func rank(name string) int {
	switch name {
	case AttrSpecVersion:
		return 0
	case AttrID:
		return 1
	case AttrSource:
		return 2
	case AttrType:
		return 3
	case AttrTime:
		return 4
	case AttrSubject:
		return 5
	case AttrDataSchema:
		return 6
	default:
		return extensionRank
	}
}
