package foreign

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"
)

// Text is a text that was read as a whole.
type Text struct {
	// Bytes are the text in UTF-8, without a byte order mark.
	Bytes []byte
	// Charset is the name of the charset that the text was in, in lower case.
	Charset string
	// Encodings are the compressions that were undone, the outermost first.
	Encodings []string
	// NonFinite is how many NaN and Infinity became null.
	NonFinite int
}

// Read reads the whole text behind r; see [NewReader], which says what an error is. It returns nil with an error.
func Read(r io.Reader, o Options) (*Text, error) {
	reader, err := NewReader(r, o)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		return nil, err
	}
	return &Text{text, reader.Charset(), reader.Encodings(), reader.NonFinite()}, nil
}

// ReadJSON reads the whole text behind r and checks that it is one JSON value. The error of other text says where it
// stops being JSON, and what it looks like instead; see [Describe].
func ReadJSON(r io.Reader, o Options) (*Text, error) {
	o.JSON = true
	text, err := Read(r, o)
	if err != nil {
		return nil, err
	}
	if err := CheckJSON(text.Bytes); err != nil {
		return nil, err
	}
	return text, nil
}

// ForResponse returns the options that the headers of an HTTP response tell. Where net/http has undone a compression,
// it has removed the header as well.
func ForResponse(header http.Header, limit int64) Options {
	return Options{
		ContentType:     header.Get("Content-Type"),
		ContentEncoding: strings.Join(header.Values("Content-Encoding"), ","),
		Limit:           limit,
	}
}

// CheckJSON returns an *[Error] that says where text stops being one JSON value, or nil.
func CheckJSON(text []byte) error {
	if json.Valid(text) {
		return nil
	}
	if kind := Describe(text); kind != "" {
		return damaged("the content is not JSON, but %s", kind)
	}
	if n := (numbers{}); n.find(text) {
		return damaged("the content is not valid JSON: %s at %s; JSON has no such number", n.firstWord, place(text, n.first))
	}
	// Only the decoder tells a text that ends too early from others, and only Unmarshal has the offset of a bad byte.
	err := json.NewDecoder(bytes.NewReader(text)).Decode(new(json.RawMessage))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged("the content is not valid JSON: it ends too early, at %s", place(text, len(text)))
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(text, new(json.RawMessage)); !errors.As(err, &syntax) || syntax.Offset < 1 {
		return damaged("the content is not valid JSON")
	}
	offset := int(syntax.Offset) - 1
	r, _ := utf8.DecodeRune(text[offset:])
	return damaged("the content is not valid JSON: unexpected %q at %s", r, place(text, offset))
}

// place counts lines and characters from 1.
func place(text []byte, offset int) string {
	before := string(text[:offset])
	line := strings.LastIndexByte(before, '\n') + 1
	return fmt.Sprintf("line %d, column %d", strings.Count(before, "\n")+1, utf8.RuneCountInString(before[line:])+1)
}
