package peer

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/streamgate/streamgate/gateway/foreign"
)

// Bounds of what is read of an answer, and of what a description quotes of it.
const (
	maxRead  = 4 << 10 // bytes, as they were sent
	maxText  = 1 << 10 // bytes, after unpacking
	maxShown = 200     // characters
	maxName  = 100     // characters of a media type or an address
)

// Answer is what is known of an HTTP answer without reading all of it.
type Answer struct {
	// Address is where the request went, see [Redacted].
	Address string
	// Status is the status that the server really sent.
	Status int
	// ContentType is the media type of the body, without parameters; "" if the server named none.
	ContentType string
	// Location is where a redirect leads, absolute and without secrets; "" for an answer that is not a redirect.
	Location string
	// Text is the beginning of the body, unpacked and in UTF-8, at most 1 KiB. Where that is impossible it is the bytes
	// that were sent, unless they are compressed.
	Text []byte
	// Unreadable says why Text cannot be read, like "the content is compressed with br; supported are gzip and
	// deflate"; "" if it can.
	Unreadable string
}

// Read reads the beginning of an answer, at most 4 KiB of its body, and returns what it says. It does not close the
// body. An answer that breaks off is described by what came before.
func Read(response *http.Response) *Answer {
	a := &Answer{Status: response.StatusCode, ContentType: mediaType(response.Header.Get("Content-Type"))}
	var address *url.URL
	if response.Request != nil && response.Request.URL != nil {
		address = response.Request.URL
		a.Address = redacted(address)
	}
	if to := response.Header.Get("Location"); to != "" && a.Status >= 300 && a.Status < 400 {
		a.Location = place(address, to)
	}
	if response.Body == nil || response.ContentLength == 0 {
		return a
	}
	raw, _ := io.ReadAll(io.LimitReader(response.Body, maxRead)) // what came before an error will do
	a.read(raw, response.Header)
	return a
}

// read unpacks and converts the bytes of a body.
func (a *Answer) read(raw []byte, header http.Header) {
	if len(raw) == 0 {
		return
	}
	options := foreign.ForResponse(header, maxRead<<4)
	reader, err := foreign.NewReader(bytes.NewReader(raw), options)
	if err == nil {
		// The bytes may end in the middle of a compression or a character: only an error without any text is one.
		a.Text, err = io.ReadAll(io.LimitReader(reader, maxText))
	}
	if err == nil || len(a.Text) > 0 {
		return
	}
	a.Unreadable = err.Error()
	if options.ContentEncoding == "" && !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		a.Text = raw[:min(len(raw), maxText)]
	}
}

// String describes the answer with the address that was asked.
func (a *Answer) String() string {
	if a.Address == "" {
		return a.Describe()
	}
	return a.Address + " answered " + a.Describe()
}

// Describe describes the answer: its status, its media type, the place of a redirect, and the beginning of its text, as
// in: 400 Bad Request (application/json): {"error":"no customer"}.
func (a *Answer) Describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d", a.Status)
	if text := http.StatusText(a.Status); text != "" {
		b.WriteString(" " + text)
	}
	if a.Location != "" {
		b.WriteString(", a redirect to " + a.Location + ", which is not followed")
		return b.String()
	}
	if a.ContentType != "" && (len(a.Text) > 0 || a.Unreadable != "") {
		b.WriteString(" (" + a.ContentType + ")")
	}
	if text := a.shown(); text != "" {
		b.WriteString(": " + text)
	}
	return b.String()
}

// shown returns the beginning of the body for people.
func (a *Answer) shown() string {
	if a.Unreadable != "" {
		if len(a.Text) > 0 {
			return "content that is not text"
		}
		return a.Unreadable
	}
	text := bytes.TrimSpace(a.Text)
	if len(text) == 0 {
		return ""
	}
	if text[0] == '<' || bytes.IndexByte(text, 0) >= 0 {
		return foreign.Describe(text)
	}
	return OneLine(string(text), maxShown)
}

// mediaType returns a media type without its parameters.
func mediaType(value string) string {
	parsed, _, err := mime.ParseMediaType(value)
	if err != nil {
		parsed, _, _ = strings.Cut(value, ";")
	}
	return OneLine(parsed, maxName)
}

// place returns where a redirect leads.
func place(from *url.URL, to string) string {
	target, err := url.Parse(to)
	if err != nil {
		return "an address that is not valid"
	}
	if from != nil {
		target = from.ResolveReference(target)
	}
	return redacted(target)
}

// Redacted returns an address without user, password, query and fragment, which may be secret, for logs and documents.
func Redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that is not valid" // the text itself may hold a password
	}
	return redacted(u)
}

func redacted(u *url.URL) string {
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return bare.String()
}

// OneLine returns the beginning of a text, at most so many characters, as one line of printable characters.
func OneLine(text string, limit int) string {
	var b strings.Builder
	count, wasSpace := 0, true
	for _, r := range text {
		if count == limit {
			return strings.TrimSpace(b.String()) + "..."
		}
		switch {
		case unicode.IsSpace(r):
			if wasSpace {
				continue
			}
			r = ' '
		case !unicode.IsPrint(r), r == utf8.RuneError:
			r = '?'
		}
		wasSpace = r == ' '
		b.WriteRune(r)
		count++
	}
	return strings.TrimSpace(b.String())
}
