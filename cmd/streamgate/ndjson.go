package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/streamgate/streamgate/gateway/foreign"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// maxNDJSON is the bound that the reader requires; input from stdin is not limited in practice.
const maxNDJSON = 1 << 50

// eachLine calls send with the event of each line of NDJSON that is not blank. It reads what programs write: with
// a byte order mark, in UTF-16, with CRLF, and without an end of the last line. An error names the line; the lines
// before it were sent.
func eachLine(stdin io.Reader, send func(*rawevent.Event) error) error {
	text, err := foreign.NewReader(stdin, foreign.Options{Limit: maxNDJSON})
	if err != nil {
		return fmt.Errorf("read stdin: %w", err)
	}
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, maxLine)
	n := 0
	for lines.Scan() {
		if n++; lines.Err() != nil {
			break // the line is cut off where the text could not be read any more
		}
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		event, err := rawevent.FromJSON(bytes.Clone(line))
		if err == nil {
			err = send(&event)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("line %d is longer than %d MiB", n+1, maxLine>>20)
	case err != nil:
		return fmt.Errorf("read stdin, line %d: %w", max(n, 1), err)
	}
	return nil
}
