package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/state"
)

// Report is what a source tells about itself.
type Report struct {
	Watched   []Watched        `json:"watched,omitempty"`
	Backfills []BackfillReport `json:"backfills,omitempty"`
}

// Watched is one of the things that a source watches, such as a collection.
type Watched struct {
	Name string `json:"name"`
	// Engine is how changes are found, and Reason why so.
	Engine string `json:"engine,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Complete holds for each kind of search when the last complete one began, and Underway how far the current one is
	// back.
	Complete map[string]time.Time `json:"complete,omitempty"`
	Underway map[string]time.Time `json:"underway,omitempty"`
	// Alarm says what is held back until an operator decides.
	Alarm string `json:"alarm,omitempty"`
}

// BackfillReport is how far a backfill has come.
type BackfillReport struct {
	ID       string    `json:"id"`
	State    string    `json:"state"`
	Windows  int       `json:"windows"`
	Done     int       `json:"done"`
	Items    int       `json:"items"`  // of the windows that are done
	Events   int       `json:"events"` // of them
	Started  time.Time `json:"started"`
	Changed  time.Time `json:"changed"`
	Finished time.Time `json:"finished,omitzero"`
	Failed   []string  `json:"failed,omitempty"` // windows that were given up, with the reason
}

// Status is the state of a source, as Redis knows it.
type Status struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Stream string `json:"stream"`
	// Running tells whether some replica has the source's lease.
	Running bool `json:"running"`
	// State says in a word how it is: see the constants.
	State string `json:"state"`
	// Health says whether it can do its job.
	Health Health `json:"health"`
	// StaleSeconds is by how much its next success is overdue; 0 if it is not.
	StaleSeconds int64 `json:"staleSeconds"`
	// SeenItems is how many items it keeps as seen.
	SeenItems int64 `json:"seenItems"`
	Report
}

// The states of a source.
const (
	StateStopped  = "stopped"  // no replica runs it
	StateStarting = "starting" // it has neither succeeded nor failed yet
	StateFailing  = "failing"  // something failed, and nothing has succeeded since
	StateRunning  = "running"
)

func (s *Status) state() string {
	switch {
	case !s.Running:
		return StateStopped
	case s.Health.Failures > 0:
		return StateFailing
	case s.Health.LastSuccess.IsZero():
		return StateStarting
	}
	return StateRunning
}

// Statuses reads the state of sources. It blocks until Redis answers or ctx ends.
func Statuses(ctx context.Context, client redis.UniversalClient, blocks []Block) ([]Status, error) {
	list := make([]Status, 0, len(blocks))
	for _, b := range blocks {
		pipe := client.Pipeline()
		lease := pipe.Exists(ctx, state.LeaseKey(b.Stream, b.Name))
		items := pipe.HGet(ctx, state.SeenKey(b.Stream, b.Name), "items")
		saved := pipe.HGetAll(ctx, state.CheckpointKey(b.Stream, b.Name))
		health := pipe.Get(ctx, state.HealthKey(b.Stream, b.Name))
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("read the state of source %q: %w", b.Name, err)
		}
		status := Status{Name: b.Name, Type: b.Type, Stream: b.Stream, Running: lease.Val() > 0}
		if n, err := items.Int64(); err == nil {
			status.SeenItems = n
		}
		if data, err := health.Bytes(); err == nil {
			_ = json.Unmarshal(data, &status.Health) // only a replica writes it
		}
		status.State = status.state()
		if status.Running {
			status.StaleSeconds = int64(status.Health.Staleness(time.Now()).Seconds())
		}
		report, err := b.Config.Report(checkpointParts(saved.Val()))
		if err != nil {
			return nil, fmt.Errorf("read the state of source %q: %w", b.Name, err)
		}
		status.Report = report
		list = append(list, status)
	}
	return list, nil
}
