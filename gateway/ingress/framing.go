package ingress

import (
	"bytes"
	"strconv"
	"strings"
)

// framing follows the bytes of an HTTP/1 connection and finds requests whose length two readers could understand
// differently: both Content-Length and Transfer-Encoding, several of one of them, a length that is not a number,
// Transfer-Encoding in HTTP/1.0, and folded header lines. net/http reads most of these, and a proxy in front of the
// gateway may read them otherwise, so that the end of one request is the beginning of another (request smuggling).
//
// It follows nothing that net/http refuses by itself: such a connection is closed, and what follows does not matter.
// The zero value is at the beginning of a connection. It is not safe for concurrent use.
type framing struct {
	state state
	left  int64  // of the body or the chunk
	line  []byte // the beginning of a line whose end has not arrived, up to maxKeptLine
	first bool   // no line of this header has been read yet

	http10, chunked, hasLength bool
	length                     int64
}

type state uint8

const (
	inRequestLine state = iota
	inHeader
	inBody
	inChunkSize
	inChunk
	inTrailer
	anything // HTTP/2, or what net/http refuses
)

// maxKeptLine is how much of a line that arrives in pieces is kept: more than the fields of the length can need.
const maxKeptLine = 512

// What is wrong with a request, for its sender.
const (
	twoLengths    = "the request has both Content-Length and Transfer-Encoding; send only one of them"
	manyLengths   = "the request has several Content-Length fields; send one"
	oddLength     = "Content-Length is not a number"
	manyCodings   = "the request has several Transfer-Encoding fields; send one"
	chunkedHTTP10 = "Transfer-Encoding does not exist in HTTP/1.0; send Content-Length, or use HTTP/1.1"
	foldedLine    = "a header line is folded (it begins with a space or a tab); send each field on one line"
)

// follow reads the next bytes. If they make the request ambiguous, it returns how many of them may still be handed on,
// which never include the end of the header, and what is wrong; otherwise an empty string.
func (f *framing) follow(p []byte) (passed int, wrong string) {
	for at := 0; at < len(p); {
		switch f.state {
		case anything:
			return len(p), ""
		case inBody, inChunk:
			n := min(f.left, int64(len(p)-at))
			at += int(n)
			if f.left -= n; f.left > 0 {
				continue
			}
			if f.state == inBody {
				f.state = inRequestLine
			} else {
				f.state = inChunkSize
			}
		default:
			end := bytes.IndexByte(p[at:], '\n')
			if f.state == inHeader && len(f.line) == 0 && !f.first && (p[at] == ' ' || p[at] == '\t') {
				return at, foldedLine
			}
			if end < 0 {
				f.keep(p[at:])
				return len(p), ""
			}
			if wrong := f.endLine(p[at : at+end]); wrong != "" {
				return at + end, wrong
			}
			at += end + 1
		}
	}
	return len(p), ""
}

// keep keeps the beginning of a line.
func (f *framing) keep(part []byte) {
	f.line = append(f.line, part[:min(len(part), max(maxKeptLine-len(f.line), 0))]...)
}

// endLine reads a line whose last part is given, without its line feed.
func (f *framing) endLine(part []byte) (wrong string) {
	line := part
	if len(f.line) > 0 {
		f.keep(part)
		line = f.line
	}
	wrong = f.readLine(bytes.TrimSuffix(line, []byte("\r")))
	f.line = f.line[:0]
	return wrong
}

func (f *framing) readLine(line []byte) (wrong string) {
	switch f.state {
	case inRequestLine:
		f.beginHeader(line)
	case inHeader:
		f.first = false
		if len(line) == 0 {
			f.endHeader()
			return ""
		}
		return f.readField(line)
	case inChunkSize:
		f.beginChunk(line)
	case inTrailer:
		if len(line) == 0 {
			f.state = inRequestLine
		}
	}
	return ""
}

func (f *framing) beginHeader(line []byte) {
	if len(line) == 0 {
		return // net/http skips an empty line after the body of a POST
	}
	*f = framing{state: inHeader, first: true, line: f.line, http10: bytes.HasSuffix(line, []byte(" HTTP/1.0"))}
	if bytes.HasPrefix(line, []byte("PRI * HTTP/2")) {
		f.state = anything
	}
}

// readField notes the fields that say how long the body is.
func (f *framing) readField(line []byte) (wrong string) {
	const contentLength, transferEncoding = "content-length", "transfer-encoding"
	if line[0]|0x20 != 'c' && line[0]|0x20 != 't' {
		return ""
	}
	name, value, found := bytes.Cut(line, []byte(":"))
	switch {
	case !found:
	case len(name) == len(contentLength) && strings.EqualFold(string(name), contentLength):
		if f.hasLength {
			return manyLengths
		}
		length, err := strconv.ParseUint(string(bytes.Trim(value, " \t")), 10, 63)
		if err != nil {
			return oddLength
		}
		f.hasLength, f.length = true, int64(length) //nolint:gosec // of 63 bits
	case len(name) == len(transferEncoding) && strings.EqualFold(string(name), transferEncoding):
		switch {
		case f.http10:
			return chunkedHTTP10
		case f.chunked:
			return manyCodings
		}
		f.chunked = true // net/http refuses any other coding
	}
	if f.hasLength && f.chunked {
		return twoLengths
	}
	return ""
}

func (f *framing) endHeader() {
	switch {
	case f.chunked:
		f.state = inChunkSize
	case f.length > 0:
		f.state, f.left = inBody, f.length
	default:
		f.state = inRequestLine
	}
}

// beginChunk reads the line before a chunk: its size in hexadecimal digits, perhaps with extensions.
func (f *framing) beginChunk(line []byte) {
	digits := 0
	for digits < len(line) && strings.IndexByte("0123456789abcdefABCDEF", line[digits]) >= 0 {
		digits++
	}
	size, err := strconv.ParseUint(string(line[:digits]), 16, 62)
	switch {
	case err != nil:
		f.state = anything // net/http refuses it
	case size == 0:
		f.state = inTrailer
	default:
		f.state, f.left = inChunk, int64(size)+2 //nolint:gosec // of 62 bits; with the line end after the chunk
	}
}
