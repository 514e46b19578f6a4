package sink

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/streamgate/streamgate/gateway/peer"
)

// usualHeaderBytes is how much of headers nearly all HTTP servers accept. Many end at 8 KB, some later.
const usualHeaderBytes = 8 << 10

// noResponse is the outcome of an attempt to which no HTTP answer came.
func noResponse(reason string) Outcome {
	return Outcome{Code: NoResponse, Detail: []byte(reason)}
}

// detailOf returns what a dead letter keeps of an answer: the beginning of its body, readable where possible.
func detailOf(a *peer.Answer) []byte {
	if len(a.Text) == 0 {
		return []byte(a.Unreadable)
	}
	return a.Text[:min(len(a.Text), MaxDetailBytes)]
}

// remedy says what can be done about an answer that is a failure; "" if nothing can be said in general.
func (s *httpSink) remedy(a *peer.Answer, request *http.Request) string {
	headers := 0
	if request != nil {
		headers = headerBytes(request.Header)
	}
	isBinary := !s.structure && headers > usualHeaderBytes
	switch {
	case a.Status == http.StatusRequestHeaderFieldsTooLarge:
		return fmt.Sprintf("the attributes of the event are too long for HTTP headers (%d bytes): set delivery.format: json, "+
			"or allow longer headers at the sink", headers)
	case a.Status == http.StatusBadRequest && isBinary:
		return fmt.Sprintf("the headers have %d bytes, which many servers answer with 400: try delivery.format: json", headers)
	case a.Location != "":
		return "if that is where events belong, make it the address of the sink"
	}
	switch a.Status {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		return "check the credentials that are configured for the sink"
	case http.StatusMethodNotAllowed:
		return "the address does not accept POST requests"
	case http.StatusRequestEntityTooLarge:
		return "the sink does not accept requests of this size"
	case http.StatusUnsupportedMediaType:
		return "the sink does not accept this format; delivery.format can be binary or json"
	}
	return ""
}

// headerBytes returns the length of headers as HTTP/1.1 sends them.
func headerBytes(header http.Header) int {
	n := 0
	for name, values := range header {
		for _, value := range values {
			n += len(name) + len(value) + len(": \r\n")
		}
	}
	return n
}

// RedactedURI returns an address without user, password, query and fragment, for events and logs.
func RedactedURI(uri string) string { return peer.Redacted(strings.TrimSpace(uri)) }
