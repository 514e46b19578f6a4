package layout

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

const (
	fastStreamField = "__data__"
	// fastStreamMagic begins the binary container of FastStream 0.6 and later; the first byte is not valid UTF-8.
	fastStreamMagic = "\x89BIN\r\n\x1a\n"
	// fastStreamHead is the size of the container up to the headers: the magic, the version (2 bytes), the offsets of
	// the headers and of the body (4 bytes each). All numbers are big-endian.
	fastStreamHead    = len(fastStreamMagic) + 2 + 4 + 4
	fastStreamVersion = 1
)

// ownedByFastStream: the field is named in FastStream only, and either form of its container is unmistakable. A raw
// message, which FastStream would read as well, is not recognized.
func ownedByFastStream(e *redisstreams.Entry) bool {
	if !hasExactly(e, fastStreamField) {
		return false
	}
	value, _ := e.Field(fastStreamField)
	if strings.HasPrefix(value, fastStreamMagic) {
		return true
	}
	_, ok := fastStreamJSON(value)
	return ok
}

func (l *Layout) fastStream(e *redisstreams.Entry) (rawevent.Event, error) {
	value, err := requiredField(e, fastStreamField)
	if err != nil {
		return rawevent.Event{}, err
	}
	m, isJSON := fastStreamJSON(value)
	switch {
	case isJSON:
	case strings.HasPrefix(value, fastStreamMagic):
		if m, err = fastStreamBinary(value); err != nil {
			return rawevent.Event{}, e.Reject(redisstreams.ErrMalformed, "the field "+fastStreamField+": "+err.Error())
		}
	default: // a program without FastStream's envelope wrote it
		m = dataAndMetadata{data: &value}
	}
	for i := 0; i+1 < len(m.metadata); i += 2 {
		if name := m.metadata[i]; name == "message_id" || name == "message-id" {
			m.idField, m.id = name, m.metadata[i+1]
			m.metadata = slices.Delete(m.metadata, i, i+2)
			break
		}
	}
	return l.eventOf(e, &m)
}

// fastStreamBinary takes the binary container apart. The offsets decide where its parts lie; the headers must fill
// their part exactly, so that a damaged container is not read as something else.
func fastStreamBinary(text string) (dataAndMetadata, error) {
	if len(text) < fastStreamHead {
		return dataAndMetadata{}, errors.New("the container ends within its head")
	}
	head := bytesOf(text)[len(fastStreamMagic):fastStreamHead]
	if version := binary.BigEndian.Uint16(head); version != fastStreamVersion {
		return dataAndMetadata{}, fmt.Errorf("version %d of the container is not supported", version)
	}
	headers, body := uint64(binary.BigEndian.Uint32(head[2:])), uint64(binary.BigEndian.Uint32(head[6:]))
	if headers < uint64(fastStreamHead) || body < headers+2 || body > uint64(len(text)) {
		return dataAndMetadata{}, errors.New("the offsets of the container lie outside of it")
	}
	part := text[headers:body]
	count := int(binary.BigEndian.Uint16(bytesOf(part)))
	metadata, ok := fastStreamHeaders(part[2:], count, takeBytes)
	if !ok { // the writer counts characters, which are fewer than the bytes of text that is not ASCII
		metadata, ok = fastStreamHeaders(part[2:], count, takeCharacters)
	}
	if !ok {
		return dataAndMetadata{}, errors.New("the headers do not fill their part of the container")
	}
	data := text[body:]
	return dataAndMetadata{data: &data, metadata: metadata}, nil
}

// fastStreamHeaders returns count names and values, each preceded by its length, which take measures. ok is false
// unless they are UTF-8 and end with the part.
func fastStreamHeaders(part string, count int, take func(string, int) (string, bool)) (metadata []string, ok bool) {
	if len(part) < 4*count {
		return nil, false // before memory is reserved for them
	}
	metadata = make([]string, 0, 2*count)
	for range 2 * count {
		if len(part) < 2 {
			return nil, false
		}
		text, ok := take(part[2:], int(binary.BigEndian.Uint16(bytesOf(part))))
		if !ok || !utf8.ValidString(text) {
			return nil, false
		}
		metadata, part = append(metadata, text), part[2+len(text):]
	}
	return metadata, part == ""
}

func takeBytes(text string, n int) (string, bool) {
	if n > len(text) {
		return "", false
	}
	return text[:n], true
}

func takeCharacters(text string, n int) (string, bool) {
	end := 0
	for range n {
		if end == len(text) {
			return "", false
		}
		_, size := utf8.DecodeRuneInString(text[end:])
		end += size
	}
	return text[:end], true
}

// fastStreamJSON takes the container of FastStream 0.5 apart: a JSON object of data, a string, and headers, an object.
// A header that is not a string gets its JSON text; null counts as missing.
func fastStreamJSON(text string) (m dataAndMetadata, ok bool) {
	if !strings.HasPrefix(text, "{") || !utf8.ValidString(text) || !json.Valid(bytesOf(text)) {
		return dataAndMetadata{}, false
	}
	members := objectMembers(text)
	if len(members) != 2 || !hasMember(members, "data") || !hasMember(members, "headers") {
		return dataAndMetadata{}, false
	}
	for _, member := range members {
		if member.name == "data" {
			data, isText := stringBytes(member.value)
			if !isText {
				return dataAndMetadata{}, false
			}
			body := string(data)
			m.data = &body
			continue
		}
		if member.value[0] != '{' {
			return dataAndMetadata{}, false
		}
		for _, header := range objectMembers(string(member.value)) {
			m.metadata = append(m.metadata, header.name, valueText(header.value))
		}
	}
	return m, true
}
