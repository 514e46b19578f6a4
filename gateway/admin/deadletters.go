package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/deadletter"
)

// Limits of the API.
const (
	maxBody      = 1 << 20 // bytes
	defaultLimit = 100     // dead letters in one answer
	maxLimit     = 1000
	maxEntries   = 10_000           // named in one request
	pageSize     = 100              // dead letters in memory at a time, each of which may hold a large event
	runTime      = 20 * time.Second // of one change; less than requestTimeout, to leave time for the answer
)

// DeadLetterSource returns the dead letters of the subscriptions to a stream: those in the dead-letter stream that is
// named, or in the default one. It must refuse any stream that is not a dead-letter stream, and must not block.
type DeadLetterSource interface {
	DeadLetters(stream, dead string) (*deadletter.Store, error)
}

var _ DeadLetterSource = (*gateway.Gateway)(nil)

// deadLetters is the API of dead letters.
type deadLetters struct{ source DeadLetterSource }

func (d *deadLetters) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/deadletters", d.list)
	mux.HandleFunc("GET /api/v1/deadletters/{entry}", d.show)
	// A page that is open in the operator's browser must not be able to change anything.
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusForbidden, "the request comes from a page of another site; use the command line or a "+
			"page of this address")
	}))
	mux.Handle("POST /api/v1/deadletters/redrive", guard.Handler(d.change((*deadletter.Store).Redrive)))
	mux.Handle("POST /api/v1/deadletters/discard", guard.Handler(d.change(
		func(dead *deadletter.Store, ctx context.Context, l *deadletter.Letter) error {
			return dead.Discard(ctx, l.ID)
		})))
}

// open returns the dead letters of a command, or answers that they do not exist.
func (d *deadLetters) open(w http.ResponseWriter, o *command) (*deadletter.Store, bool) {
	dead, err := d.source.DeadLetters(o.Stream, o.Dead)
	switch {
	case err == nil:
		return dead, true
	case o.Stream == "":
		refuse(w, http.StatusBadRequest, "stream is missing; name the stream of the subscriptions that failed, like "+
			"stream=events")
	case errors.Is(err, deadletter.ErrOtherStream):
		refuse(w, http.StatusNotFound, err.Error()+"; leave dead out, or name a deadLetterSink.stream of the "+
			"configuration")
	default:
		refuse(w, http.StatusNotFound, err.Error()+"; name one of those under streams in the configuration")
	}
	return nil, false
}

// page is the answer of list.
type page struct {
	DeadLetters []deadletter.Letter `json:"deadLetters"`
	Next        string              `json:"next,omitempty"` // to continue, pass it as after
}

func (d *deadLetters) list(w http.ResponseWriter, r *http.Request) {
	o, err := readQuery(r.URL.RawQuery)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	dead, ok := d.open(w, &o)
	if !ok {
		return
	}
	answer := page{DeadLetters: []deadletter.Letter{}}
	for {
		var some []deadletter.Letter
		some, answer.Next, err = dead.List(r.Context(), &o.Filter, answer.Next,
			min(o.Limit-len(answer.DeadLetters), pageSize))
		if err != nil {
			unavailable(w, err)
			return
		}
		for i := range some {
			answer.DeadLetters = append(answer.DeadLetters, some[i].WithoutEvent())
		}
		if answer.Next == "" || len(answer.DeadLetters) == o.Limit || len(some) == 0 {
			break // after a scan without a match the client decides whether to continue
		}
	}
	writeJSON(w, http.StatusOK, "application/json", answer)
}

func (d *deadLetters) show(w http.ResponseWriter, r *http.Request) {
	o, err := readQuery(r.URL.RawQuery)
	if err == nil {
		o.IDs = []string{r.PathValue("entry")}
		err = o.check()
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	dead, ok := d.open(w, &o)
	if !ok {
		return
	}
	letter, err := dead.Get(r.Context(), o.IDs[0])
	switch {
	case errors.Is(err, deadletter.ErrNotFound):
		refuse(w, http.StatusNotFound, err.Error()+"; to list the dead letters, use GET /api/v1/deadletters")
	case err != nil:
		unavailable(w, err)
	default:
		w.Header().Set("Content-Type", "application/cloudevents+json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(letter.Event().AppendJSON(nil)) // who asked may have gone
	}
}

// report is the answer of a redrive or a discard.
type report struct {
	Done    int                 `json:"done"`              // how many were changed or, with dryRun, would be
	Skipped []skipped           `json:"skipped,omitempty"` // the first maxLimit of them
	Missing []string            `json:"missing,omitempty"` // named entries that were not found
	Chosen  []deadletter.Letter `json:"deadLetters,omitempty"`
	DryRun  bool                `json:"dryRun,omitempty"`
	More    bool                `json:"more,omitempty"` // runTime was over; repeat the request
}

// skipped is a dead letter that could not be changed.
type skipped struct {
	Entry  string `json:"entry"`
	Reason string `json:"reason"`
}

// change returns a handler that applies do to the selected dead letters and answers with a report.
func (d *deadLetters) change(do func(*deadletter.Store, context.Context, *deadletter.Letter) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o, status, err := readCommand(w, r)
		if err != nil {
			refuse(w, status, err.Error())
			return
		}
		dead, ok := d.open(w, &o)
		if !ok {
			return
		}
		answer := report{DryRun: o.DryRun}
		ctx, cancel := context.WithTimeout(r.Context(), runTime)
		defer cancel()
		err = answer.run(ctx, dead, &o, do)
		switch {
		case err == nil:
		case ctx.Err() != nil, errors.Is(err, errNoTime):
			answer.More = true
		default:
			unavailable(w, fmt.Errorf("after %d dead letters: %w", answer.Done, err))
			return
		}
		writeJSON(w, http.StatusOK, "application/json", answer)
	})
}

// errNoTime ends a run when the rate limit would delay the next dead letter beyond runTime.
var errNoTime = errors.New("no time is left")

// run applies do to each selected dead letter, oldest first, and records the results.
func (a *report) run(
	ctx context.Context, dead *deadletter.Store, o *command,
	do func(*deadletter.Store, context.Context, *deadletter.Letter) error,
) error {
	limiter := rate.NewLimiter(rate.Inf, 1)
	if o.Rate > 0 {
		limiter = rate.NewLimiter(rate.Limit(o.Rate), 1)
	}
	if o.Until.IsZero() && len(o.IDs) == 0 { // events that fail again during the run are left for the next one
		o.Until = time.Now()
	}
	missing := map[string]bool{}
	for _, id := range o.IDs {
		missing[id] = true
	}
	err := dead.Each(ctx, &o.Filter, func(l *deadletter.Letter) error {
		delete(missing, l.ID)
		if o.DryRun {
			if a.Done++; len(a.Chosen) < o.Limit {
				a.Chosen = append(a.Chosen, l.WithoutEvent())
			}
			return nil
		}
		if limiter.Wait(ctx) != nil {
			return errNoTime
		}
		err := do(dead, ctx, l)
		if deadletter.ConcernsOne(err) {
			if len(a.Skipped) < maxLimit {
				a.Skipped = append(a.Skipped, skipped{l.ID, err.Error()})
			}
			return nil
		}
		if err == nil {
			a.Done++
		}
		return err
	})
	if err == nil {
		a.Missing = slices.Sorted(maps.Keys(missing))
	}
	return err
}
