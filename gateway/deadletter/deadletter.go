package deadletter

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"time"

	"github.com/streamgate/streamgate/gateway/peer"
	"github.com/streamgate/streamgate/gateway/sink"
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
	attrDeadReason       = "dlreason"       // why, in words, with a remedy where there is one
)

// attrRedrive says of an event how often it was taken out of the dead letters and tried again.
const attrRedrive = "redrive"

// Failure is why an entry became a dead letter.
type Failure struct {
	Stream, Subscription string
	Sink                 string // what it is called, without secrets
	Entry                string // in the stream, or in the subscription's inbox
	Attempts             int    // as far as they count
	Code                 int    // HTTP status of the last attempt, or NoResponse
	Detail               []byte // beginning of the answer, or the reason; of it at most 1 KiB is kept
	Reason               string // in words; "" if Detail is the reason
}

// typeMalformed is the type of the dead letter of an entry that does not hold a valid CloudEvent.
const typeMalformed = "dev.streamgate.entry.malformed"

// New returns the event with the reason why it could not be delivered.
func New(event *rawevent.Event, f *Failure) rawevent.Event {
	dead := event.Clone()
	detail := f.Detail[:min(len(f.Detail), sink.MaxDetailBytes)]
	for name, value := range map[string]string{
		attrErrorDest: f.Sink, attrErrorCode: strconv.Itoa(f.Code),
		attrErrorData:  base64.StdEncoding.EncodeToString(detail),
		attrDeadStream: f.Stream, attrDeadSubscription: f.Subscription, attrDeadEntry: f.Entry,
		attrDeadAttempts: strconv.Itoa(f.Attempts), attrDeadFirst: StoredAt(f.Entry).Format(redisstreams.TimeFormat),
		attrDeadLast: time.Now().UTC().Format(redisstreams.TimeFormat),
	} {
		dead.Set(name, value)
	}
	if reason := peer.OneLine(f.Reason, maxReason); reason != "" {
		dead.Set(attrDeadReason, reason)
	}
	return dead
}

// maxReason bounds a reason in words, in characters.
const maxReason = 1000

// StoredAt returns when an entry was stored, by its id; now, if its id does not tell.
func StoredAt(entry string) time.Time {
	t, ok := redisstreams.EntryTime(entry)
	if !ok {
		return time.Now()
	}
	return t
}

// revived returns the event that a dead letter was, to be tried again.
func revived(dead *rawevent.Event) rawevent.Event {
	event := dead.Clone()
	times, _ := strconv.Atoi(attribute(dead, attrRedrive))
	for _, name := range []string{
		attrErrorDest, attrErrorCode, attrErrorData, attrDeadStream, attrDeadSubscription, attrDeadEntry, attrDeadAttempts,
		attrDeadFirst, attrDeadLast, attrDeadReason,
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

// MalformedEvent returns an event that carries the raw fields of an entry that does not hold a valid one. Its id is
// that of the entry, so that it is the same whenever the entry is read.
func MalformedEvent(entry *redisstreams.Entry) rawevent.Event {
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
