package stac

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/template"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// EventConfig says what the events of a source look like. Type, Source, Subject, Producer and the values of Extensions
// are templates, see [template.Parse], of collection, id, operation (create, update or delete), href, api, producer,
// datetime, stacVersion and property:NAME.
type EventConfig struct {
	// Producer is the member producer of the data; default streamgate.
	Producer string `mapstructure:"producer"`
	// Profile is what the data holds: link (default: a link to the item), origin (exactly href and producer), summary
	// (the item's footprint and main properties), or item (the item as the server gave it).
	Profile string `mapstructure:"profile"`
	// Type is the type of the events of items; default org.ogc.api.collection.item.{operation}.
	Type string `mapstructure:"type"`
	// Source is their source; default {api}/collections/{collection|urlpath}.
	Source string `mapstructure:"source"`
	// Subject is the subject of the events of items; default {href}.
	Subject string `mapstructure:"subject"`
	// IDScope says which events share an id: item (default), those of the same state of the same item, whichever source
	// finds it; or source, only those that the same source makes of it.
	IDScope string `mapstructure:"idScope"`
	// Extensions are additional attributes. One whose value is empty is left out, as is one that needs a property of an
	// item in the event of a collection or of a deleted item.
	Extensions []ExtensionConfig `mapstructure:"extensions"`
	// Assets are keys or roles of the assets that the profile summary keeps; * stands for any characters. Default:
	// none.
	Assets []string `mapstructure:"assets"`
	// Properties are those that the profile summary keeps, in place of a list of common ones; * stands for any
	// characters.
	Properties []string `mapstructure:"properties"`
	// RewriteSelf says whether the address of an item is derived from url instead of the item's own link: never
	// (default), or api (always), for a server whose links name a host that others cannot reach.
	RewriteSelf string `mapstructure:"rewriteSelf"`
}

// ExtensionConfig is one additional attribute.
type ExtensionConfig struct {
	// Name is up to 20 lower-case letters and digits.
	Name string `mapstructure:"name"`
	// Value is a template.
	Value string `mapstructure:"value"`
}

const (
	scopeItem, scopeSource    = "item", "source"
	rewriteNever, rewriteSelf = "never", "api"

	defaultType    = "org.ogc.api.collection.item.{operation}"
	defaultSource  = "{api}/collections/{collection|urlpath}"
	defaultSubject = "{href}"

	maxPatterns   = 100
	maxExtensions = 32
)

func newEventConfig() EventConfig {
	return EventConfig{Producer: "streamgate", Profile: profileLink, IDScope: scopeItem, RewriteSelf: rewriteNever}
}

// templates are the parsed templates of an EventConfig.
type templates struct {
	eventType, source, subject, producer template.Template
	extensions                           []template.Template // as in the configuration
}

// isWhole reports whether the data is a document and not only a link to it.
func (c *EventConfig) isWhole() bool { return c.Profile == profileSummary || c.Profile == profileItem }

func placeholders() []string {
	return []string{"collection", "id", "operation", "href", "api", "datetime", "stacVersion", "property:", "producer"}
}

// parse returns the templates, and what is wrong with them.
func (c *EventConfig) parse() (t templates, p setting.Problems) {
	parse := func(path, text, otherwise string, names []string) template.Template {
		if text == "" {
			text = otherwise
		}
		parsed, err := template.Parse(text, names...)
		if err != nil {
			p.Add(path, err.Error(), "correct the placeholder, or leave the key out for the default")
		}
		return parsed
	}
	all := placeholders()
	t.eventType = parse("type", c.Type, defaultType, all)
	t.source = parse("source", c.Source, defaultSource, all)
	t.subject = parse("subject", c.Subject, defaultSubject, all)
	t.producer = parse("producer", c.Producer, "", all[:len(all)-1]) // a producer does not name itself
	for i, e := range c.Extensions {
		t.extensions = append(t.extensions, parse(fmt.Sprintf("extensions[%d].value", i), e.Value, "", all))
	}
	return t, p
}

