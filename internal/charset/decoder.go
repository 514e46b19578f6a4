package charset

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// Decoder converts text piece by piece. Create one with [NewDecoder].
type Decoder struct {
	encoding Encoding
	offset   int64 // of the next byte in the input, for errors
}

// NewDecoder returns a decoder of text without a byte order mark. offset is the position of its first byte in the
// input, to which errors refer.
func NewDecoder(e Encoding, offset int64) *Decoder { return &Decoder{encoding: e, offset: offset} }

// Append appends src in UTF-8 to dst. It consumes n bytes of src: all but an incomplete character at the end, which the
// caller must give again in front of the next piece. With last, no further piece follows, and an incomplete character
// is an error. An error is an *[InvalidError]; what is before it has been appended.
func (d *Decoder) Append(dst, src []byte, last bool) (result []byte, n int, err error) {
	switch d.encoding {
	case UTF16LE:
		dst, n, err = d.utf16(dst, src, last, binary.LittleEndian)
	case UTF16BE:
		dst, n, err = d.utf16(dst, src, last, binary.BigEndian)
	case Latin1, Windows1252:
		dst, n, err = d.singleByte(dst, src)
	default:
		dst, n, err = d.utf8(dst, src, last)
	}
	d.offset += int64(n)
	return dst, n, err
}

func (d *Decoder) invalid(src []byte, at int) error {
	return &InvalidError{d.encoding, d.offset + int64(at), src[at]}
}

func (d *Decoder) utf8(dst, src []byte, last bool) ([]byte, int, error) {
	at := invalidUTF8(src)
	if at < 0 {
		return append(dst, src...), len(src), nil
	}
	dst = append(dst, src[:at]...)
	if !last && !utf8.FullRune(src[at:]) {
		return dst, at, nil
	}
	return dst, at, d.invalid(src, at)
}

func (d *Decoder) utf16(dst, src []byte, last bool, order binary.ByteOrder) ([]byte, int, error) {
	i := 0
	for ; i+1 < len(src); i += 2 {
		r := rune(order.Uint16(src[i:]))
		if utf16.IsSurrogate(r) {
			if i+3 >= len(src) {
				break
			}
			if r = utf16.DecodeRune(r, rune(order.Uint16(src[i+2:]))); r == utf8.RuneError {
				return dst, i, d.invalid(src, i)
			}
			i += 2
		}
		dst = utf8.AppendRune(dst, r)
	}
	if last && i < len(src) {
		return dst, i, d.invalid(src, i)
	}
	return dst, i, nil
}

// singleByte decodes ISO-8859-1 and windows-1252. They differ in 0x80 to 0x9F, where ISO-8859-1 has control characters
// that no text contains, and which senders mean as windows-1252; the WHATWG Encoding Standard decodes both alike. Of
// the five bytes there that windows-1252 does not define, ISO-8859-1 has its control characters.
func (d *Decoder) singleByte(dst, src []byte) ([]byte, int, error) {
	for i, c := range src {
		r := rune(c)
		if c >= 0x80 && c <= 0x9F {
			if high := windows1252(c); high != 0 {
				r = high
			} else if d.encoding == Windows1252 {
				return dst, i, d.invalid(src, i)
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, len(src), nil
}

// windows1252 returns the character of a byte from 0x80 to 0x9F, 0 if there is none.
func windows1252(c byte) rune {
	const highs = "€\x00‚ƒ„…†‡ˆ‰Š‹Œ\x00Ž\x00\x00‘’“”•–—˜™š›œ\x00žŸ"
	i := byte(0x80)
	for _, r := range highs {
		if i == c {
			return r
		}
		i++
	}
	return 0
}
