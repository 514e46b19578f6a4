package foreign

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"strings"
)

// maxLayers bounds how often a text may be compressed. More than one layer is a mistake already, but a common one.
const maxLayers = 3

// Unpack reads what is behind r, undoes the compressions that contentEncoding names, and leaves everything else as it
// is: what comes out need not be text. It reads at most limit bytes, after unpacking; 0 means [DefaultLimit]. A non-nil
// error is an *[Error], or an error of r.
func Unpack(r io.Reader, contentEncoding string, limit int64) ([]byte, error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	codings, err := codingsOf(contentEncoding)
	if err != nil {
		return nil, err
	}
	input := bufio.NewReader(&bounded{r: r, left: limit + limit/100 + 64<<10, limit: limit})
	for _, coding := range codings {
		if input, err = decompress(input, coding); err != nil {
			return nil, err
		}
	}
	content, err := io.ReadAll(io.LimitReader(input, limit+1))
	if err != nil {
		return nil, readError(err)
	}
	if int64(len(content)) > limit {
		return nil, tooLarge(limit)
	}
	return content, nil
}

// unpack returns the text behind r without its compressions, and their names, the outermost first. What is read from r
// is bounded as well as what comes out: empty gzip members would take input without end, and give nothing.
func unpack(r io.Reader, contentEncoding string, limit int64) (*bufio.Reader, []string, error) {
	codings, err := codingsOf(contentEncoding)
	if err != nil {
		return nil, nil, err
	}
	// Compressed data can be larger than what it holds, by less than this.
	input := bufio.NewReader(&bounded{r: r, left: limit + limit/100 + 64<<10, limit: limit})
	for _, coding := range codings {
		if input, err = decompress(input, coding); err != nil {
			return nil, nil, err
		}
	}
	if len(codings) == maxLayers || !isGzip(input) {
		return input, codings, nil
	}
	if input, err = decompress(input, "gzip"); err != nil {
		return nil, nil, err
	}
	return input, append(codings, "gzip"), nil
}

// codingsOf returns the compressions in the order in which they are to be undone: Content-Encoding lists them in the
// order in which they were applied.
func codingsOf(contentEncoding string) ([]string, error) {
	var codings []string
	for name := range strings.SplitSeq(contentEncoding, ",") {
		switch name = strings.ToLower(strings.TrimSpace(name)); name {
		case "", "identity":
			continue
		case "x-gzip":
			name = "gzip"
		case "gzip", "deflate":
		default:
			return nil, &Error{Unsupported, "the content is compressed with " + shorten(name) +
				"; supported are gzip and deflate"}
		}
		codings = append([]string{name}, codings...)
	}
	if len(codings) > maxLayers {
		return nil, &Error{Unsupported, "the content is compressed more than 3 times"}
	}
	return codings, nil
}

func shorten(name string) string {
	if len(name) > 20 {
		name = name[:20] + "..."
	}
	return strings.ToValidUTF8(name, "?")
}

func isGzip(r *bufio.Reader) bool {
	head, _ := r.Peek(2) // an error comes again when the text is read
	return bytes.Equal(head, []byte{0x1f, 0x8b})
}

func decompress(input *bufio.Reader, coding string) (*bufio.Reader, error) {
	if _, err := input.Peek(1); errors.Is(err, io.EOF) {
		return input, nil // servers label empty answers, too
	}
	var unpacked io.Reader
	var err error
	switch {
	case coding == "gzip":
		if !isGzip(input) {
			return nil, damaged("Content-Encoding says gzip, but the content is not gzip data")
		}
		unpacked, err = gzip.NewReader(input)
	case isZlib(input):
		unpacked, err = zlib.NewReader(input)
	default:
		// RFC 9110 means zlib (RFC 1950) by deflate; some servers send bare deflate data (RFC 1951).
		unpacked = flate.NewReader(input)
	}
	if err != nil {
		return nil, (&decompressor{coding: coding}).describe(err)
	}
	return bufio.NewReader(&decompressor{r: unpacked, coding: coding}), nil
}

// isZlib reports whether data begin with a header of RFC 1950.
func isZlib(r *bufio.Reader) bool {
	head, _ := r.Peek(2)
	return len(head) == 2 && head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0
}

// decompressor describes the errors of a decompressing reader.
type decompressor struct {
	r      io.Reader
	coding string
}

func (d *decompressor) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, d.describe(err)
	}
	return n, err
}

func (d *decompressor) describe(err error) error {
	var known *Error
	var corrupt flate.CorruptInputError
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return damaged("the %s content is cut off", d.coding)
	case errors.As(err, &corrupt), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum),
		errors.Is(err, zlib.ErrHeader), errors.Is(err, zlib.ErrChecksum), errors.Is(err, zlib.ErrDictionary):
		return damaged("the %s content is damaged", d.coding)
	}
	return err // of the connection
}

// bounded fails with TooLarge, where [io.LimitReader] would end the text.
type bounded struct {
	r           io.Reader
	left, limit int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, tooLarge(b.limit)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}
