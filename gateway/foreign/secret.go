package foreign

import (
	"bytes"
	"io"
	"strings"
	"unicode"

	"github.com/streamgate/streamgate/internal/charset"
)

// MaxSecret is the largest size of a secret in bytes.
const MaxSecret = 64 << 10

// ReadSecret reads a secret from a file: one line, without the white space around it, which editors and echo add. Files
// of Windows, with a byte order mark or in UTF-16, are read as well. A non-nil error is an *[Error], or an error of r;
// it contains nothing of the secret.
func ReadSecret(r io.Reader) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxSecret+1))
	switch {
	case err != nil:
		return "", readError(err)
	case len(raw) > MaxSecret:
		return "", tooLarge(MaxSecret)
	}
	text, _, _, err := charset.Decode(raw, "", false)
	if err != nil {
		return "", damaged("the file is not text in UTF-8 or UTF-16 with a byte order mark")
	}
	secret := strings.TrimSpace(string(text))
	switch {
	case secret == "":
		return "", damaged("the file is empty, or holds only blanks")
	case strings.ContainsAny(secret, "\r\n"):
		return "", damaged("the file has more than one line; write the secret alone into it")
	case strings.ContainsFunc(secret, unicode.IsControl):
		return "", damaged("the secret has a control character; save the file as plain text")
	}
	return secret, nil
}

// Line returns a line of a file of lines that grows while it is read, without its line end; isFirst says that it is the
// first one of the file, which may have a byte order mark. A file in UTF-16 is refused, because its lines cannot be
// told apart by a byte; [NewReader] reads it as a stream. The result is a slice of line. An error is an *[Error].
func Line(line []byte, isFirst bool) ([]byte, error) {
	line = bytes.TrimRight(line, "\r\n")
	text, from, _, err := charset.Decode(line, "", true)
	switch {
	case isFirst && (from == charset.UTF16LE || from == charset.UTF16BE):
		return nil, &Error{Unsupported, "the file is UTF-16; save it as UTF-8"}
	case from == charset.UTF16LE || from == charset.UTF16BE:
		return nil, damaged("the line has zero bytes; save the file as UTF-8")
	case err != nil:
		return nil, fromCharset(err)
	case !isFirst:
		return line, nil // where a byte order mark is a character
	}
	return text, nil
}
