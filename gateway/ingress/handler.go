package ingress

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamgate/streamgate/gateway/stream"
	"github.com/streamgate/streamgate/gateway/webhook"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Handler is the HTTP handler that takes events in: POST / into the first stream, POST /{stream} into the named one, in
// binary, structured or batched mode. It answers 202 when Redis has acknowledged, and problem+json (RFC 9457)
// otherwise.
type Handler struct {
	publisher     *stream.Publisher
	maxEventBytes int
	maxBatchBytes int
	metrics       *metrics
	webHook       *webhook.Receiver // nil: no handshake
	open          atomic.Bool       // the gateway is neither starting nor shutting down
	budget        int64             // for the memory of large bodies, all together
	reading       atomic.Int64      // bytes of large bodies in memory at the moment
	bodyGrace     time.Duration     // how long a body may take, besides its time at minBodyRate
	discardTime   time.Duration     // how long the rest of a refused one is read
}

// New returns the handler of a valid configuration. It answers 503 until it is opened. Its metrics are registered.
func New(c *Config, publisher *stream.Publisher, registry prometheus.Registerer) *Handler {
	return &Handler{
		publisher: publisher, maxEventBytes: c.MaxEventBytes, maxBatchBytes: c.MaxBatchBytes, budget: maxBodies,
		bodyGrace: bodyGrace, discardTime: discardTime, webHook: webhook.NewReceiver(c.WebHook),
		metrics: newMetrics(registry, publisher.Streams()),
	}
}

// SetOpen says whether events are taken in; while they are not, they are answered with 503.
func (in *Handler) SetOpen(open bool) { in.open.Store(open) }

// ServeHTTP implements http.Handler.
func (in *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := connectionOf(r)
	c.begin()
	arrived := false
	defer func() { c.end(arrived) }()
	stream, ok := in.expects(w, r)
	if !ok {
		return
	}
	isBatch := rawevent.ModeOf(r.Header.Get("Content-Type")) == rawevent.Batched
	limit := in.maxEventBytes
	if isBatch {
		limit = in.maxBatchBytes
	}
	body, charged, err := in.readBody(w, r, limit)
	defer in.reading.Add(-charged)
	if err != nil {
		in.refuseBody(w, r, err, limit)
		return
	}
	arrived = true
	c.arrived()
	if isBatch {
		in.takeBatch(w, r, stream, body)
	} else {
		in.takeEvent(w, r, stream, body)
	}
}

// expects reports whether a request is one for events, into the stream that it returns, and otherwise answers it. The
// body has not been read then.
func (in *Handler) expects(w http.ResponseWriter, r *http.Request) (stream string, ok bool) {
	if r.Method == http.MethodOptions && in.webHook != nil {
		in.handshake(w, r)
		return "", false
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		in.refuseUnread(w, r, http.StatusMethodNotAllowed, "events are sent with POST")
		return "", false
	}
	if !in.open.Load() {
		w.Header().Set("Retry-After", "1")
		in.refuseUnread(w, r, http.StatusServiceUnavailable, "the gateway is starting or shutting down; send the event again later")
		return "", false
	}
	if stream, ok = in.stream(r); !ok {
		in.refuseUnread(w, r, http.StatusNotFound, "there is no such stream; post to / or to /{stream} of the configuration")
		return "", false
	}
	if !in.admit(w, r) {
		return "", false
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		// The bytes would be stored as data of the media type, which they are not.
		in.refuseUnread(w, r, http.StatusUnsupportedMediaType, "a compressed content is not supported; send it without Content-Encoding")
		return "", false
	}
	return stream, true
}

// handshake answers OPTIONS, with which a web hook's sender asks whether it may deliver.
func (in *Handler) handshake(w http.ResponseWriter, r *http.Request) {
	if _, known := in.stream(r); !known {
		in.refuseUnread(w, r, http.StatusNotFound, "there is no such stream; events go to / or to /{stream} of the configuration")
		return
	}
	header, err := in.webHook.Handshake(r.Header)
	maps.Copy(w.Header(), header)
	if err != nil {
		in.refuseUnread(w, r, http.StatusForbidden, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// admit reports whether a web hook's sender may deliver now, and otherwise answers it.
func (in *Handler) admit(w http.ResponseWriter, r *http.Request) bool {
	wait, err := in.webHook.Admit(r.Header)
	switch {
	case err != nil:
		in.refuseUnread(w, r, http.StatusForbidden, err.Error())
	case wait > 0:
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		in.refuseUnread(w, r, http.StatusTooManyRequests,
			fmt.Sprintf("more than %d requests a minute came from this origin (server.webHook.rate)", in.webHook.Rate()))
	default:
		return true
	}
	return false
}

// writeContext returns a context that the client cannot end. One that has closed its half of the connection still reads
// the answer, and net/http takes it for gone; the write is bounded in time by itself.
func writeContext(r *http.Request) context.Context { return context.WithoutCancel(r.Context()) }

// stream returns the stream of the path. A slash after it is ignored unless a stream has it in its name.
func (in *Handler) stream(r *http.Request) (string, bool) {
	path, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/"))
	if err != nil {
		return "", false
	}
	name, known := in.publisher.Resolve(path)
	if short, found := strings.CutSuffix(path, "/"); !known && found && short != "" {
		return in.publisher.Resolve(short)
	}
	return name, known
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
