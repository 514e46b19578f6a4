package gateway

import (
	"encoding/base64"
	"net/url"
	"strconv"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Extension attributes of a dead letter: Knative's names and forms.
const (
	attrErrorDest = "knativeerrordest" // the sink's address
	attrErrorCode = "knativeerrorcode" // the HTTP status of the last attempt; -1 if no answer came
	attrErrorData = "knativeerrordata" // base64 of the beginning of the answer, or of the reason
)

// typeMalformed is the type of the dead letter of an entry that holds no valid CloudEvent.
const typeMalformed = "dev.streamgate.entry.malformed"

// deadLetter returns the event with the reason why it could not be delivered.
func deadLetter(event *rawevent.Event, sink string, o *outcome) rawevent.Event {
	dead := event.Clone()
	dead.Set(attrErrorDest, redactedURI(sink))
	dead.Set(attrErrorCode, strconv.Itoa(o.code))
	dead.Set(attrErrorData, base64.StdEncoding.EncodeToString(o.detail[:min(len(o.detail), maxErrorBytes)]))
	return dead
}

// malformedEvent returns an event that carries the raw fields of an entry that holds no valid one. Its id is that of the
// entry, so that it is the same whenever the entry is read.
func malformedEvent(entry *redisstreams.Entry) rawevent.Event {
	event := rawevent.New(entry.Stream+"/"+entry.ID, StreamSource(entry.Stream), typeMalformed)
	if t, ok := redisstreams.EntryTime(entry.ID); ok {
		event.Set(rawevent.AttrTime, t.Format(redisstreams.TimeFormat))
	}
	event.DataContentType = "application/json"
	event.Data, _ = entry.FieldsJSON(nil) // a second field of the same name is one of the things that make it malformed
	return event
}

// StreamSource is the source of events that are made from the entries of a stream.
func StreamSource(stream string) string { return "/streams/" + url.PathEscape(stream) }
