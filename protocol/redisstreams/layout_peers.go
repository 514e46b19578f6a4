package redisstreams

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Fields of the other programs' entries.
const (
	originSubject  = "subject"
	originProducer = "producer"
	originHref     = "href"

	daprData     = "data"
	daprMetadata = "metadata"

	triggerMeshEvent = "ce"

	watermillUUID     = "_watermill_message_uuid"
	watermillMetadata = "metadata"
	watermillPayload  = "payload"
)

// ownedByOrigin: the notebook always writes the three. There may be more, which become members of the data.
func ownedByOrigin(e *Entry) bool {
	for _, name := range [...]string{originSubject, originProducer, originHref} {
		if _, found := e.Field(name); !found {
			return false
		}
	}
	return true
}

func (l *Layout) origin(e *Entry) (rawevent.Event, error) {
	for _, name := range [...]string{originProducer, originHref} {
		if _, err := requiredField(e, name); err != nil {
			return rawevent.Event{}, err
		}
	}
	subject, _, err := onlyField(e, originSubject)
	if err != nil {
		return rawevent.Event{}, err
	}
	var event rawevent.Event
	if subject != "" {
		event.Set(rawevent.AttrSubject, subject)
	}
	if err := setFieldsJSON(e, &event, func(field string) bool { return field == originSubject }); err != nil {
		return rawevent.Event{}, err
	}
	l.complete(e, &event)
	return validEvent(e, &event)
}

// ownedByTriggerMesh: the broker writes one field, and a JSON object in it.
func ownedByTriggerMesh(e *Entry) bool {
	value, _ := e.Field(triggerMeshEvent)
	return hasExactly(e, triggerMeshEvent) && strings.HasPrefix(strings.TrimLeft(value, " \t\r\n"), "{")
}

func (l *Layout) triggerMesh(e *Entry) (rawevent.Event, error) {
	text, err := requiredField(e, triggerMeshEvent)
	if err != nil {
		return rawevent.Event{}, err
	}
	if !utf8.ValidString(text) {
		text = triggerMeshText(text)
	}
	event, err := encodedEvent(e, rawevent.MediaTypeJSON, &text)
	if err == nil && !strings.EqualFold(essenceOf(event.DataContentType), "text/json") {
		unquoteText(&event)
	}
	return event, err
}

// unquoteText gives JSON that was written as text its form back. For TriggerMesh's SDK and for Dapr only application/json
// is JSON (for the SDK text/json, too); of any other media type, application/geo+json for one, they write the data as a
// JSON string, which by the specification would be the data itself, with its quotes.
func unquoteText(event *rawevent.Event) {
	contentType := event.DataContentType
	if contentType == "" || !rawevent.IsJSON(contentType) || strings.EqualFold(essenceOf(contentType), "application/json") {
		return
	}
	if text, ok := stringBytes(event.Data); ok && json.Valid(text) {
		event.Data = text
	}
}

// triggerMeshText mends what the broker makes of binary data that it got in binary mode: the CloudEvents SDK writes it as
// a JSON string, in which bytes that are not UTF-8 stand as they are. That is no JSON, but loses nothing; as data_base64
// it is both. Any other text stays what it is, for the reader to refuse.
func triggerMeshText(text string) string {
	if !json.Valid(bytesOf(text)) { // which does not mind what is not UTF-8
		return text
	}
	members := objectMembers(text)
	contentType := slices.IndexFunc(members, func(m jsonMember) bool { return m.name == rawevent.AttrDataContentType })
	data := slices.IndexFunc(members, func(m jsonMember) bool { return m.name == "data" })
	if contentType < 0 || data < 0 {
		return text
	}
	mediaType, ok := stringBytes(members[contentType].value)
	if !ok || rawevent.IsJSON(string(mediaType)) {
		return text
	}
	content, ok := stringBytes(members[data].value)
	if !ok {
		return text
	}
	members[data] = jsonMember{"data_base64", []byte(`"` + base64.StdEncoding.EncodeToString(content) + `"`)}
	return string(objectOf(members))
}

// ownedByDapr: data, with metadata or without, is what many programs write. It is Dapr's if metadata is a JSON object of
// strings and either data holds an event with the two extensions that Dapr gives every one, or metadata says that it
// holds none, as Dapr's does whenever somebody publishes a raw payload.
func ownedByDapr(e *Entry) bool {
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

func (l *Layout) dapr(e *Entry) (rawevent.Event, error) {
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
		return rawevent.Event{}, e.fail(ErrMalformed, err.Error())
	}
	if !isEvent {
		event.DataContentType, event.Data = l.config.DataContentType, bytesOf(data)
		l.complete(e, &event)
	}
	if metadata != "" {
		setExtension(&event, "daprmetadata", metadata)
	}
	return validEvent(e, &event)
}

// daprMetadataOf returns the metadata as JSON without white space, or "" if there is none.
func daprMetadataOf(e *Entry) (string, error) {
	text, _, err := onlyField(e, daprMetadata)
	if err != nil || text == "" {
		return "", err
	}
	var compact bytes.Buffer
	err = json.Compact(&compact, []byte(text))
	switch metadata := compact.String(); {
	case err == nil && (metadata == "{}" || metadata == "null"): // null is how Go writes a nil map
		return "", nil
	case err == nil && metadata[0] == '{':
		return metadata, nil
	default:
		return "", e.fail(ErrMalformed, "the field metadata is no JSON object")
	}
}

// daprEvent reads an event in JSON, without the optional attributes that are empty. If it has no id, it gets the given one.
func daprEvent(text, id string) (event rawevent.Event, isEvent bool, err error) {
	event, err = rawevent.FromJSON(bytesOf(text))
	if err != nil {
		members := objectMembers(text)
		if !hasMember(members, rawevent.AttrSpecVersion) {
			return rawevent.Event{}, false, nil
		}
		if json.Valid(bytesOf(text)) { // so perhaps it is only an empty subject, time, id or the like
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

// daprMembers makes null of what is empty, which is how JSON says that an attribute is absent, and adds the id.
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

// ownedByWatermill: nobody else writes a field of that name.
func ownedByWatermill(e *Entry) bool {
	_, found := e.Field(watermillUUID)
	return found
}

func (l *Layout) watermill(e *Entry) (rawevent.Event, error) {
	uuid, err := requiredField(e, watermillUUID)
	if err != nil {
		return rawevent.Event{}, err
	}
	m := dataAndMetadata{idField: watermillUUID, id: uuid}
	payload, found, err := onlyField(e, watermillPayload)
	if err != nil {
		return rawevent.Event{}, err
	}
	if found {
		m.data = &payload
	}
	metadata, _, err := onlyField(e, watermillMetadata)
	if err != nil {
		return rawevent.Event{}, err
	}
	if metadata != "" { // it is empty if there is none
		if m.metadata, err = decodeStringMap(metadata); err != nil {
			return rawevent.Event{}, e.fail(ErrMalformed, "the field metadata: "+err.Error())
		}
	}
	return l.eventOf(e, &m)
}

func (l *Layout) redpandaConnect(e *Entry) (rawevent.Event, error) {
	body, err := requiredField(e, l.config.BodyField)
	if err != nil {
		return rawevent.Event{}, err
	}
	m := dataAndMetadata{data: &body, metadata: make([]string, 0, len(e.Fields))}
	for name, value := range fieldsOf(e) {
		if name != l.config.BodyField {
			m.metadata = append(m.metadata, name, value)
		}
	}
	return l.eventOf(e, &m)
}
