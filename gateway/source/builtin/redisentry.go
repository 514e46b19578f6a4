package builtin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/streamgate/streamgate/gateway/foreign"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/template"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
	"github.com/streamgate/streamgate/protocol/redisstreams/layout"
)

// RedisFieldsConfig says what the fields of an entry are that no known program wrote. Attributes are names of fields,
// or paths to members of the JSON object in a field, like data.task_id.
type RedisFieldsConfig struct {
	// Event is the field that holds a CloudEvent in JSON.
	Event string `mapstructure:"event"`
	// Data is the field that holds the data. By default the data is a JSON object of the fields that hold no attribute.
	Data string `mapstructure:"data"`
	// DataContentType is the field with the media type of the data.
	DataContentType string `mapstructure:"dataContentType"`
	// ID, Source, Type, Subject, Time and DataSchema hold the attributes of these names. By default the field subject
	// holds the subject where the data is an object of fields.
	ID         string `mapstructure:"id"`
	Source     string `mapstructure:"source"`
	Type       string `mapstructure:"type"`
	Subject    string `mapstructure:"subject"`
	Time       string `mapstructure:"time"`
	DataSchema string `mapstructure:"dataSchema"`
	// Extensions hold extension attributes.
	Extensions []RedisExtensionConfig `mapstructure:"extensions"`
	// JSON are fields with JSON that becomes part of the data as it is, not as a string; "*" is every field.
	JSON []string `mapstructure:"json"`
	// Base64 are fields to decode first; "*" is every field.
	Base64 []string `mapstructure:"base64"`
}

// RedisExtensionConfig names the field that holds an extension attribute; by default it has the name of the attribute.
type RedisExtensionConfig struct {
	Name  string `mapstructure:"name"`
	Field string `mapstructure:"field"`
}

func (c *RedisFieldsConfig) given() bool {
	return len(c.Extensions)+len(c.JSON)+len(c.Base64) > 0 || c.Event+c.Data+c.DataContentType+c.ID+c.Source+c.Type+
		c.Subject+c.Time+c.DataSchema != ""
}

// rules are those of the layout fields.
func (c *RedisFieldsConfig) rules() layout.FieldRules {
	r := layout.FieldRules{
		ID: c.ID, Source: c.Source, Type: c.Type, Subject: c.Subject, Time: c.Time, DataSchema: c.DataSchema,
		Event: c.Event, Data: c.Data, DataContentType: c.DataContentType, JSON: c.JSON, Base64: c.Base64,
	}
	if r.Event == "" && r.Data == "" && r.Subject == "" {
		r.Subject = rawevent.AttrSubject // as the notebook's readers know it
	}
	for _, extension := range c.Extensions {
		r.Extensions = append(r.Extensions, layout.FieldExtension(extension))
	}
	return r
}

// checkFields adds what is wrong with the keys fields and validation.
func (c *RedisConfig) checkFields(p *setting.Problems) {
	if c.Validation != "strict" && c.Validation != "lenient" {
		p.Add("validation", fmt.Sprintf("%q is not a validation", c.Validation), "write strict or lenient")
	}
	if !c.Fields.given() {
		return
	}
	switch {
	case c.Channel != "" && c.From != "": // reported already
	case c.Channel != "":
		p.Add("fields", "the messages of a channel have no fields", "remove fields, or read a stream")
	case c.Layout == layout.RedpandaConnect && c.Fields.Data != "":
		rest := c.Fields
		rest.Data = ""
		if rest.given() {
			p.Add("fields", "the layout redpanda-connect takes only the field of the data", "keep only fields.data")
		}
	case c.Layout != layout.Auto && c.Layout != layout.Fields:
		p.Add("fields", fmt.Sprintf("the layout %s has fields of its own", c.Layout), "remove fields, or write layout: fields")
	default:
		if _, err := layout.New(layout.Config{Name: layout.Fields, Fields: c.Fields.rules()}); err != nil {
			p.Add("fields", strings.TrimPrefix(err.Error(), "layout: "), "see docs/sources.md#fields")
		}
	}
}

// attributeTemplate gives an attribute to events that lack it.
type attributeTemplate struct {
	attribute string
	text      template.Template
}

