package layout

import (
	"strings"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// newAuto returns the reader of the layout Auto.
func newAuto() reader {
	candidates := knownLayouts()
	return func(l *Layout, e *redisstreams.Entry) (rawevent.Event, error) {
		if claimsToBeNative(e) {
			return l.cloudEvent(e)
		}
		for i := range candidates {
			if owns := candidates[i].owns; owns != nil && owns(e) {
				return candidates[i].read(l, e)
			}
		}
		if event, ok := l.soleEvent(e); ok {
			return event, nil
		}
		return rawevent.Event{}, e.Reject(redisstreams.ErrUnknownEncoding, "its fields match no known layout")
	}
}

// claimsToBeNative reports whether the entry has a field of the binding: even a broken one is not another program's.
func claimsToBeNative(e *redisstreams.Entry) bool {
	if _, ok := e.Mode(); ok {
		return true
	}
	for name := range fieldsOf(e) {
		if strings.HasPrefix(name, redisstreams.FieldPrefix) {
			return true
		}
	}
	return false
}
