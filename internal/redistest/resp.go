package redistest

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// frame is one command of a client or one reply of a server, in its wire form.
type frame struct {
	kind byte // its first byte
	raw  []byte
}

// readFrame reads one frame: a RESP2 or RESP3 value, or an inline command. With an error it returns the bytes read so
// far.
func readFrame(r *bufio.Reader) (frame, error) {
	var raw []byte
	err := readValue(r, &raw)
	f := frame{raw: raw}
	if len(raw) > 0 {
		f.kind = raw[0]
	}
	return f, err
}

// readValue appends one value with its elements. An attribute belongs to the value that follows it.
func readValue(r *bufio.Reader, raw *[]byte) error {
	line, err := r.ReadBytes('\n')
	*raw = append(*raw, line...)
	if err != nil {
		return err
	}
	values := 0
	switch line[0] {
	case '$', '=', '!': // strings with a length prefix
		n, err := length(line)
		if err != nil || n < 0 {
			return err
		}
		return readBytes(r, n+len("\r\n"), raw)
	case '*', '~', '>':
		values, err = length(line)
	case '%':
		values, err = length(line)
		values *= 2
	case '|':
		values, err = length(line)
		values = values*2 + 1
	}
	if err != nil {
		return err
	}
	for range values { // never for a null array, whose length is -1
		if err := readValue(r, raw); err != nil {
			return err
		}
	}
	return nil
}

func readBytes(r *bufio.Reader, n int, raw *[]byte) error {
	start := len(*raw)
	*raw = append(*raw, make([]byte, n)...)
	for read := start; read < len(*raw); {
		n, err := r.Read((*raw)[read:])
		read += n
		if err != nil {
			*raw = (*raw)[:read]
			return err
		}
	}
	return nil
}

func length(line []byte) (int, error) {
	n, err := strconv.Atoi(string(bytes.TrimSpace(line[1:])))
	if err != nil {
		return 0, fmt.Errorf("read length of a RESP value: %w", err)
	}
	return n, nil
}

// command returns the name of the command that f is, in upper case.
func (f frame) command() string {
	if f.kind != '*' {
		name, _, _ := strings.Cut(strings.TrimSpace(string(f.raw)), " ")
		return strings.ToUpper(name)
	}
	// *2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n
	parts := strings.SplitN(string(f.raw[:min(len(f.raw), 200)]), "\r\n", 4)
	if len(parts) < 3 {
		return ""
	}
	return strings.ToUpper(parts[2])
}
