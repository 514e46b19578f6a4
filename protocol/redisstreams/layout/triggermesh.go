package layout

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

const triggerMeshEvent = "ce"

// ownedByTriggerMesh: the broker writes a single field, which holds a JSON object.
func ownedByTriggerMesh(e *redisstreams.Entry) bool {
	value, _ := e.Field(triggerMeshEvent)
	return hasExactly(e, triggerMeshEvent) && strings.HasPrefix(strings.TrimLeft(value, " \t\r\n"), "{")
}

func (l *Layout) triggerMesh(e *redisstreams.Entry) (rawevent.Event, error) {
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

// triggerMeshText repairs events whose binary data the broker received in binary mode. The CloudEvents SDK writes such
// data as a JSON string in which bytes that are not UTF-8 stay unescaped: invalid JSON, although nothing is lost. The
// same bytes in data_base64 are valid. Any other text is returned unchanged, for the reader to refuse.
func triggerMeshText(text string) string {
	if !json.Valid(bytesOf(text)) { // which accepts bytes that are not UTF-8
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
