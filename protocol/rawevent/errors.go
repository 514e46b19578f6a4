package rawevent

import (
	"fmt"
	"strings"
)

// Reason says which kind of answer an [Error] calls for.
type Reason int

const (
	// Invalid means that the input is not a CloudEvent, or an invalid one (HTTP 400).
	Invalid Reason = iota
	// Unsupported means that it may be a CloudEvent, but in a format that is not understood (HTTP 415).
	Unsupported
	// TooLarge means that it exceeds a limit of this reader (HTTP 413).
	TooLarge
)

// Error says what is wrong with an event: which attribute, and which rule of the specification it breaks.
type Error struct {
	Reason    Reason
	Attribute string // the attribute or JSON member at fault; empty when it is the event as a whole
	Rule      string // the rule, as a sentence without a capital; never contains the value
	Index     int    // position in a batch; -1 outside of one
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
