package asyncapi_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/asyncapi"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/ingress"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stac"
	"github.com/streamgate/streamgate/gateway/stream"
)

type object = map[string]any

// generate returns the document of a gateway with sources of every profile, decoded from its JSON.
func generate(t *testing.T) object {
	t.Helper()
	c := gateway.Config{Server: ingress.NewConfig()}
	for _, name := range []string{"STREAM", "a:b", "a/b", "sink-one"} {
		stream := stream.NewConfig()
		stream.Name = name
		c.Streams = append(c.Streams, stream)
	}
	for _, profile := range []string{"link", "origin", "summary", "item"} {
		config := stac.NewConfig()
		config.URL, config.Collections, config.Event.Profile = "https://stac.example.com/v1?key=secret", []string{"c"},
			profile
		c.Sources = append(c.Sources, source.Block{Name: "stac-" + profile, Type: "stac", Stream: "a:b",
			Config: config})
	}
	subscription := delivery.NewConfig()
	subscription.Name, subscription.Stream, subscription.Sink.URI = "one", "a/b",
		"https://user:secret@sink.example.com/x?key=secret"
	c.Subscriptions = append(c.Subscriptions, subscription)
	document, err := asyncapi.Document(&c, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "secret") {
		t.Error("the document contains a secret")
	}
	var plain object
	if err := json.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	return plain
}

// TestExamplesAreValid: the examples of the document are valid by its schemas, and events that break a rule are not.
func TestExamplesAreValid(t *testing.T) {
	t.Parallel()
	document := generate(t)
	messages := document["components"].(object)["messages"].(object)
	if len(messages) != 9 { // any event, and two kinds for each source
		t.Errorf("found %d messages", len(messages))
	}
	for name, m := range messages {
		payload := m.(object)["payload"]
		for _, example := range m.(object)["examples"].([]any) {
			event := example.(object)["payload"].(object)
			if err := valid(document, payload, event); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			event["extension"] = "any"
			if err := valid(document, payload, event); err != nil {
				t.Errorf("%s with an extension attribute: %v", name, err)
			}
			for _, required := range []string{"id", "source", "type", "specversion"} {
				value := event[required]
				delete(event, required)
				if valid(document, payload, event) == nil {
					t.Errorf("%s is valid without %s", name, required)
				}
				event[required] = value
			}
			if event["data"] = 1.5; name != "CloudEvent" && valid(document, payload, event) == nil {
				t.Errorf("%s is valid with a number as data", name)
			}
		}
	}
}

// TestReferences: every reference resolves, and the messages of an operation are those of its channel (AsyncAPI 3.0,
// Operation Object).
func TestReferences(t *testing.T) {
	t.Parallel()
	document := generate(t)
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case object:
			if ref, ok := v["$ref"].(string); ok {
				if _, err := resolve(document, ref); err != nil {
					t.Errorf("%s: %v", path, err)
				}
			}
			for name := range v {
				walk(path+"/"+name, v[name])
			}
		case []any:
			for i := range v {
				walk(fmt.Sprintf("%s/%d", path, i), v[i])
			}
		}
	}
	walk("", document)
	operations := document["operations"].(object)
	if len(operations) != 4+4+1 {
		t.Errorf("found %d operations", len(operations))
	}
	if n := len(document["channels"].(object)); n != 5 {
		t.Errorf("found %d channels", n)
	}
	for name, o := range operations {
		operation := o.(object)
		if action := operation["action"]; action != "send" && action != "receive" {
			t.Errorf("%s: action %v", name, action)
		}
		channel := operation["channel"].(object)["$ref"].(string)
		for _, m := range operation["messages"].([]any) {
			if ref := m.(object)["$ref"].(string); !strings.HasPrefix(ref, channel+"/messages/") {
				t.Errorf("%s: the message %s is not of channel %s", name, ref, channel)
			}
		}
	}
	info := document["info"].(object)
	if document["asyncapi"] != "3.0.0" || info["title"] == "" || info["version"] != "1.2.3" {
		t.Errorf("asyncapi %v, info %v", document["asyncapi"], info)
	}
}

func resolve(document object, ref string) (any, error) {
	var at any = document
	for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		name, err := url.PathUnescape(part)
		if err != nil {
			return nil, err
		}
		inside, ok := at.(object)
		if at = inside[name]; !ok || at == nil {
			return nil, fmt.Errorf("%s does not resolve", ref)
		}
	}
	return at, nil
}

// valid checks a value by the keywords of JSON Schema that the documents use.
func valid(document object, schema, value any) error {
	s := schema.(object)
	if ref, ok := s["$ref"].(string); ok {
		target, err := resolve(document, ref)
		if err != nil {
			return err
		}
		return valid(document, target, value)
	}
	if want, ok := s["const"]; ok && want != value {
		return fmt.Errorf("%v is not %v", value, want)
	}
	if types := s["type"]; types != nil && !hasType(types, value) {
		return fmt.Errorf("%v is not a %v", value, types)
	}
	if text, ok := value.(string); ok && s["minLength"] != nil && text == "" {
		return fmt.Errorf("an empty string")
	}
	members, _ := value.(object)
	for _, name := range list(s["required"]) {
		if _, ok := members[name.(string)]; !ok {
			return fmt.Errorf("%s is missing", name)
		}
	}
	properties, _ := s["properties"].(object)
	for name, member := range members {
		if properties[name] != nil {
			if err := valid(document, properties[name], member); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	for _, part := range list(s["allOf"]) {
		if err := valid(document, part, value); err != nil {
			return err
		}
	}
	if parts := list(s["anyOf"]); parts != nil && !slices.ContainsFunc(parts, func(part any) bool {
		return valid(document, part, value) == nil
	}) {
		return fmt.Errorf("%v matches none of the alternatives", value)
	}
	if not := s["not"]; not != nil && valid(document, not, value) == nil {
		return fmt.Errorf("%v matches a schema that it must not match", value)
	}
	return nil
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func hasType(types, value any) bool {
	names := list(types)
	if names == nil {
		names = []any{types}
	}
	var name string
	switch value.(type) {
	case object:
		name = "object"
	case []any:
		name = "array"
	case string:
		name = "string"
	case float64:
		name = "number"
	case nil:
		name = "null"
	}
	return slices.Contains(names, any(name))
}
