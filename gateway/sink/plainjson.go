package sink

import (
	"mime"
	"strings"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Which JSON data are declared as application/json in structured and batched mode.
const (
	PlainGeoJSON = "geo"  // application/geo+json
	PlainAllJSON = "all"  // every media type that ends with +json
	PlainNoJSON  = "none" // none
)

// plain returns an event for the JSON format. In that format data of any JSON type are a JSON value, but several SDKs
// take only application/json for JSON: sdk-go up to 2.16 refuses an object under application/geo+json, and with it the
// whole batch. In binary mode the type is a header that stays as it is. The event is not changed.
func (s *httpSink) plain(event *rawevent.Event) *rawevent.Event {
	if s.plainJSON == "" || s.plainJSON == PlainNoJSON || !strings.Contains(event.DataContentType, "+") {
		return event
	}
	mediaType, _, err := mime.ParseMediaType(event.DataContentType)
	if err != nil || mediaType != "application/geo+json" && (s.plainJSON != PlainAllJSON || !strings.HasSuffix(mediaType, "+json")) ||
		rawevent.ModeOf(mediaType) != rawevent.Binary { // an event within an event has to be recognised
		return event
	}
	changed := *event
	changed.DataContentType = "application/json"
	return &changed
}
