package layout

import (
	"fmt"
	"slices"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// FieldRules map the fields of a flat entry to attributes, for the layout [Fields]. Each value is the name of a field;
// empty means that no field holds the attribute. A missing or empty field gives no attribute; required attributes are
// then added as documented at [Layout]. A value that is not allowed for its attribute, like a Time that is not in RFC
// 3339, makes the entry malformed, and so does a field that occurs twice.
type FieldRules struct {
	ID, Source, Type, Subject, Time, DataSchema string
	// DataContentType is the field with the media type of the data. It requires Data.
	DataContentType string
	// Data is the field whose value is the data, byte for byte; an entry without it is not of this layout, and the
	// remaining fields are ignored.
	//
	// If Data is empty, the data is a JSON object of the fields that hold no attribute, in their order, as strings. A
	// value that is not UTF-8 is written in base64, under the name with the suffix _base64. Bytes of a name that are
	// not UTF-8 become U+FFFD. If two members get the same name, the entry is malformed.
	Data string
	// Extensions are the fields that become extension attributes.
	Extensions []FieldExtension
}

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

func (r *FieldRules) given() bool { return len(r.all()) > 0 || r.Data != "" }

func (r *FieldRules) check() error {
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
	var event rawevent.Event
	for _, rule := range l.rules {
		value, _, err := onlyField(e, rule.field)
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
	l.complete(e, &event)
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
			event.DataContentType = l.config.DataContentType
		}
		return nil
	}
	return setFieldsJSON(e, event, func(field string) bool {
		return slices.ContainsFunc(l.rules, func(rule fieldRule) bool { return rule.field == field })
	})
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