// templates returns those of the event. A type or source without a placeholder is not among them: it is a default of
// the layout, which checks it.
func (c *RedisConfig) templates() ([]attributeTemplate, error) {
	names := []string{"field:", "data:", "stream", "entryId"}
	if c.Channel != "" {
		names = []string{"data:", "channel"}
	}
	var list []attributeTemplate
	for _, of := range []struct{ attribute, text string }{
		{rawevent.AttrID, c.Event.ID}, {rawevent.AttrSource, c.Event.Source},
		{rawevent.AttrType, c.Event.Type}, {rawevent.AttrSubject, c.Event.Subject},
	} {
		fixed := of.attribute == rawevent.AttrSource || of.attribute == rawevent.AttrType
		if of.text == "" || fixed && !strings.Contains(of.text, "{") {
			continue
		}
		text, err := template.Parse(of.text, names...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", of.attribute, err)
		}
		list = append(list, attributeTemplate{of.attribute, text})
	}
	return list, nil
}

// expand sets the attributes that the event lacks and that templates give.
func expand(list []attributeTemplate, e *redisstreams.Entry, event *rawevent.Event) error {
	lookup := func(name string) (string, bool) {
		kind, argument, _ := strings.Cut(name, ":")
		switch kind {
		case "field":
			return e.Field(argument)
		case "data":
			return event.DataMember(argument)
		case "entryId":
			return e.ID, true
		default: // stream or channel
			return e.Stream, true
		}
	}
	for _, t := range list {
		if _, found := event.Attribute(t.attribute); found {
			continue
		}
		value, err := t.text.Expand(nil, lookup)
		if err != nil {
			return fmt.Errorf("event.%s: %w", t.attribute, err)
		}
		if len(value) > 0 {
			event.Set(t.attribute, string(value))
		}
	}
	return nil
}

// layout returns the layout of that name for what this source reads.
func (c *RedisConfig) layout(name string) (*layout.Layout, error) {
	list, err := c.templates()
	if err != nil {
		return nil, err
	}
	l := layout.Config{
		Name: name, Source: c.Event.Source, Type: c.Event.Type, DataContentType: c.Event.DataContentType,
		Lenient: c.Validation == "lenient",
	}
	for _, t := range list {
		switch t.attribute { // an empty result of the template gives the default of the layout
		case rawevent.AttrSource:
			l.Source = ""
		case rawevent.AttrType:
			l.Type = ""
		}
	}
	if len(list) > 0 {
		l.Complete = func(e *redisstreams.Entry, event *rawevent.Event) error { return expand(list, e, event) }
	}
	switch name {
	case layout.Fields:
		l.Fields = c.Fields.rules()
	case layout.RedpandaConnect:
		l.BodyField = c.Fields.Data
	}
	return layout.New(l)
}

// tidy returns the entry with the JSON in the fields that the configuration names as JSON, as other programs write it,
// in strict JSON: without a byte order mark, in UTF-8, with null for NaN. What cannot be read stays as it is.
func (c *RedisConfig) tidy(e *redisstreams.Entry) *redisstreams.Entry {
	names := c.Fields.JSON
	if c.Fields.Event != "" {
		names = []string{c.Fields.Event}
	}
	if len(names) == 0 {
		return e
	}
	var tidied *redisstreams.Entry
	for i := 0; i+1 < len(e.Fields); i += 2 {
		value := e.Fields[i+1]
		if !slices.Contains(names, e.Fields[i]) && !slices.Contains(names, "*") || !oddJSON(value) {
			continue
		}
		text, err := foreign.ReadJSON(strings.NewReader(value), foreign.Options{JSON: true, NonFinite: foreign.NullNonFinite})
		if err != nil {
			continue
		}
		if tidied == nil {
			tidied = &redisstreams.Entry{Stream: e.Stream, ID: e.ID, Fields: slices.Clone(e.Fields)}
		}
		tidied.Fields[i+1] = string(text.Bytes)
	}
	if tidied == nil {
		return e
	}
	return tidied
}

// oddJSON reports whether a text may be JSON in a form that strict readers refuse: an object, an array or a string that
// is not valid, or one that begins with a byte order mark. Plain text and numbers are not worth a second attempt.
func oddJSON(text string) bool {
	start := strings.TrimLeft(text, " \t\r\n")
	for _, prefix := range [...]string{"{", "[", `"`, "\ufeff", "\xff\xfe", "\xfe\xff"} {
		if strings.HasPrefix(start, prefix) {
			return !json.Valid([]byte(text))
		}
	}
	return false
}
