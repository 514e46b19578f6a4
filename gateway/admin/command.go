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

// command selects dead letters and says what to do with them. It comes from the query of a request or the JSON body of
// a POST, with the same names as the flags of the command line.
type command struct {
	Stream string `json:"stream"`
	Dead   string `json:"dead"` // the dead-letter stream; default is that of Stream
	deadletter.Filter
	Limit  int     `json:"limit"`
	All    bool    `json:"all"` // required if nothing else selects dead letters
	Rate   float64 `json:"rate"`
	DryRun bool    `json:"dryRun"`
}

// check sets the default limit, and returns the first problem with its remedy.
func (o *command) check() error {
	if o.Limit == 0 {
		o.Limit = defaultLimit
	}
	switch {
	case o.Limit < 1 || o.Limit > maxLimit:
		return fmt.Errorf("limit %d is not supported; write 1 to %d, and continue with after", o.Limit, maxLimit)
	case !(o.Rate >= 0) || math.IsInf(o.Rate, 1): // !(>=) also catches NaN
		return fmt.Errorf("rate %g is not supported; write how many per second, or 0 for no limit", o.Rate)
	case len(o.IDs) > maxEntries:
		return fmt.Errorf("%d entries are too many; name at most %d at a time, or select by type, code or time",
			len(o.IDs), maxEntries)
	}
	if problems := o.Validate(); len(problems) > 0 {
		return problems
	}
	return nil
}

// readQuery reads a command from a query.
func readQuery(raw string) (o command, err error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return o, fmt.Errorf("the query is not valid: %w; write NAME=VALUE&NAME=VALUE, percent-encoded", err)
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
		"type": text(&o.Type), "id": text(&o.EventID), "after": text(&o.After), "since": at(&o.Since),
		"until": at(&o.Until),
		"all":   flag(&o.All), "dryRun": flag(&o.DryRun),
		"entries": func(s string) error { o.IDs = append(o.IDs, s); return nil },
		"limit":   func(s string) (err error) { o.Limit, err = strconv.Atoi(s); return err },
		"rate":    func(s string) (err error) { o.Rate, err = strconv.ParseFloat(s, 64); return err },
	}
	for name, values := range query {
		read, isKnown := known[name]
		switch {
		case !isKnown: // a filter that is misspelled would choose too much
			return o, fmt.Errorf("parameter %q is not known; the parameters are stream, dead, subscription, code, "+
				"type, id, "+
				"entries, since, until, after, limit, all, rate, dryRun", name)
		case len(values) > 1 && name != "entries":
			return o, fmt.Errorf("parameter %q is given %d times; write it once", name, len(values))
		}
		for _, value := range values {
			if err := read(value); err != nil {
				return o, fmt.Errorf("parameter %s=%q is not valid: %w; write a time like 2026-11-23T00:00:00Z, a "+
					"number, or true", name, value, err)
			}
		}
	}
	return o, o.check()
}

// readCommand reads the command of a POST from its query or its body. With an error it returns the status of the
// answer.
func readCommand(w http.ResponseWriter, r *http.Request) (o command, status int, err error) {
	// A form in a page of another site cannot send this media type.
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil ||
		mediaType != "application/json" {
		return o, http.StatusUnsupportedMediaType, errors.New("the content type must be application/json; " +
			"send the header content-type: application/json, even without a body")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return o, http.StatusRequestEntityTooLarge,
			fmt.Errorf("the body is larger than %d bytes; name fewer entries at a time", maxBody)
	case err != nil:
		return o, http.StatusBadRequest, fmt.Errorf("the body could not be read: %w; send it again", err)
	case len(body) > 0 && r.URL.RawQuery != "":
		return o, http.StatusBadRequest, errors.New("the request has a query and a body; use only one of them")
	case len(body) > 0:
		o, err = parseCommand(body)
	default:
		o, err = readQuery(r.URL.RawQuery)
	}
	if err == nil && o.IsEmpty() && !o.All {
		err = errors.New("no dead letters are selected; name entries, " +
			"select by subscription, code, type, id or time, or write all: true")
	}
	return o, http.StatusBadRequest, err
}

// parseCommand reads a command in JSON.
func parseCommand(body []byte) (o command, err error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields() // ignoring a misspelled filter would select too much
	err = decoder.Decode(&o)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("text follows the object")
		}
	}
	if err != nil {
		return command{}, fmt.Errorf("the body is not valid: %w; write one like "+
			"{\"stream\":\"events\",\"code\":\"5xx\",\"dryRun\":true}", err)
	}
	return o, o.check()
}

// writeJSON answers with a value as JSON.
func writeJSON(w http.ResponseWriter, status int, mediaType string, value any) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the client may have gone
}

// refuse answers with a problem document (RFC 9457).
func refuse(w http.ResponseWriter, status int, detail string) {
	writeJSON(w, status, "application/problem+json",
		map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}

// unavailable answers that Redis failed.
func unavailable(w http.ResponseWriter, err error) {
	refuse(w, http.StatusServiceUnavailable, err.Error()+"; check that Redis runs (see /readyz), and try again")
}
