package transform

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/streamgate/streamgate/gateway/schema"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/template"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Config changes events on their way: those of a source before they are stored, or those of a subscription after its
// filters and before its sink. What is in the stream does not change, and a dead letter is the event as it was, so that
// to redrive it changes it once and not twice.
type Config struct {
	// Set gives attributes values: templates of the event as it came, see [Placeholders]. An attribute whose value
	// comes out empty is deleted.
	Set map[string]string `mapstructure:"set"`
	// Delete takes attributes away.
	Delete []string `mapstructure:"delete"`
	// Unwrap names a member of JSON data, a/b for one of a member, that becomes the data.
	Unwrap string `mapstructure:"unwrap"`
	// Wrap names the one member of a JSON object that the data becomes: JSON as it is, text as a string, anything else
	// as a string in base64, no data as null.
	Wrap string `mapstructure:"wrap"`
	// Schemas check the data of the events as they came: one that violates a schema that is for it cannot be
	// transformed.
	Schemas []schema.Config `mapstructure:"schemas"`
}

const (
	placeholderData      = "data:"
	placeholderExtension = "extension:"
	placeholderEntry     = "entry"
	placeholderStored    = "stored"
)

// Placeholders are what the templates of a transformation may name: attributes, extensions as {extension:NAME},
// and members of JSON data as {data:MEMBER} or {data:MEMBER/MEMBER} (RFC 6901 without the first slash). Those of a
// subscription may also name {entry}, the id of the event's entry, and {stored}, the time when it was stored.
func Placeholders() []string {
	return []string{
		rawevent.AttrID, rawevent.AttrSource, rawevent.AttrType, rawevent.AttrTime, rawevent.AttrSubject,
		rawevent.AttrDataSchema, rawevent.AttrDataContentType, placeholderExtension, placeholderData,
	}
}

// EntryPlaceholders are those that only events of a stream have.
func EntryPlaceholders() []string {
	return append(Placeholders(), placeholderEntry, placeholderStored)
}

// Validate returns everything that is wrong. placeholders are what the templates may name: [Placeholders], or
// [EntryPlaceholders] for the events of a stream. It reads the files of schemas.
func (c *Config) Validate(placeholders []string) setting.Problems {
	var p setting.Problems
	if len(c.Set)+len(c.Delete)+len(c.Schemas) == 0 && c.Unwrap == "" && c.Wrap == "" {
		p.Add("", "the transformation changes nothing", "write one of set, delete, unwrap, wrap, schemas, or remove it")
	}
	_, problems := schema.CompileConfigs(c.Schemas)
	p = append(p, problems...)
	for _, name := range slices.Sorted(maps.Keys(c.Set)) {
		if !rawevent.ValidName(name) || name == "data" || name == rawevent.AttrSpecVersion {
			p.Add("set."+name, fmt.Sprintf("%q is not an attribute that can be set", name), "use lower-case letters and digits, like subject or region")
		} else if _, err := template.Parse(c.Set[name], placeholders...); err != nil {
			p.Add("set."+name, err.Error(), "write a template like {source}/{data:id}")
		}
	}
	for i, name := range c.Delete {
		key := fmt.Sprintf("delete[%d]", i)
		_, isSet := c.Set[name]
		switch {
		case !rawevent.ValidName(name) || name == "data":
			p.Add(key, fmt.Sprintf("%q is not a valid attribute name", name), "use lower-case letters and digits, like traceparent")
		case slices.Contains([]string{rawevent.AttrID, rawevent.AttrSource, rawevent.AttrType, rawevent.AttrSpecVersion}, name):
			p.Add(key, fmt.Sprintf("every event must have %s", name), "set it to something else, or leave it")
		case isSet:
			p.Add(key, fmt.Sprintf("%s is set as well", name), "keep one of set and delete")
		}
	}
	if c.Wrap != "" && c.Unwrap != "" {
		p.Add("", "the data is to be wrapped and unwrapped", "keep one of them")
	}
	return p
}

// Transform changes events. A nil one changes nothing. It is immutable and safe for concurrent use.
type Transform struct {
	schemas      *schema.Set
	set          []assignment
	remove       []string
	unwrap, wrap string
}

type assignment struct {
	name  string
	value template.Template
}

