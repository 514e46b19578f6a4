package layout

import (
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func (l *Layout) redpandaConnect(e *redisstreams.Entry) (rawevent.Event, error) {
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
