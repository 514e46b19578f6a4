package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// kind is a type of the CloudEvents type system.
type kind string

const (
	kindString    kind = "string"
	kindBoolean   kind = "boolean"
	kindInteger   kind = "integer"
	kindBinary    kind = "binary"
	kindURI       kind = "uri"
	kindURIRef    kind = "uriref"
	kindTimestamp kind = "timestamp"
)

// attribute has its value as canonical string. A writer gives its SDK a value of the kind.
type attribute struct {
	Name  string `json:"name"`
	Kind  kind   `json:"kind"`
	Value string `json:"value"`
}

// expectation is an event as both sides have to see it, and how it is to be written.
type expectation struct {
	Name       string      `json:"name"` // of the case, for messages
	Structured bool        `json:"structured"`
	SDK        bool        `json:"sdk"` // Go writes it with its SDK
	Attributes []attribute `json:"attributes"`
	Data       []byte      `json:"data_base64,omitzero"` // absent: no data; "": data of length 0
}

// raw returns the event without any SDK.
func (e *expectation) raw() rawevent.Event {
	event := rawevent.Event{Data: e.Data}
	for _, a := range e.Attributes {
		event.Set(a.Name, a.Value)
	}
	return event
}

// forSDK reports whether the Go SDK can write the event as it is. It trims white space from attributes of the core and
// takes data of length 0 for none; in structured mode it also knows no suffix +json, and writes JSON without white
// space.
func (e *expectation) forSDK() bool {
	event := e.raw()
	for _, a := range event.Attributes {
		if strings.TrimSpace(a.Value) != a.Value {
			return false
		}
	}
	switch mediaType := event.DataContentType; {
	case e.Data == nil:
		return true
	case !e.Structured || !rawevent.IsJSON(mediaType):
		return len(e.Data) > 0
	default:
		compact, err := json.Marshal(json.RawMessage(e.Data))
		return err == nil && bytes.Equal(compact, e.Data) && !strings.Contains(mediaType, "+json")
	}
}

// sdkEvent returns the event as one of the SDK, with values of Go types.
func (e *expectation) sdkEvent() (event.Event, error) {
	out := event.New()
	for _, a := range e.Attributes {
		if err := setAttribute(&out, a); err != nil {
			return event.Event{}, fmt.Errorf("attribute %s: %w", a.Name, err)
		}
	}
	out.DataEncoded = e.Data
	out.DataBase64 = !rawevent.IsJSON(out.DataContentType()) // what stands for text in JSON is the SDK's own matter
	return out, out.Validate()
}

func setAttribute(out *event.Event, a attribute) error {
	switch a.Name {
	case rawevent.AttrSpecVersion:
	case rawevent.AttrID:
		out.SetID(a.Value)
	case rawevent.AttrSource:
		out.SetSource(a.Value)
	case rawevent.AttrType:
		out.SetType(a.Value)
	case rawevent.AttrSubject:
		out.SetSubject(a.Value)
	case rawevent.AttrDataSchema:
		out.SetDataSchema(a.Value)
	case rawevent.AttrDataContentType:
		out.SetDataContentType(a.Value)
	case rawevent.AttrTime:
		at, err := time.Parse(time.RFC3339Nano, a.Value)
		out.SetTime(at)
		return err
	default:
		value, err := a.native()
		out.SetExtension(a.Name, value)
		return err
	}
	return nil
}

// native returns the value as what the SDK has for its kind.
func (a attribute) native() (any, error) {
	switch a.Kind {
	case kindString:
		return a.Value, nil
	case kindBoolean:
		return strconv.ParseBool(a.Value)
	case kindInteger:
		n, err := strconv.ParseInt(a.Value, 10, 32)
		return int32(n), err
	case kindBinary:
		return base64.StdEncoding.DecodeString(a.Value)
	case kindURI:
		return types.ParseURI(a.Value), nil
	case kindURIRef:
		return types.ParseURIRef(a.Value), nil
	case kindTimestamp:
		return types.ParseTimestamp(a.Value)
	default:
		return nil, fmt.Errorf("unknown kind %q", a.Kind)
	}
}
