package rawevent

import (
	"fmt"
	"strings"
)

// Reason classifies an [Error] by the HTTP status that answers it.
type Reason int

const (
	// Invalid means that the input is not a CloudEvent or violates the specification (HTTP 400).
	Invalid Reason = iota
	// Unsupported means that the event may be valid, but its format is not supported (HTTP 415).
	Unsupported
	// TooLarge means that the event exceeds a limit of this package (HTTP 413).
	TooLarge
)

// Error describes why an event was refused: the attribute, and the rule of the specification that it violates.
type Error struct {
	Reason    Reason
	Attribute string // the attribute or JSON member at fault; empty if the fault is in the event as a whole
	Rule      string // the rule, in lower case; never contains the value, so that it is safe to log
	Index     int    // position in the batch; -1 if the event is not in a batch
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Index >= 0 {
		fmt.Fprintf(&b, "event %d of the batch: ", e.Index)
	}
	if e.Attribute != "" {
		fmt.Fprintf(&b, "attribute %q: ", e.Attribute)
	}
	b.WriteString(e.Rule)
	return b.String()
}

func invalid(attribute, rule string) *Error {
	return &Error{Reason: Invalid, Attribute: attribute, Rule: rule, Index: -1}
}

func unsupported(rule string) *Error {
	return &Error{Reason: Unsupported, Rule: rule, Index: -1}
}

func tooLarge(attribute, rule string) *Error {
	return &Error{Reason: TooLarge, Attribute: attribute, Rule: rule, Index: -1}
}
