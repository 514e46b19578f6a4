package ingress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamgate/streamgate/gateway/schema"
	"github.com/streamgate/streamgate/gateway/stream"
	"github.com/streamgate/streamgate/gateway/webhook"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Handler is the HTTP handler that takes events in: POST / into the first stream, POST /{stream} into the named one, in
// binary, structured or batched mode. It answers 202 when Redis has acknowledged, and problem+json (RFC 9457) otherwise.
type Handler struct {
	publisher     *stream.Publisher
	maxEventBytes int
	maxBatchBytes int
	metrics       *metrics
	webHook       *webhook.Receiver // nil: no handshake
	open          atomic.Bool       // the gateway is neither starting nor shutting down
	budget        int64             // for the memory of large bodies, all together
	reading       atomic.Int64      // bytes of large bodies in memory at the moment
}

// New returns the handler of a valid configuration. It answers 503 until it is opened. Its metrics are registered.
func New(c *Config, publisher *stream.Publisher, registry prometheus.Registerer) *Handler {
	return &Handler{
		publisher: publisher, maxEventBytes: c.MaxEventBytes, maxBatchBytes: c.MaxBatchBytes, budget: maxBodies,
		webHook: webhook.NewReceiver(c.WebHook), metrics: newMetrics(registry, publisher.Streams()),
	}
}

// SetOpen says whether events are taken in; while they are not, they are answered with 503.
func (in *Handler) SetOpen(open bool) { in.open.Store(open) }

// maxBodies bounds the memory for the bodies of all requests at once; whoever comes on top is asked to come again.
const (
	maxBodies = 512 << 20
	smallBody = 64 << 10 // is not counted
)

// ServeHTTP implements http.Handler.
func (in *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions && in.webHook != nil {
		in.handshake(w, r)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		in.refuse(w, http.StatusMethodNotAllowed, "events are sent with POST", nil)
		return
	}
	if !in.open.Load() {
		w.Header().Set("Retry-After", "1")
		in.refuse(w, http.StatusServiceUnavailable, "the gateway is starting or shutting down; send the event again later", nil)
		return
	}
	stream, ok := in.stream(r)
	if !ok {
		in.refuse(w, http.StatusNotFound, "there is no such stream; post to / or to /{stream} of the configuration", nil)
		return
	}
	if !in.admit(w, r.Header) {
		return
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		// The bytes would be stored as data of the media type, which they are not.
		in.refuse(w, http.StatusUnsupportedMediaType, "a compressed content is not supported; send it without Content-Encoding", nil)
		return
	}
	isBatch := rawevent.ModeOf(r.Header.Get("Content-Type")) == rawevent.Batched
	limit := in.maxEventBytes
	if isBatch {
		limit = in.maxBatchBytes
	}
	body, charged, err := in.readBody(w, r, limit)
	defer in.reading.Add(-charged)
	switch {
	case errors.Is(err, errNoRoom):
		w.Header().Set("Retry-After", "1")
		in.refuse(w, http.StatusServiceUnavailable, "too many events are on their way in; send the event again later", nil)
	case errors.Is(err, errTooLarge):
		in.refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the content is larger than %d bytes", limit), nil)
	case err != nil:
		in.refuse(w, http.StatusBadRequest, "the content could not be read to its end", nil)
	case isBatch:
		in.takeBatch(w, r, stream, body)
	default:
		in.takeEvent(w, r, stream, body)
	}
}

