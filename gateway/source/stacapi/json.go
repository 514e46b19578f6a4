package stacapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/streamgate/streamgate/gateway/foreign"
)

// Every JSON document of a server is read by this file. It reads what is meant: a number where text is expected, and
// the other way round. What cannot be read is for the caller to judge: whether it is needed decides.

// decodeJSON reads one document. A failure is one that a retry may cure: servers in trouble answer 200 with an HTML
// page. NaN and Infinity become null.
func decodeJSON(text []byte, v any) error {
	if string(bytes.TrimSpace(text)) == "null" {
		return malformed(errors.New("the document is null"))
	}
	if json.NewDecoder(bytes.NewReader(text)).Decode(v) == nil && utf8.Valid(text) {
		return nil
	}
	clean, _, err := cleanJSON(text)
	if err != nil {
		return malformed(err)
	}
	if err := json.Unmarshal(clean, v); err != nil {
		return malformed(describeType(err))
	}
	return nil
}

// cleanJSON returns a JSON value as valid JSON, and how many NaN and Infinity it has replaced by null. Its error
// says in words where the text is broken.
func cleanJSON(text []byte) (clean []byte, replaced int, err error) {
	if json.Valid(text) && utf8.Valid(text) {
		return text, 0, nil
	}
	read, err := foreign.ReadJSON(bytes.NewReader(text), foreign.Options{
		ContentType: "application/json; charset=utf-8", Limit: int64(2*len(text) + 16), NonFinite: foreign.NullNonFinite,
	})
	if err != nil {
		return nil, 0, err
	}
	return read.Bytes, read.NonFinite, nil
}

// describeType returns what encoding/json says about a value of the wrong type, in words.
func describeType(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field == "" {
			return fmt.Errorf("the document is of JSON type %s", wrong.Value)
		}
		return fmt.Errorf("%q is of JSON type %s", wrong.Field, wrong.Value)
	}
	return errors.New("the document has another form than expected")
}

// malformed is the error of an answer 200 that is not JSON of the expected form.
func malformed(err error) error {
	return &StatusError{Code: 200, Text: err.Error()}
}

// kindOf returns the JSON type of a value, for messages.
func kindOf(raw []byte) string {
	if len(raw) == 0 {
		return "missing"
	}
	switch raw[0] {
	case '"':
		return "text"
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 'n':
		return "null"
	case 't', 'f':
		return "a Boolean"
	default:
		return "a number"
	}
}

// isMissing reports whether a member is missing or null.
func isMissing(raw []byte) bool { return len(raw) == 0 || string(raw) == "null" }

// textOf reads a member that is text. A number is read as it is written. ok is false for anything else; what is missing
// or null is "".
func textOf(raw []byte) (text string, ok bool) {
	switch {
	case isMissing(raw):
		return "", true
	case raw[0] == '"':
		return text, json.Unmarshal(raw, &text) == nil
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		return string(raw), json.Valid(raw)
	}
	return "", false
}

// maxCount bounds what is believed as a number of items.
const maxCount = 1e12

// countOf reads a number of items, which may be text or written like 5.0; -1 if it is none. Such numbers are estimates:
// one that makes no sense is as good as none.
func countOf(raw []byte) int {
	text, ok := textOf(raw)
	if !ok {
		return -1
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || n < 0 || n > maxCount || n != math.Trunc(n) {
		return -1
	}
	return int(n)
}

// boolOf reads a member that is a Boolean, also as text or as 0 and 1; what is missing or null is false.
func boolOf(raw []byte) (value, ok bool) {
	if isMissing(raw) {
		return false, true
	}
	text, isText := textOf(raw)
	if !isText {
		text = string(raw)
	}
	value, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(text)))
	return value, err == nil
}
