// Package asyncapi describes the configuration of a gateway as an AsyncAPI 3.0 document: a channel for each stream,
// with the kinds of events that are published to it, and an operation for each producer and consumer. The schemas allow
// everything that CloudEvents allows, such as extension attributes and data of any media type, so that every event that
// the gateway stores is valid. The examples are events like those of the sources.
package asyncapi

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Version is the version of the AsyncAPI specification that the documents follow.
const Version = "3.0.0"

// Document describes a valid configuration; version is that of the gateway. The document contains no secrets: the
// addresses of sinks are without user and query. It may hold [json.RawMessage], so encode it as JSON first to get YAML.
func Document(c *gateway.Config, version string) (map[string]any, error) {
	d := document{channels: object{}, operations: object{}, messages: object{"CloudEvent": anyEvent()},
		keys: map[string]string{}}
	for i := range c.Streams {
		d.stream(c.Streams[i].Name)
	}
	for i := range c.Sources {
		if err := d.source(&c.Sources[i]); err != nil {
			return nil, fmt.Errorf("source %q: %w", c.Sources[i].Name, err)
		}
	}
	for i := range c.Subscriptions {
		d.subscription(&c.Subscriptions[i])
	}
	return object{
		"asyncapi": Version,
		"info": object{
			"title": "Streamgate", "version": version,
			"description": "CloudEvents kept in Redis Streams. POST them to the path of a stream, in binary, " +
				"structured or batched mode.",
		},
		"defaultContentType": rawevent.MediaTypeJSON,
		"servers": object{"events": object{
			"host": c.Server.Address, "protocol": "http", "description": "The event listener (server.address).",
		}},
		"channels": d.channels, "operations": d.operations,
		"components": object{"messages": d.messages, "schemas": object{"CloudEvent": cloudEvent()}},
	}, nil
}

type object = map[string]any

type document struct {
	channels, operations, messages object
	keys                           map[string]string // component keys by prefix and name
}

// ref returns a reference to a part of the document.
func ref(parts ...string) object {
	escape := strings.NewReplacer("~", "~0", "/", "~1") // RFC 6901
	for i := range parts {
		parts[i] = url.PathEscape(escape.Replace(parts[i]))
	}
	return object{"$ref": "#/" + strings.Join(parts, "/")}
}

// key returns the component key of a name. Keys consist of letters, digits, dots, dashes and underscores; names that
// differ only in other characters get different keys.
func (d *document) key(prefix, name string) string {
	if k, found := d.keys[prefix+"\n"+name]; found {
		return k
	}
	plain := prefix + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-':
			return r
		}
		return '_'
	}, name)
	k := plain
	for n := 2; d.channels[k] != nil; n++ {
		k = fmt.Sprintf("%s_%d", plain, n)
	}
	d.keys[prefix+"\n"+name] = k
	return k
}

func (d *document) stream(name string) {
	k := d.key("", name)
	d.channels[k] = object{
		"address": name, "title": "Stream " + name,
		"description": "The Redis stream " + name + ", with one event per entry.",
		"servers":     []any{ref("servers", "events")},
		"messages":    object{"CloudEvent": ref("components", "messages", "CloudEvent")},
	}
	d.operations["publish-"+k] = object{
		"action": "receive", "summary": "The gateway receives events over HTTP.",
		"channel":  ref("channels", k),
		"messages": []any{ref("channels", k, "messages", "CloudEvent")},
	}
}

func (d *document) source(block *source.Block) error {
	kinds, err := block.EventKinds()
	if err != nil || kinds == nil { // nil: the source can publish any event
		return err
	}
	stream := d.key("", block.Stream)
	channel, _ := d.channels[stream].(object)
	messages, _ := channel["messages"].(object)
	var published []any
	for i := range kinds {
		name := block.Name + "-" + kinds[i].Name // the name of a source is valid in a key
		d.messages[name] = message(&kinds[i])
		messages[name] = ref("components", "messages", name)
		published = append(published, ref("channels", stream, "messages", name))
	}
	d.operations["source-"+block.Name] = object{
		"action": "send", "summary": fmt.Sprintf("The source %s, of type %s, publishes events.", block.Name,
			block.Type),
		"channel": ref("channels", stream), "messages": published,
	}
	return nil
}

func (d *document) subscription(c *delivery.Config) {
	name := d.key("sink-", c.Name)
	channel := object{
		"title": "Sink of subscription " + c.Name, "address": c.Sink.Describe(),
		"messages": object{"CloudEvent": ref("components", "messages", "CloudEvent")},
	}
	d.channels[name] = channel
	d.operations["deliver-"+c.Name] = object{
		"action": "send", "summary": fmt.Sprintf("The subscription %s delivers the events of stream %s that pass its "+
			"filters.", c.Name, c.Stream),
		"channel": ref("channels", name), "messages": []any{ref("channels", name, "messages", "CloudEvent")},
	}
}

// message describes the events of one kind that a source publishes.
func message(kind *source.EventKind) object {
	properties := object{"type": object{"const": kind.Example.Type()}}
	if kind.AnyType {
		properties["type"] = object{"type": "string", "examples": []any{kind.Example.Type()}}
	}
	if kind.Data != nil {
		properties["data"] = kind.Data
	}
	return object{
		"name": kind.Name, "title": kind.Summary, "contentType": rawevent.MediaTypeJSON,
		"payload": object{"allOf": []any{ref("components", "schemas", "CloudEvent"),
			object{"type": "object", "properties": properties}}},
		"examples": []any{object{"name": kind.Name, "payload": json.RawMessage(kind.Example.AppendJSON(nil))}},
	}
}

// anyEvent describes the events that a stream accepts over HTTP.
func anyEvent() object {
	example := rawevent.New("1", "https://example.com/sensors/17", "com.example.measured")
	example.DataContentType, example.Data = "application/json", []byte(`{"celsius":21.5}`)
	return object{
		"name": "CloudEvent", "title": "Any CloudEvent", "contentType": rawevent.MediaTypeJSON,
		"payload":  ref("components", "schemas", "CloudEvent"),
		"examples": []any{object{"name": "CloudEvent", "payload": json.RawMessage(example.AppendJSON(nil))}},
	}
}

// cloudEvent returns the schema of an event in the JSON format. It does not mention additional members, which are
// extension attributes: with additionalProperties: false, the allOf of a message would reject every event.
func cloudEvent() object {
	text := object{"type": "string", "minLength": 1}
	return object{
		"type": "object", "required": []any{"specversion", "id", "source", "type"},
		"properties": object{
			"specversion": object{"const": "1.0"},
			"id":          text,
			"source":      object{"type": "string", "minLength": 1, "format": "uri-reference"},
			"type":        text,
			"subject":     text,
			"time":        object{"type": "string", "format": "date-time"},
			"dataschema":  object{"type": "string", "minLength": 1, "format": "uri"},
			"datacontenttype": object{
				"type": "string", "minLength": 1, "description": "A media type; the default is application/json.",
			},
			"data_base64": object{"type": "string", "contentEncoding": "base64"},
		},
		"not": object{"required": []any{"data", "data_base64"}},
	}
}