// handshake answers OPTIONS, with which a web hook's sender asks whether it may deliver.
func (in *Handler) handshake(w http.ResponseWriter, r *http.Request) {
	if _, known := in.stream(r); !known {
		in.refuse(w, http.StatusNotFound, "there is no such stream; events go to / or to /{stream} of the configuration", nil)
		return
	}
	header, err := in.webHook.Handshake(r.Header)
	maps.Copy(w.Header(), header)
	if err != nil {
		in.refuse(w, http.StatusForbidden, err.Error(), nil)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// admit reports whether a web hook's sender may deliver now, and otherwise answers it.
func (in *Handler) admit(w http.ResponseWriter, header http.Header) bool {
	wait, err := in.webHook.Admit(header)
	switch {
	case err != nil:
		in.refuse(w, http.StatusForbidden, err.Error(), nil)
	case wait > 0:
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		in.refuse(w, http.StatusTooManyRequests,
			fmt.Sprintf("more than %d requests a minute came from this origin (server.webHook.rate)", in.webHook.Rate()), nil)
	default:
		return true
	}
	return false
}

// writeContext returns a context that the client cannot end. One that has closed its half of the connection still reads the
// answer, and net/http takes it for gone; the write is bounded in time by itself.
func writeContext(r *http.Request) context.Context { return context.WithoutCancel(r.Context()) }

func (in *Handler) stream(r *http.Request) (string, bool) {
	path, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/"))
	if err != nil {
		return "", false
	}
	return in.publisher.Resolve(path)
}

func (in *Handler) takeEvent(w http.ResponseWriter, r *http.Request, stream string, body []byte) {
	event, err := in.read(w, r, stream, body)
	if err != nil {
		in.refuseEvent(w, err)
		return
	}
	if violations := in.publisher.Check(stream, &event); len(violations) > 0 {
		in.refuseData(w, violations, -1)
		return
	}
	id, err := in.publisher.Publish(writeContext(r), stream, &event)
	if err != nil {
		in.unavailable(w, err)
		return
	}
	in.metrics.accepted.WithLabelValues(stream).Inc()
	w.Header()["Streamgate-Entry-Id"] = []string{id}
	w.WriteHeader(http.StatusAccepted)
}

// read reads an event as strictly as its stream wants it.
func (in *Handler) read(w http.ResponseWriter, r *http.Request, stream string, body []byte) (rawevent.Event, error) {
	if !in.publisher.IsLenient(stream) {
		return rawevent.FromHTTP(r.Header, body)
	}
	var l rawevent.Lenient
	event, err := l.FromHTTP(r.Header, body)
	in.noteMended(w, stream, &l, err)
	return event, err
}

func (in *Handler) readBatch(w http.ResponseWriter, r *http.Request, stream string, body []byte) ([]rawevent.Event, error) {
	if !in.publisher.IsLenient(stream) {
		return rawevent.BatchFromHTTP(r.Header, body)
	}
	var l rawevent.Lenient
	events, err := l.BatchFromHTTP(r.Header, body)
	in.noteMended(w, stream, &l, err)
	return events, err
}

// noteMended counts a message that was mended, and tells its sender what it should do better.
func (in *Handler) noteMended(w http.ResponseWriter, stream string, l *rawevent.Lenient, err error) {
	if err == nil && len(l.Mended) > 0 {
		in.metrics.mended.WithLabelValues(stream).Inc()
		w.Header().Set("Streamgate-Mended", strings.Join(l.Mended[:min(len(l.Mended), maxMendedNames)], ", "))
	}
}

// maxMendedNames bounds the header; there may be other attributes in each event of a batch.
const maxMendedNames = 16

func (in *Handler) takeBatch(w http.ResponseWriter, r *http.Request, stream string, body []byte) {
	events, err := in.readBatch(w, r, stream, body)
	if err != nil {
		in.refuseEvent(w, err)
		return
	}
	for i := range events {
		if len(events[i].Data) > in.maxEventBytes {
			in.refuseEvent(w, &rawevent.Error{Reason: rawevent.TooLarge, Index: i,
				Rule: fmt.Sprintf("the event's data is larger than %d bytes", in.maxEventBytes)})
			return
		}
	}
	for i := range events {
		if violations := in.publisher.Check(stream, &events[i]); len(violations) > 0 {
			in.refuseData(w, violations, i)
			return
		}
	}
	ids, err := in.publisher.PublishBatch(writeContext(r), stream, events)
	if err != nil {
		in.unavailable(w, err)
		return
	}
	in.metrics.accepted.WithLabelValues(stream).Add(float64(len(ids)))
	if ids == nil {
		ids = []string{}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(ids) // the events are stored, whether the client hears of it or not
}

var (
	errTooLarge = errors.New("too large")
	errNoRoom   = errors.New("no room")
)

// readBody reads no more than limit bytes. Small bodies are bounded by the number of connections; larger ones are charged
// to the memory that all share, as their bytes arrive: what a client only announces takes no room from the others.
func (in *Handler) readBody(w http.ResponseWriter, r *http.Request, limit int) (body []byte, charged int64, err error) {
	switch {
	case r.ContentLength == 0:
		return nil, 0, nil
	case r.ContentLength > int64(limit):
		w.Header().Set("Connection", "close") // the rest is not read
		return nil, 0, errTooLarge
	case r.ContentLength > 0 && r.ContentLength <= smallBody:
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, body)
		return body, 0, err
	}
	reader := http.MaxBytesReader(w, r.Body, int64(limit))
	body = make([]byte, 0, smallBody)
	for {
		n, err := reader.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			return body, charged, nil
		}
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return nil, charged, errTooLarge
		}
		if err != nil {
			return nil, charged, err
		}
		if len(body) < cap(body) {
			continue
		}
		step := int64(cap(body)) // the buffer doubles
		charged += step
		if in.reading.Add(step) > in.budget {
			return nil, charged, errNoRoom
		}
		body = append(make([]byte, 0, 2*cap(body)), body...)
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
