package redisstreams

import "github.com/streamgate/streamgate/protocol/rawevent"

// Layout reads stream entries that are not, or not only, entries of this binding as CloudEvents. Package layout
// implements it for several programs; [WithLayout] makes a consumer use it. It must be safe for concurrent use, must
// not change the entry, and must return the same event for the same entry every time.
type Layout interface {
	// Event reads the event that the entry holds; its data may share memory with the entry. An error is an
	// [*EntryError], made by [Entry.Reject]. With [ErrUnknownFormat] it returns the encoded event, like [Entry.Event].
	Event(*Entry) (rawevent.Event, error)
	// Native reports whether the entry is read by the rules of this binding, so that a [Message] over it keeps its
	// encoding (binary or structured).
	Native(*Entry) bool
}
