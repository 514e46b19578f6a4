package layout

import (
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

const (
	originSubject  = "subject"
	originProducer = "producer"
	originHref     = "href"
)

// ownedByOrigin: the notebook always writes all three fields. Additional ones become members of the data.
func ownedByOrigin(e *redisstreams.Entry) bool {
	for _, name := range [...]string{originSubject, originProducer, originHref} {
		if _, found := e.Field(name); !found {
			return false
		}
	}
	return true
}

func (l *Layout) origin(e *redisstreams.Entry) (rawevent.Event, error) {
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
	if err := l.complete(e, &event); err != nil {
		return rawevent.Event{}, err
	}
	return validEvent(e, &event)
}
