package gateway

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

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
	if t, ok := EntryTime(entry.ID); ok {
		event.Set(rawevent.AttrTime, t)
	}
	event.DataContentType, event.Data = "application/json", FieldsJSON(entry.Fields)
	return event
}

// StreamSource is the source of events that are made from the entries of a stream.
func StreamSource(stream string) string { return "/streams/" + url.PathEscape(stream) }

// EntryTime returns the time at which Redis added an entry, in RFC 3339.
func EntryTime(id string) (string, bool) {
	millis, _, _ := strings.Cut(id, "-")
	ms, err := strconv.ParseInt(millis, 10, 64)
	if err != nil || ms > 253402300799999 { // the year 9999, where RFC 3339 ends
		return "", false
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z"), true
}

// FieldsJSON returns the fields of an entry, names and values alternately, as a JSON object in their order: the first of
// each name, without those to leave out. A value that is not UTF-8 stands in base64 under the name with the suffix
// _base64.
func FieldsJSON(fields []string, leaveOut ...string) []byte {
	out := []byte{'{'}
	seen := make(map[string]bool, len(fields)/2)
	for i := 0; i+1 < len(fields); i += 2 {
		name, value := strings.ToValidUTF8(fields[i], "\ufffd"), fields[i+1]
		if seen[name] || slices.Contains(leaveOut, name) {
			continue
		}
		seen[name] = true
		if !utf8.ValidString(value) {
			name, value = name+"_base64", base64.StdEncoding.EncodeToString([]byte(value))
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = rawevent.AppendJSONString(out, name)
		out = append(out, ':')
		out = rawevent.AppendJSONString(out, value)
	}
	return append(out, '}')
}
