package sink

import (
	"strconv"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Knative's hop limit: an event that a sink answers with goes back in, and could go round for ever. The limit is kept
// in an extension that sinks do not see.
const (
	AttrTTL  = "knativebrokerttl"
	FirstTTL = 255 // of an event that has none
)

// TakeTTL removes the hop limit from an event and returns it.
func TakeTTL(event *rawevent.Event) int {
	text, found := event.Attribute(AttrTTL)
	if !found {
		return FirstTTL
	}
	event.Delete(AttrTTL)
	ttl, err := strconv.Atoi(text)
	if err != nil {
		return FirstTTL // it was not we who wrote it
	}
	return ttl
}
