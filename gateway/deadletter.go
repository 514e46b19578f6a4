package gateway

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"time"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Extension attributes of a dead letter: Knative's names and forms.
const (
	attrErrorDest = "knativeerrordest" // the sink's address
	attrErrorCode = "knativeerrorcode" // the HTTP status of the last attempt; -1 if no answer came
	attrErrorData = "knativeerrordata" // base64 of the beginning of the answer, or of the reason
)

// More extension attributes of a dead letter, from which it finds its way back.
const (
	attrDeadStream       = "dlstream"       // the stream that the subscription reads
	attrDeadSubscription = "dlsubscription" // whose delivery failed
	attrDeadEntry        = "dlentry"        // the entry in the stream, or in the subscription's inbox
	attrDeadAttempts     = "dlattempts"     // how often delivery was tried, as far as it counts
	attrDeadFirst        = "dlfirsttime"    // since when: when the entry was stored
	attrDeadLast         = "dllasttime"     // when it was given up
)

// attrRedrive says of an event how often it was taken out of the dead letters and tried again.
const attrRedrive = "redrive"

// failure is why an entry became a dead letter.
type failure struct {
	subscription *SubscriptionConfig
	entry        *redisstreams.Entry
	attempts     int
	outcome      *outcome
}

// typeMalformed is the type of the dead letter of an entry that holds no valid CloudEvent.
const typeMalformed = "dev.streamgate.entry.malformed"

// deadLetter returns the event with the reason why it could not be delivered.
func deadLetter(event *rawevent.Event, f *failure) rawevent.Event {
	dead := event.Clone()
	detail := f.outcome.detail[:min(len(f.outcome.detail), maxErrorBytes)]
	for name, value := range map[string]string{
		attrErrorDest: f.subscription.Sink.Describe(), attrErrorCode: strconv.Itoa(f.outcome.code),
		attrErrorData:  base64.StdEncoding.EncodeToString(detail),
		attrDeadStream: f.subscription.Stream, attrDeadSubscription: f.subscription.Name, attrDeadEntry: f.entry.ID,
		attrDeadAttempts: strconv.Itoa(f.attempts), attrDeadFirst: storedAt(f.entry.ID).Format(redisstreams.TimeFormat),
		attrDeadLast: time.Now().UTC().Format(redisstreams.TimeFormat),
	} {
		dead.Set(name, value)
	}
	return dead
}

// revived returns the event that a dead letter was, to be tried again.
func revived(dead *rawevent.Event) rawevent.Event {
	event := dead.Clone()
	times, _ := strconv.Atoi(attribute(dead, attrRedrive))
	for _, name := range []string{
		attrErrorDest, attrErrorCode, attrErrorData, attrDeadStream, attrDeadSubscription, attrDeadEntry, attrDeadAttempts,
		attrDeadFirst, attrDeadLast,
	} {
		event.Delete(name)
	}
	event.Set(attrRedrive, strconv.Itoa(times+1))
	return event
}

func attribute(event *rawevent.Event, name string) string {
	value, _ := event.Attribute(name)
	return value
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
