package stacapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Every JSON document of a server is read by this file: decodeJSON for a whole one, newDecoder for one that streams in.

func newDecoder(body io.Reader) *json.Decoder { return json.NewDecoder(body) }

// decodeJSON reads one document. A failure is one that a retry may cure: servers in trouble answer 200 with an HTML
// page.
func decodeJSON(body io.Reader, v any) error {
	if err := newDecoder(body).Decode(v); err != nil {
		return malformed(fmt.Errorf("decode: %w", err))
	}
	return nil
}

// malformed is the error of an answer 200 that is not JSON of the expected form.
func malformed(err error) error {
	if err == nil {
		err = errors.New("the document is not a JSON object")
	}
	return &StatusError{Code: 200, Text: err.Error()}
}
