package layout

import (
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

const (
	watermillUUID     = "_watermill_message_uuid"
	watermillMetadata = "metadata"
	watermillPayload  = "payload"
)

// ownedByWatermill: no other program is known to write a field of that name.
func ownedByWatermill(e *redisstreams.Entry) bool {
	_, found := e.Field(watermillUUID)
	return found
}

func (l *Layout) watermill(e *redisstreams.Entry) (rawevent.Event, error) {
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
	if metadata != "" { // empty means no metadata
		if m.metadata, err = decodeStringMap(metadata); err != nil {
			return rawevent.Event{}, e.Reject(redisstreams.ErrMalformed, "the field metadata: "+err.Error())
		}
	}
	return l.eventOf(e, &m)
}
