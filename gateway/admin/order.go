package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/streamgate/streamgate/gateway/deadletter"
)

// order is what a request says: in the query of any, or in the JSON body of a POST, by the same names. They are those of
// the command line.
type order struct {
	Stream string `json:"stream"`
	Dead   string `json:"dead"` // the stream of dead letters; default is that of Stream
	deadletter.Filter
	Limit  int     `json:"limit"`
	All    bool    `json:"all"` // where nothing else chooses
	Rate   float64 `json:"rate"`
	DryRun bool    `json:"dryRun"`
}

// check returns what is wrong, and how to say it right.
func (o *order) check() error {
	if o.Limit == 0 {
		o.Limit = defaultLimit
	}
	switch {
	case o.Limit < 1 || o.Limit > maxLimit:
		return fmt.Errorf("limit %d is not possible; write 1 to %d, and go on with after", o.Limit, maxLimit)
	case !(o.Rate >= 0) || math.IsInf(o.Rate, 1): // what is not a number is neither
		return fmt.Errorf("rate %g is not possible; write how many a second, or 0 for no limit", o.Rate)
	case len(o.IDs) > maxEntries:
		return fmt.Errorf("%d entries are too many; name at most %d at a time, or choose them by type, code or time", len(o.IDs), maxEntries)
	}
	if problems := o.Validate(); len(problems) > 0 {
		return problems
	}
	return nil
}

// readQuery reads an order from a query.
func readQuery(raw string) (o order, err error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return o, fmt.Errorf("the query cannot be read: %w; write NAME=VALUE&NAME=VALUE, percent-encoded", err)
	}
	text := func(to *string) func(string) error {
		return func(s string) error { *to = s; return nil }
	}
	at := func(to *time.Time) func(string) (err error) {
		return func(s string) (err error) { *to, err = time.Parse(time.RFC3339, s); return err }
	}
	flag := func(to *bool) func(string) error {
		return func(s string) (err error) { *to, err = strconv.ParseBool(s); return err }
	}
	known := map[string]func(string) error{
		"stream": text(&o.Stream), "dead": text(&o.Dead), "subscription": text(&o.Subscription), "code": text(&o.Code),
		"type": text(&o.Type), "id": text(&o.EventID), "after": text(&o.After), "since": at(&o.Since), "until": at(&o.Until),
		"all": flag(&o.All), "dryRun": flag(&o.DryRun),
		"entries": func(s string) error { o.IDs = append(o.IDs, s); return nil },
		"limit":   func(s string) (err error) { o.Limit, err = strconv.Atoi(s); return err },
		"rate":    func(s string) (err error) { o.Rate, err = strconv.ParseFloat(s, 64); return err },
	}
	for name, values := range query {
		read, isKnown := known[name]
		switch {
		case !isKnown: // a filter that is misspelled would choose too much
			return o, fmt.Errorf("parameter %q is not known; those known are stream, dead, subscription, code, type, id, entries, since, until, after, limit, all, rate, dryRun", name)
		case len(values) > 1 && name != "entries":
			return o, fmt.Errorf("parameter %q is there %d times; write it once", name, len(values))
		}
		for _, value := range values {
			if err := read(value); err != nil {
				return o, fmt.Errorf("parameter %s=%q cannot be read: %w; write a time like 2026-11-23T00:00:00Z, a number, or true", name, value, err)
			}
		}
	}
	return o, o.check()
}

// readOrder reads what a POST says, in its query or its body, and returns the status where it cannot.
func readOrder(w http.ResponseWriter, r *http.Request) (o order, status int, err error) {
	// A form in a foreign page cannot send this media type.
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return o, http.StatusUnsupportedMediaType, errors.New("the content type must be application/json; send the header content-type: application/json, also without a body")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return o, http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes; name fewer entries at a time", maxBody)
	case err != nil:
		return o, http.StatusBadRequest, fmt.Errorf("the body cannot be read: %w; send it again", err)
	case len(body) > 0 && r.URL.RawQuery != "":
		return o, http.StatusBadRequest, errors.New("there is a query and a body; write everything in one of them")
	case len(body) > 0:
		o, err = parseOrder(body)
	default:
		o, err = readQuery(r.URL.RawQuery)
	}
	if err == nil && o.IsEmpty() && !o.All {
		err = errors.New("no dead letters are chosen; name entries, choose some by subscription, code, type, id or time, or write all: true")
	}
	return o, http.StatusBadRequest, err
}

// parseOrder reads an order in JSON.
func parseOrder(body []byte) (o order, err error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields() // a filter that is misspelled would choose too much
	err = decoder.Decode(&o)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	if err != nil {
		return order{}, fmt.Errorf("the body cannot be read: %w; write one like {\"stream\":\"events\",\"code\":\"5xx\",\"dryRun\":true}", err)
	}
	return o, o.check()
}

// writeJSON answers with a value in JSON.
func writeJSON(w http.ResponseWriter, status int, mediaType string, value any) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // who asked may have gone
}

// refuse answers with a problem document (RFC 9457).
func refuse(w http.ResponseWriter, status int, detail string) {
	writeJSON(w, status, "application/problem+json", map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}

func unavailable(w http.ResponseWriter, err error) {
	refuse(w, http.StatusServiceUnavailable, err.Error()+"; look whether Redis runs (/readyz says it), and ask again")
}
