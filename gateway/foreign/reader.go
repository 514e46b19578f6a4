package foreign

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"

	"github.com/streamgate/streamgate/internal/charset"
)

// Options describe a text and what is wanted of it. The zero value is UTF-8 text, in which nothing is compressed.
type Options struct {
	// ContentType is the value of the HTTP header, or the media type of a file; "" if unknown. Its charset counts, and
	// whether it is JSON, see JSON.
	ContentType string
	// ContentEncoding is the value of the HTTP header; several are separated by commas. Supported are gzip, deflate and
	// identity. Text that is gzip data without saying so is unpacked, too: no text begins like that.
	ContentEncoding string
	// Limit is the largest size in bytes, after unpacking and conversion; 0 means [DefaultLimit].
	Limit int64
	// JSON says that the text is JSON whatever its ContentType.
	JSON bool
	// NonFinite says what to do with NaN and Infinity in JSON. It has no effect on other text.
	NonFinite NonFinite
}

// DefaultLimit is the limit of a text when [Options] has none.
const DefaultLimit = 16 << 20

// NonFinite says what to do with NaN and Infinity, which are not JSON, but which Python and others write.
type NonFinite uint8

const (
	// KeepNonFinite leaves them in the text. [ReadJSON] then refuses the text, and says where they are.
	KeepNonFinite NonFinite = iota
	// NullNonFinite replaces them with null and counts them, see [Reader.NonFinite].
	NullNonFinite
)

// isJSON reports whether the text is to be JSON.
func (o *Options) isJSON() bool {
	if o.JSON {
		return true
	}
	mediaType, _, err := mime.ParseMediaType(o.ContentType)
	if err != nil {
		mediaType, _, _ = strings.Cut(o.ContentType, ";")
	}
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	return strings.HasSuffix(mediaType, "/json") || strings.HasSuffix(mediaType, "+json")
}

func (o *Options) limit() int64 {
	if o.Limit > 0 {
		return o.Limit
	}
	return DefaultLimit
}

// Reader is a text in UTF-8. It implements [io.Reader] and is for one goroutine at a time. It keeps a few tens of
// kilobytes in memory, whatever the size of the text, but for JSON labelled as a single-byte charset: that is read at
// once, up to the limit, because only its end tells whether the label is right.
type Reader struct {
	source  *bufio.Reader
	decoder *charset.Decoder
	from    charset.Encoding
	layers  []string
	numbers *numbers // nil: non-finite numbers stay
	limit   int64
	left    int64 // of limit

	raw   []byte // read from source, not decoded yet
	ready []byte // decoded, not given out yet
	err   error  // after ready
}

var _ io.Reader = (*Reader)(nil)

const pieceSize = 16 << 10

// NewReader returns a reader of the text behind r, of which it reads the beginning to find its encoding. A non-nil
// error is an *[Error], or an error of r. Read returns such errors, too: text before the fault has been returned then,
// so that a caller that cannot take back its effects must read everything first, as [Read] does. NewReader does not
// close r.
func NewReader(r io.Reader, o Options) (*Reader, error) {
	limit := o.limit()
	plain, layers, err := unpack(r, o.ContentEncoding, limit)
	if err != nil {
		return nil, err
	}
	head, err := plain.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, readError(err)
	}
	from, skip, err := charset.Find(head, charset.OfContentType(o.ContentType))
	if err != nil {
		return nil, fromCharset(err)
	}
	isJSON := o.isJSON()
	if isJSON && (from == charset.Latin1 || from == charset.Windows1252) {
		text, err := io.ReadAll(io.LimitReader(plain, limit+1))
		if err != nil {
			return nil, readError(err)
		}
		from = charset.ForText(from, text, true)
		plain = bufio.NewReader(bytes.NewReader(text))
	}
	if _, err := plain.Discard(skip); err != nil {
		return nil, readError(err)
	}
	reader := &Reader{
		source: plain, decoder: charset.NewDecoder(from, int64(skip)), from: from, layers: layers,
		limit: limit, left: limit,
	}
	if isJSON && o.NonFinite == NullNonFinite {
		reader.numbers = &numbers{}
	}
	return reader, nil
}

// Charset returns the name of the charset that the text was in, in lower case.
func (r *Reader) Charset() string { return r.from.String() }

// Encodings returns the compressions that were undone, the outermost first; nil if there were none.
func (r *Reader) Encodings() []string { return r.layers }

// NonFinite returns how many NaN and Infinity have been replaced so far.
func (r *Reader) NonFinite() int {
	if r.numbers == nil {
		return 0
	}
	return r.numbers.replaced
}

// Read implements [io.Reader].
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.ready) == 0 && r.err == nil && len(p) > 0 {
		r.fill()
	}
	if len(r.ready) == 0 {
		return 0, r.err
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// fill decodes the next piece. Text is given out also when an error follows it.
func (r *Reader) fill() {
	if r.raw == nil {
		r.raw = make([]byte, 0, pieceSize)
	}
	n, err := r.source.Read(r.raw[len(r.raw):cap(r.raw)])
	r.raw = r.raw[:len(r.raw)+n]
	last := errors.Is(err, io.EOF)
	if err != nil && !last {
		r.err = readError(err)
		return
	}
	decoded, used, err := r.decoder.Append(nil, r.raw, last)
	r.raw = r.raw[:copy(r.raw, r.raw[used:])]
	switch {
	case err != nil:
		r.err = fromCharset(err)
	case last:
		r.err = io.EOF
	}
	if r.numbers != nil {
		decoded = r.numbers.replace(decoded, r.err != nil)
	}
	if int64(len(decoded)) > r.left {
		decoded, r.err = decoded[:r.left], tooLarge(r.limit)
	}
	r.left -= int64(len(decoded))
	r.ready = decoded
}

// readError makes errors of decompression an *[Error] and keeps those of the network.
func readError(err error) error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return fmt.Errorf("read the content: %w", err)
}
