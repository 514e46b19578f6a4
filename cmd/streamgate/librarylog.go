package main

import (
	"log"
	"log/slog"
	"strings"

	"github.com/streamgate/streamgate/gateway/peer"
)

// takeLibraryLog makes what libraries write with Go's package log a part of the program's own log: net/http reports
// faults of servers there, and has no other way. It changes the process, so that only a command may call it, once.
func takeLibraryLog(to *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(libraryLog{to})
}

type libraryLog struct{ log *slog.Logger }

// maxLibraryLine bounds a line of a library, in characters.
const maxLibraryLine = 300

// Write takes one line. What a server has sent does not belong into a log, and is cut off.
func (l libraryLog) Write(line []byte) (int, error) {
	text := peer.OneLine(string(line), maxLibraryLine)
	if strings.HasPrefix(text, "Unsolicited response received on idle HTTP channel") {
		l.log.Warn("an HTTP server sent data that belongs to no request; the connection was closed")
	} else {
		l.log.Warn("a library reports a fault", "detail", text)
	}
	return len(line), nil
}
