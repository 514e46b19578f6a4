package layout

import (
	"encoding/binary"
	"errors"
)

// Errors of decodeStringMap.
var (
	errMsgpackShort = errors.New("the MessagePack text ends too early")
	errMsgpackTail  = errors.New("data follows the MessagePack map")
	errMsgpackType  = errors.New("the MessagePack text is not a map of strings to strings")
)

// decodeStringMap decodes a MessagePack map of strings to strings and returns its keys and values alternately, in their
// order. They share memory with text and are arbitrary bytes, of type str or, from writers in other languages, bin. nil
// is read as an empty map, because Go's encoders write a nil map so.
//
// It supports only the part of MessagePack that Watermill writes, to keep the code that untrusted entries reach small.
// A length is checked against the bytes that remain, so the result is at most 16 times as large as text.
func decodeStringMap(text string) ([]string, error) {
	r := msgpackReader{rest: text}
	pairs, err := r.mapHeader()
	if err != nil {
		return nil, err
	}
	if pairs > uint64(len(r.rest)/2) { // each string takes at least one byte
		return nil, errMsgpackShort
	}
	all := make([]string, 0, 2*pairs)
	for range 2 * pairs {
		s, err := r.str()
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	if r.rest != "" {
		return nil, errMsgpackTail
	}
	return all, nil
}

// The first bytes of the types (MessagePack specification, formats).
const (
	msgpackNil    = 0xc0
	msgpackFixMap = 0x80 // and the number of pairs in the lower 4 bits
	msgpackMap16  = 0xde
	msgpackMap32  = 0xdf
	msgpackFixStr = 0xa0 // and the length in the lower 5 bits
	msgpackStr8   = 0xd9
	msgpackStr16  = 0xda
	msgpackStr32  = 0xdb
	msgpackBin8   = 0xc4
	msgpackBin16  = 0xc5
	msgpackBin32  = 0xc6
)

type msgpackReader struct{ rest string }

func (r *msgpackReader) mapHeader() (pairs uint64, err error) {
	first, err := r.number(1)
	switch {
	case err != nil:
		return 0, err
	case first == msgpackNil:
		return 0, nil
	case first&^0x0f == msgpackFixMap:
		return first & 0x0f, nil
	case first == msgpackMap16:
		return r.number(2)
	case first == msgpackMap32:
		return r.number(4)
	default:
		return 0, errMsgpackType
	}
}

func (r *msgpackReader) str() (string, error) {
	first, err := r.number(1)
	if err != nil {
		return "", err
	}
	length := first & 0x1f
	switch {
	case first&^0x1f == msgpackFixStr:
	case first == msgpackStr8 || first == msgpackBin8:
		length, err = r.number(1)
	case first == msgpackStr16 || first == msgpackBin16:
		length, err = r.number(2)
	case first == msgpackStr32 || first == msgpackBin32:
		length, err = r.number(4)
	default:
		err = errMsgpackType
	}
	if err != nil {
		return "", err
	}
	return r.take(length)
}

// number reads an unsigned integer of at most 8 bytes.
func (r *msgpackReader) number(size uint64) (uint64, error) {
	digits, err := r.take(size)
	if err != nil {
		return 0, err
	}
	var padded [8]byte
	copy(padded[8-size:], digits)
	return binary.BigEndian.Uint64(padded[:]), nil
}

func (r *msgpackReader) take(n uint64) (string, error) {
	if n > uint64(len(r.rest)) {
		return "", errMsgpackShort
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken, nil
}
