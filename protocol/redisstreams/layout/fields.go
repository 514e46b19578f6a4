package layout

import (
	"fmt"
	"slices"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// FieldRules map the fields of a flat entry to attributes, for the layout [Fields]. Each value of an attribute is the
// name of a field, or, if the entry has no such field, the name of a field, a dot, and the path to a member of the JSON
// object in it: data.task.id. Empty means that no field holds the attribute. A missing or empty value gives no
// attribute; required attributes are then added as documented at [Layout]. A value that is not allowed for its
// attribute, like a Time that is not in RFC 3339, makes the entry malformed, and so does a field that occurs twice.
type FieldRules struct {
	ID, Source, Type, Subject, Time, DataSchema string
	// Event is the field that holds a CloudEvent in JSON, which is the event; an entry without it is not of this
	// layout. Of the other rules only Extensions and Base64 are possible then. An extension that the event has already
	// stays as it is.
	Event string
	// DataContentType is the field with the media type of the data. It requires Data.
	DataContentType string
	// Data is the field whose value is the data, byte for byte; an entry without it is not of this layout, and the
	// remaining fields are ignored.
	//
	// If Data is empty, the data is a JSON object of the fields that hold no attribute, in their order, as strings. A
	// value that is not UTF-8 is written in base64, under the name with the suffix _base64. Bytes of a name that are
	// not UTF-8 become U+FFFD. If two members get the same name, the entry is malformed.
	Data string
	// JSON names fields that hold JSON, which becomes a member as it is instead of a string. A value that is not JSON
	// stays a string. It excludes Data. "*" is every field.
	JSON []string
	// Base64 names fields that are decoded before anything else reads them: base64, or a JSON string of base64, as
	// Spring Data Redis writes values with a JSON serializer. Any other value makes the entry malformed. "*" is every
	// field.
	Base64 []string
	// Extensions are the fields that become extension attributes.
	Extensions []FieldExtension
}

// every stands for all fields in the lists of [FieldRules].
const every = "*"

// FieldExtension maps a field to an extension attribute.
type FieldExtension struct {
	// Name is the name of the attribute: at most 64 lower-case letters and digits.
	Name string
	// Field is the name of the field; default Name.
	Field string
}

func (f FieldExtension) field() string {
	if f.Field == "" {
		return f.Name
	}
	return f.Field
}

// fieldRule maps a field to an attribute.
type fieldRule struct{ attribute, field string }

// all returns the rules that are set.
func (r *FieldRules) all() []fieldRule {
	rules := make([]fieldRule, 0, 7+len(r.Extensions))
	for _, rule := range [...]fieldRule{
		{rawevent.AttrID, r.ID},
		{rawevent.AttrSource, r.Source},
		{rawevent.AttrType, r.Type},
		{rawevent.AttrSubject, r.Subject},
		{rawevent.AttrTime, r.Time},
		{rawevent.AttrDataSchema, r.DataSchema},
		{rawevent.AttrDataContentType, r.DataContentType},
	} {
		if rule.field != "" {
			rules = append(rules, rule)
		}
	}
	for _, extension := range r.Extensions {
		rules = append(rules, fieldRule{extension.Name, extension.field()})
	}
	return rules
}

func (r *FieldRules) given() bool {
	return len(r.all()) > 0 || r.Data != "" || r.Event != "" || len(r.JSON) > 0 || len(r.Base64) > 0
}

func (r *FieldRules) check() error {
	if r.Event != "" && (r.Data != "" || len(r.JSON) > 0 || len(r.all()) > len(r.Extensions)) {
		return fmt.Errorf("layout: the field %q holds the whole event; set only Extensions and Base64 beside Event", r.Event)
	}
	if r.Data != "" && len(r.JSON) > 0 {
		return fmt.Errorf("layout: the data is the field %q alone, so that no members of it can be JSON; set Data or JSON", r.Data)
	}
	if r.DataContentType != "" && r.Data == "" {
		return fmt.Errorf("layout: the field %q can hold the media type of the data only if a field holds the data; set Data",
			r.DataContentType)
	}
	seen := map[string]bool{}
	for _, extension := range r.Extensions {
		switch name := extension.Name; {
		case !rawevent.ValidName(name) || len(name) > maxExtensionName || reservedName(name):
			return fmt.Errorf("layout: %q is not a valid name for an extension; use up to %d lower-case letters and digits, "+
				"and not a name that the specification defines", name, maxExtensionName)
		case seen[name]:
			return fmt.Errorf("layout: two fields for the extension %q", name)
		default:
			seen[name] = true
		}
	}
	return nil
}

func (l *Layout) fields(e *redisstreams.Entry) (rawevent.Event, error) {
	e, err := l.decodeFields(e)
	if err != nil {
		return rawevent.Event{}, err
	}
	if l.config.Fields.Event != "" {
		return l.fieldsEvent(e)
	}
	var event rawevent.Event
	for _, rule := range l.rules {
		value, err := fieldOrMember(e, rule.field)
		if err != nil {
			return rawevent.Event{}, err
		}
		if value != "" {
			event.Set(rule.attribute, value)
		}
	}
	if rawevent.ModeOf(event.DataContentType) != rawevent.Binary {
		return rawevent.Event{}, e.Reject(redisstreams.ErrMalformed,
			"its content type is that of an encoded event, which this layout does not read")
	}
	if err := l.setFieldsData(e, &event); err != nil {
		return rawevent.Event{}, err
	}
	if err := l.complete(e, &event); err != nil {
		return rawevent.Event{}, err
	}
	return validEvent(e, &event)
}

// fieldsEvent reads the event that one field holds.
func (l *Layout) fieldsEvent(e *redisstreams.Entry) (rawevent.Event, error) {
	text, err := requiredField(e, l.config.Fields.Event)
	if err != nil {
		return rawevent.Event{}, err
	}
	event, err := jsonEvent(text, l.config.Lenient)
	if err != nil {
		return rawevent.Event{}, e.Reject(redisstreams.ErrMalformed,
			fmt.Sprintf("the field %q: %v", l.config.Fields.Event, err))
	}
	for _, rule := range l.rules {
		value, err := fieldOrMember(e, rule.field)
		if err != nil {
			return rawevent.Event{}, err
		}
		if _, taken := event.Attribute(rule.attribute); !taken && value != "" {
			event.Set(rule.attribute, value)
		}
	}
	return validEvent(e, &event)
}

func (l *Layout) setFieldsData(e *redisstreams.Entry, event *rawevent.Event) error {
	if field := l.config.Fields.Data; field != "" {
		value, err := requiredField(e, field)
		if err != nil {
			return err
		}
		event.Data = bytesOf(value)
		if event.DataContentType == "" {
			event.DataContentType = l.dataType(event.Data)
		}
		return nil
	}
	err := setFieldsJSON(e, event, func(field string) bool {
		return slices.ContainsFunc(l.rules, func(rule fieldRule) bool { return rule.field == field })
	})
	if err == nil && len(l.config.Fields.JSON) > 0 {
		event.Data = unfold(event.Data, l.config.Fields.JSON)
	}
	return err
}

// setFieldsJSON makes the data a JSON object of the fields that are not left out.
func setFieldsJSON(e *redisstreams.Entry, event *rawevent.Event, leftOut func(field string) bool) error {
	object, twice := e.FieldsJSON(leftOut)
	if twice != "" {
		return e.Reject(redisstreams.ErrMalformed, fmt.Sprintf("the field %q occurs twice", twice))
	}
	event.DataContentType, event.Data = "application/json", object
	return nil
}
