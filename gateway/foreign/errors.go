package foreign

import (
	"errors"
	"fmt"

	"github.com/streamgate/streamgate/internal/charset"
)

// Reason classifies an [Error].
type Reason uint8

// The reasons.
const (
	// Damaged means that the text is not what it is said to be: not valid in its charset, not valid JSON, cut off, or
	// not valid in its compression.
	Damaged Reason = iota
	// Unsupported means that the compression or the charset is not supported (HTTP 415).
	Unsupported
	// TooLarge means that the text exceeds the limit, possibly after unpacking only (HTTP 413).
	TooLarge
)

// Error says why a text was refused. Its message contains at most one character of the text.
type Error struct {
	Reason Reason
	// Text is the message, in lower case, with a remedy where there is one.
	Text string
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

func damaged(format string, args ...any) *Error {
	return &Error{Damaged, fmt.Sprintf(format, args...)}
}

func tooLarge(limit int64) *Error {
	return &Error{TooLarge, fmt.Sprintf("the content is larger than %d bytes", limit)}
}

// fromCharset translates an error of package charset.
func fromCharset(err error) error {
	var invalid *charset.InvalidError
	switch {
	case !errors.As(err, &invalid):
		return &Error{Unsupported, err.Error()}
	case invalid.Encoding == charset.UTF8:
		return damaged("%v; send UTF-8, or name the charset in Content-Type", err)
	default:
		return damaged("%v", err)
	}
}
