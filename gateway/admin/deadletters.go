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

// Bounds of the API.
const (
	maxBody      = 1 << 20
	defaultLimit = 100
	maxLimit     = 1000
	maxEntries   = 10_000           // that one request may name
	pageSize     = 100              // dead letters in memory at a time; each may hold a large event
	runTime      = 20 * time.Second // of one request; less than it may take
)

// DeadLetterSource gives the dead letters of the subscriptions to a stream: of the stream of dead letters that is named, or
// of the default one. Nothing else can be named. It must not block.
type DeadLetterSource interface {
	DeadLetters(stream, dead string) (*deadletter.Store, error)
}

var _ DeadLetterSource = (*gateway.Gateway)(nil)

// deadLetters is the API of dead letters.
type deadLetters struct{ source DeadLetterSource }

func (d *deadLetters) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/deadletters", d.list)
	mux.HandleFunc("GET /api/v1/deadletters/{entry}", d.show)
	// What is open in the operator's browser must not be able to do this.
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusForbidden, "this came from a page of another site; ask from the command line or from a page of this address")
	}))
	mux.Handle("POST /api/v1/deadletters/redrive", guard.Handler(d.change((*deadletter.Store).Redrive)))
	mux.Handle("POST /api/v1/deadletters/discard", guard.Handler(d.change(
		func(dead *deadletter.Store, ctx context.Context, l *deadletter.Letter) error {
			return dead.Discard(ctx, l.ID)
		})))
}

// open returns the dead letters that a request is about, or answers that there are none such.
func (d *deadLetters) open(w http.ResponseWriter, o *order) (*deadletter.Store, bool) {
	dead, err := d.source.DeadLetters(o.Stream, o.Dead)
	switch {
	case err == nil:
		return dead, true
	case o.Stream == "":
		refuse(w, http.StatusBadRequest, "stream is missing; name the one whose subscriptions failed, like stream=events")
	case errors.Is(err, deadletter.ErrOtherStream):
		refuse(w, http.StatusNotFound, err.Error()+"; leave dead out, or name a deadLetterSink.stream of the configuration")
	default:
		refuse(w, http.StatusNotFound, err.Error()+"; name one of those under streams in the configuration")
	}
	return nil, false
}

// page is the answer to a list.
type page struct {
	DeadLetters []deadletter.Letter `json:"deadLetters"`
	Next        string              `json:"next,omitempty"` // give it as after to go on
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
		some, answer.Next, err = dead.List(r.Context(), &o.Filter, answer.Next, min(o.Limit-len(answer.DeadLetters), pageSize))
		if err != nil {
			unavailable(w, err)
			return
		}
		for i := range some {
			answer.DeadLetters = append(answer.DeadLetters, some[i].WithoutEvent())
		}
		if answer.Next == "" || len(answer.DeadLetters) == o.Limit || len(some) == 0 {
			break // where none was found, the client asks whether to look further
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
		refuse(w, http.StatusNotFound, err.Error()+"; GET /api/v1/deadletters lists those that there are")
	case err != nil:
		unavailable(w, err)
	default:
		w.Header().Set("Content-Type", "application/cloudevents+json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(letter.Event().AppendJSON(nil)) // who asked may have gone
	}
}

// report is the answer to a redrive or a discard.
type report struct {
	Done    int                 `json:"done"`              // with dryRun: would be
	Skipped []skipped           `json:"skipped,omitempty"` // the first of them
	Missing []string            `json:"missing,omitempty"` // entries that were named and are not among the dead letters
	Chosen  []deadletter.Letter `json:"deadLetters,omitempty"`
	DryRun  bool                `json:"dryRun,omitempty"`
	More    bool                `json:"more,omitempty"` // the time was up: ask again
}

type skipped struct {
	Entry  string `json:"entry"`
	Reason string `json:"reason"`
}

// change answers with what do has done to the dead letters that a request chooses.
func (d *deadLetters) change(do func(*deadletter.Store, context.Context, *deadletter.Letter) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o, status, err := readOrder(w, r)
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
			unavailable(w, fmt.Errorf("%d dead letters were done, then: %w", answer.Done, err))
			return
		}
		writeJSON(w, http.StatusOK, "application/json", answer)
	})
}

// errNoTime ends a run whose next dead letter would come too late for the answer.
var errNoTime = errors.New("no time is left")

func (a *report) run(
	ctx context.Context, dead *deadletter.Store, o *order, do func(*deadletter.Store, context.Context, *deadletter.Letter) error,
) error {
	limiter := rate.NewLimiter(rate.Inf, 1)
	if o.Rate > 0 {
		limiter = rate.NewLimiter(rate.Limit(o.Rate), 1)
	}
	if o.Until.IsZero() && len(o.IDs) == 0 { // what fails again in the meantime is for the next time
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
