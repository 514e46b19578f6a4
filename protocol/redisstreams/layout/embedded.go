package layout

import (
	"net/http"
	"strings"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func (l *Layout) embedded(e *redisstreams.Entry) (rawevent.Event, error) {
	if len(e.Fields) != 2 {
		return rawevent.Event{}, e.Reject(redisstreams.ErrUnknownEncoding, "it does not have exactly one field")
	}
	event, err := jsonEvent(e.Fields[1], l.config.Lenient)
	if err != nil {
		return rawevent.Event{}, e.Reject(redisstreams.ErrMalformed, err.Error())
	}
	return event, nil
}

// soleEvent returns the event of an entry whose only field holds a CloudEvent. An entry with more fields says something
// about the event as well, for example why it failed, and is not the event.
func (l *Layout) soleEvent(e *redisstreams.Entry) (rawevent.Event, bool) {
	if len(e.Fields) != 2 || !isEncodedEvent(objectMembers(e.Fields[1])) {
		return rawevent.Event{}, false
	}
	event, err := jsonEvent(e.Fields[1], l.config.Lenient)
	return event, err == nil
}

// isEncodedEvent reports whether a JSON object has the attributes that every CloudEvent has, in any letter case.
func isEncodedEvent(members []jsonMember) bool {
	var found [4]bool
	for _, m := range members {
		for i, name := range [...]string{
			rawevent.AttrSpecVersion, rawevent.AttrID, rawevent.AttrSource, rawevent.AttrType,
		} {
			found[i] = found[i] || strings.EqualFold(m.name, name)
		}
	}
	return found == [4]bool{true, true, true, true}
}

// jsonEvent reads an event in the JSON event format; if it is not valid and lenient is set, with the repairs of
// [rawevent.Lenient].
func jsonEvent(text string, lenient bool) (rawevent.Event, error) {
	event, err := rawevent.FromJSON(bytesOf(text))
	if err == nil || !lenient {
		return event, err
	}
	var repairs rawevent.Lenient
	return repairs.FromHTTP(http.Header{"Content-Type": {rawevent.MediaTypeJSON}}, bytesOf(text))
}