// New returns nil for nil.
func New(c *Config) (*Transform, error) {
	if c == nil {
		return nil, nil
	}
	schemas, problems := schema.CompileConfigs(c.Schemas)
	if len(problems) > 0 {
		return nil, fmt.Errorf("transform: %w", problems)
	}
	t := &Transform{schemas: schemas, remove: c.Delete, unwrap: c.Unwrap, wrap: c.Wrap}
	for _, name := range slices.Sorted(maps.Keys(c.Set)) {
		value, err := template.Parse(c.Set[name], EntryPlaceholders()...)
		if err != nil {
			return nil, fmt.Errorf("transform.set.%s: %w", name, err)
		}
		t.set = append(t.set, assignment{name, value})
	}
	return t, nil
}

var errOpaque = errors.New("the event is in a format that is not understood, and cannot be changed")

// Apply returns the changed event, which is valid, or why there is none. The given event is not changed; the data may
// be shared. entry is the id of its entry, or "".
func (t *Transform) Apply(event *rawevent.Event, entry string) (rawevent.Event, error) {
	if len(event.Attributes) == 0 {
		return rawevent.Event{}, errOpaque
	}
	if violations := t.schemas.Check(event); len(violations) > 0 {
		return rawevent.Event{}, errors.New(violations[0].String())
	}
	changed := event.Clone()
	if err := t.data(&changed); err != nil {
		return rawevent.Event{}, err
	}
	for _, name := range t.remove {
		changed.Delete(name)
	}
	for i := range t.set {
		value, err := t.set[i].value.Expand(nil, func(name string) (string, bool) { return placeholder(event, entry, name) })
		if err != nil {
			return rawevent.Event{}, fmt.Errorf("set %s: %w", t.set[i].name, err)
		}
		if changed.Delete(t.set[i].name); len(value) > 0 {
			changed.Set(t.set[i].name, string(value))
		}
	}
	if err := changed.Validate(); err != nil {
		return rawevent.Event{}, fmt.Errorf("the changed event is not valid: %w", err)
	}
	return changed, nil
}

func (t *Transform) data(e *rawevent.Event) error {
	switch {
	case t.unwrap != "":
		value, found := dataAt(e, t.unwrap)
		if !found {
			return fmt.Errorf("unwrap: the data has no member %s", t.unwrap)
		}
		e.Data, e.DataContentType = value, "application/json"
	case t.wrap != "":
		wrapped := append(rawevent.AppendJSONString([]byte{'{'}, t.wrap), ':')
		switch {
		case e.Data == nil:
			wrapped = append(wrapped, "null"...)
		case rawevent.IsJSON(e.DataContentType) && json.Valid(e.Data):
			wrapped = append(wrapped, e.Data...)
		case utf8.Valid(e.Data):
			wrapped = rawevent.AppendJSONString(wrapped, string(e.Data))
		default:
			wrapped = append(base64.StdEncoding.AppendEncode(append(wrapped, '"'), e.Data), '"')
		}
		wrapped = append(wrapped, '}')
		e.Data, e.DataContentType = wrapped, "application/json"
	}
	return nil
}

// dataAt returns the JSON text at a path into JSON data.
func dataAt(e *rawevent.Event, path string) ([]byte, bool) {
	at := rawevent.Event{DataContentType: e.DataContentType, Data: e.Data}
	for step := range strings.SplitSeq(path, "/") {
		value, found := at.DataValue(strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
		if !found {
			return nil, false
		}
		at = rawevent.Event{DataContentType: "application/json", Data: value}
	}
	return at.Data, true
}

func placeholder(e *rawevent.Event, entry, name string) (string, bool) {
	switch name {
	case placeholderEntry:
		return entry, entry != ""
	case placeholderStored:
		stored, ok := redisstreams.EntryTime(entry)
		return stored.Format(redisstreams.TimeFormat), ok
	}
	if path, ok := strings.CutPrefix(name, placeholderData); ok {
		value, found := dataAt(e, path)
		if !found || string(value) == "null" {
			return "", false
		}
		var text string
		if value[0] == '"' && json.Unmarshal(value, &text) == nil {
			return text, true
		}
		return string(value), true
	}
	name = strings.TrimPrefix(name, placeholderExtension)
	return e.Attribute(name)
}