func (c *EventConfig) validate() setting.Problems {
	t, p := c.parse()
	if len(p) == 0 {
		c.tryAttributes(&t, &p)
	}
	for _, choice := range []struct {
		path, value, what string
		allowed           []string
	}{
		{"profile", c.Profile, "profile", profiles()},
		{"idScope", c.IDScope, "scope", []string{scopeItem, scopeSource}},
		{"rewriteSelf", c.RewriteSelf, "value", []string{rewriteNever, rewriteSelf}},
	} {
		if !slices.Contains(choice.allowed, choice.value) {
			p.Add(choice.path, fmt.Sprintf("%q is not a valid %s", choice.value, choice.what),
				"write one of "+strings.Join(choice.allowed, ", "))
		}
	}
	c.validateExtensions(&p)
	validatePatterns(&p, "assets", c.Assets, "data")
	validatePatterns(&p, "properties", c.Properties, "eo:*")
	return p
}

// tryAttributes finds what is wrong for every item, such as a control character in the text of a template.
func (c *EventConfig) tryAttributes(t *templates, p *setting.Problems) {
	for _, attribute := range []struct {
		name, path, text string
		template         template.Template
	}{
		{rawevent.AttrType, "type", c.Type, t.eventType},
		{rawevent.AttrSource, "source", c.Source, t.source},
		{rawevent.AttrSubject, "subject", c.Subject, t.subject},
	} {
		value, err := attribute.template.Expand(nil, func(name string) (string, bool) { return "x", true })
		e := rawevent.New("id", "/source", "type")
		e.Set(attribute.name, string(value))
		if err == nil {
			err = e.Validate()
		}
		if err != nil {
			p.Add(attribute.path, fmt.Sprintf("%q is not a valid %s of a CloudEvent", attribute.text, attribute.name),
				attributeRemedy(attribute.name))
		}
	}
}

func attributeRemedy(name string) string {
	switch name {
	case rawevent.AttrType:
		return "write a name like com.example.item.created, without control characters"
	case rawevent.AttrSource:
		return "write a URI like https://example.com/collections/{collection|urlpath}"
	default:
		return "write a text like {collection}/{id}, without control characters"
	}
}

// reserved lists the attributes that every event has.
func reserved() []string {
	return []string{
		"specversion", "id", "source", "type", "time", "subject", "dataschema", "datacontenttype", "data",
		"collection", "datetime", "partitionkey", "recordedtime", "backfill",
	}
}

func (c *EventConfig) validateExtensions(p *setting.Problems) {
	if len(c.Extensions) > maxExtensions {
		p.Add("extensions", fmt.Sprintf("there are %d attributes, more than %d", len(c.Extensions), maxExtensions),
			"keep only metadata here; put the rest into the data")
	}
	valid := regexp.MustCompile(`^[a-z0-9]{1,20}$`)
	for i, e := range c.Extensions {
		at := fmt.Sprintf("extensions[%d].name", i)
		isSame := func(other ExtensionConfig) bool { return other.Name == e.Name }
		switch {
		case !valid.MatchString(e.Name):
			p.Add(at, fmt.Sprintf("%q is not a valid attribute name", e.Name),
				"write up to 20 lower-case letters and digits, like cloudcover")
		case slices.Contains(reserved(), e.Name):
			p.Add(at, fmt.Sprintf("the attribute %q is reserved: every event has it", e.Name), "choose another name")
		case slices.ContainsFunc(c.Extensions[:i], isSame):
			p.Add(at, fmt.Sprintf("the attribute %q is a duplicate", e.Name), "name each attribute once")
		}
		if e.Value == "" {
			p.Add(fmt.Sprintf("extensions[%d].value", i), "the value is missing", "write a text like {property:eo:cloud_cover?}")
		}
	}
}

func validatePatterns(p *setting.Problems, path string, patterns []string, example string) {
	if len(patterns) > maxPatterns {
		p.Add(path, fmt.Sprintf("there are %d names, more than %d", len(patterns), maxPatterns), "use * for any characters")
	}
	for i, pattern := range patterns {
		if pattern == "" || slices.Contains(patterns[:i], pattern) {
			p.Add(fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("%q is empty or a duplicate", pattern),
				"write each name once, like "+example)
		}
	}
}
