package layout

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

const (
	daprData     = "data"
	daprMetadata = "metadata"
)

// ownedByDapr: many programs write data, with or without metadata. The entry is Dapr's if metadata is a JSON object of
// strings and either data holds an event with the two extensions that Dapr adds to every event, or metadata marks the
// data as a raw payload, as Dapr's does whenever one is published.
func ownedByDapr(e *redisstreams.Entry) bool {
	if !hasExactly(e, daprData) && !hasExactly(e, daprData, daprMetadata) {
		return false
	}
	if text, found := e.Field(daprMetadata); found {
		var metadata map[string]string
		if json.Unmarshal([]byte(text), &metadata) != nil {
			return false
		}
		for name, value := range metadata {
			if raw, err := strconv.ParseBool(value); err == nil && raw && strings.EqualFold(name, "rawPayload") {
				return true
			}
		}
	}
	data, _ := e.Field(daprData)
	members := objectMembers(data)
	return hasMember(members, rawevent.AttrSpecVersion) && hasMember(members, "topic") && hasMember(members, "pubsubname")
}

func (l *Layout) dapr(e *redisstreams.Entry) (rawevent.Event, error) {
	data, err := requiredField(e, daprData)
	if err != nil {
		return rawevent.Event{}, err
	}
	metadata, err := daprMetadataOf(e)
	if err != nil {
		return rawevent.Event{}, err
	}
	event, isEvent, err := daprEvent(data, entryEventID(e))
	if err != nil {
		return rawevent.Event{}, e.Reject(redisstreams.ErrMalformed, err.Error())
	}
	if !isEvent {
		event.Data = bytesOf(data)
		event.DataContentType = l.dataType(event.Data)
		if err := l.complete(e, &event); err != nil {
			return rawevent.Event{}, err
		}
	}
	if metadata != "" {
		setExtension(&event, "daprmetadata", metadata)
	}
	return validEvent(e, &event)
}

// daprMetadataOf returns the metadata as JSON without white space, or "" if there is none.
func daprMetadataOf(e *redisstreams.Entry) (string, error) {
	text, _, err := onlyField(e, daprMetadata)
	if err != nil || text == "" {
		return "", err
	}
	var compact bytes.Buffer
	err = json.Compact(&compact, []byte(text))
	switch metadata := compact.String(); {
	case err == nil && (metadata == "{}" || metadata == "null"): // Go encodes a nil map as null
		return "", nil
	case err == nil && metadata[0] == '{':
		return metadata, nil
	default:
		return "", e.Reject(redisstreams.ErrMalformed, "the field metadata is not a JSON object")
	}
}

// daprEvent reads an event in JSON and drops empty optional attributes. An event without an id gets the given one.
func daprEvent(text, id string) (event rawevent.Event, isEvent bool, err error) {
	event, err = rawevent.FromJSON(bytesOf(text))
	if err != nil {
		members := objectMembers(text)
		if !hasMember(members, rawevent.AttrSpecVersion) {
			return rawevent.Event{}, false, nil
		}
		if json.Valid(bytesOf(text)) { // the only fault may be an empty subject, time, id or the like
			event, err = rawevent.FromJSON(objectOf(daprMembers(members, id)))
		}
	}
	if err != nil {
		return rawevent.Event{}, true, err
	}
	event.Attributes = slices.DeleteFunc(event.Attributes, func(a rawevent.Attribute) bool { return a.Value == "" })
	unquoteText(&event)
	return event, true, nil
}

// daprMembers replaces empty attributes by null, which marks an attribute as absent in JSON, and adds a missing id.
func daprMembers(members []jsonMember, id string) []jsonMember {
	mended := make([]jsonMember, 0, len(members)+1)
	hasID := false
	for _, m := range members {
		if string(m.value) == `""` && m.name != "data" && m.name != "data_base64" {
			m.value = json.RawMessage("null")
		}
		if m.name == rawevent.AttrID {
			if string(m.value) == "null" {
				continue
			}
			hasID = true
		}
		mended = append(mended, m)
	}
	if !hasID {
		mended = append(mended, jsonMember{rawevent.AttrID, rawevent.AppendJSONString(nil, id)})
	}
	return mended
}
