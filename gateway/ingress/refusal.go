package ingress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/streamgate/streamgate/gateway/schema"
	"github.com/streamgate/streamgate/gateway/stream"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// What a client may go on sending after it was refused, so that it comes to read the answer.
const (
	maxDiscard  = 256 << 20
	discardTime = 10 * time.Second
	keptOpen    = 256 << 10 // a connection with less to discard can be used again
)

// refuseUnread refuses a request whose body has not been read, or not to its end. The answer is sent at once, for
// clients that look at it while they are sending. Most send everything first, and would see a broken connection instead
// of the answer if theirs was closed before; so the rest is read, within bounds. A client that waits for 100 (Continue)
// sends nothing.
func (in *Handler) refuseUnread(w http.ResponseWriter, r *http.Request, status int, detail string) {
	if r.ContentLength == 0 || r.ProtoMajor > 1 { // HTTP/2 can refuse what is left of one request
		in.refuse(w, status, detail, nil)
		return
	}
	waits := r.Header.Get("Expect") != ""
	if waits || r.ContentLength < 0 || r.ContentLength > keptOpen {
		w.Header().Set("Connection", "close")
	}
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // else net/http reads before it answers
	in.refuse(w, status, detail, nil)
	if control.Flush() != nil || waits {
		return
	}
	_ = control.SetReadDeadline(time.Now().Add(in.discardTime))
	_, _ = io.CopyN(io.Discard, r.Body, maxDiscard)
}

// refuseBody answers that the body could not be read.
func (in *Handler) refuseBody(w http.ResponseWriter, r *http.Request, err error, limit int) {
	switch {
	case errors.Is(err, errNoRoom):
		w.Header().Set("Retry-After", "1")
		in.refuseUnread(w, r, http.StatusServiceUnavailable, "too many events are on their way in; send the event again later")
	case errors.Is(err, errTooLarge):
		in.refuseUnread(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("the content is larger than %d bytes", limit))
	case errors.Is(err, errSlow):
		in.metrics.closed.WithLabelValues(closedSlow).Inc()
		closeAfter(w, r)
		in.refuse(w, http.StatusRequestTimeout, fmt.Sprintf(
			"the content did not arrive in time; it may take %s, and one second more for each %d bytes", in.bodyGrace, minBodyRate), nil)
	default:
		closeAfter(w, r)
		in.refuse(w, http.StatusBadRequest, "the content could not be read to its end", nil)
	}
}

// closeAfter closes a connection of HTTP/1 after the answer: where its next request begins is not known.
func closeAfter(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
}

// refuseEvent answers what is wrong with the event itself.
func (in *Handler) refuseEvent(w http.ResponseWriter, err error) {
	broken, ok := errors.AsType[*rawevent.Error](err)
	if !ok {
		in.refuse(w, http.StatusBadRequest, err.Error(), nil)
		return
	}
	status := http.StatusBadRequest
	switch broken.Reason {
	case rawevent.Unsupported:
		status = http.StatusUnsupportedMediaType
		w.Header().Set("Accept", "application/cloudevents+json, application/cloudevents-batch+json")
	case rawevent.TooLarge:
		status = http.StatusRequestEntityTooLarge
	}
	more := map[string]any{}
	if broken.Attribute != "" {
		more["attribute"] = broken.Attribute
	}
	if broken.Index >= 0 {
		more["index"] = broken.Index
	}
	in.refuse(w, status, broken.Error(), more)
}

// refuseData answers that the data is not what its schema says. An index of -1 is that of no batch.
func (in *Handler) refuseData(w http.ResponseWriter, violations []schema.Violation, index int) {
	more := map[string]any{"violations": violations}
	if index >= 0 {
		more["index"] = index
	}
	in.refuse(w, http.StatusUnprocessableEntity, violations[0].String(), more)
}

// unavailable answers that the event could not be stored: it is the producer's to send again.
func (in *Handler) unavailable(w http.ResponseWriter, err error) {
	after, detail := "1", "the event could not be stored; send it again later"
	switch {
	case errors.Is(err, stream.ErrFull):
		after, detail = "5", "the stream is full (retention.hardLength); send the event again when its subscriptions have caught up, or let its operator raise that bound"
	case errors.Is(err, context.DeadlineExceeded):
		detail = "Redis did not answer in time; send the event again later, with the same id"
	}
	w.Header().Set("Retry-After", after)
	in.refuse(w, http.StatusServiceUnavailable, detail, nil)
}

// refuse writes a problem document. detail must not contain anything of the request but names.
func (in *Handler) refuse(w http.ResponseWriter, status int, detail string, more map[string]any) {
	in.metrics.refused.WithLabelValues(strconv.Itoa(status)).Inc()
	problem := map[string]any{"title": http.StatusText(status), "status": status, "detail": detail}
	for name, value := range more {
		problem[name] = value
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem) // a client that has gone needs no answer
}
