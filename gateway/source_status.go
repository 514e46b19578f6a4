package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// SourceReporter is a [SourceConfig] that can tell from its checkpoint how its source is.
type SourceReporter interface {
	Report(parts map[string][]byte) (SourceReport, error)
}

// SourceReport is what a source tells about itself.
type SourceReport struct {
	Watched   []Watched        `json:"watched,omitempty"`
	Backfills []BackfillReport `json:"backfills,omitempty"`
}

// Watched is one of the things that a source watches, such as a collection.
type Watched struct {
	Name string `json:"name"`
	// Engine is how changes are found, and Reason why so.
	Engine string `json:"engine,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Complete holds for each kind of look when the last complete one began, and Underway how far the current one is back.
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

// SourceStatus is the state of a source, as Redis knows it.
type SourceStatus struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Stream string `json:"stream"`
	// Running tells whether some replica has the source's lease.
	Running bool `json:"running"`
	// Remembered is how many things it remembers.
	Remembered int64 `json:"remembered"`
	SourceReport
}

// SourceStatuses reads the state of sources. It blocks until Redis answers or ctx ends.
func SourceStatuses(ctx context.Context, client redis.UniversalClient, blocks []SourceBlock) ([]SourceStatus, error) {
	list := make([]SourceStatus, 0, len(blocks))
	for _, b := range blocks {
		pipe := client.Pipeline()
		lease := pipe.Exists(ctx, leaseKey(b.Stream, b.Name))
		items := pipe.HGet(ctx, memoryKey(b.Stream, b.Name), "items")
		saved := pipe.HGetAll(ctx, checkpointKey(b.Stream, b.Name))
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("read the state of source %q: %w", b.Name, err)
		}
		status := SourceStatus{Name: b.Name, Type: b.Type, Stream: b.Stream, Running: lease.Val() > 0}
		if remembered, err := items.Int64(); err == nil {
			status.Remembered = remembered
		}
		if reporter, ok := b.Config.(SourceReporter); ok {
			parts := map[string][]byte{}
			for part, data := range saved.Val() {
				parts[part] = []byte(data)
			}
			report, err := reporter.Report(parts)
			if err != nil {
				return nil, fmt.Errorf("read the state of source %q: %w", b.Name, err)
			}
			status.SourceReport = report
		}
		list = append(list, status)
	}
	return list, nil
}

// Sources reads the state of the gateway's sources. It blocks until Redis answers or ctx ends.
func (g *Gateway) Sources(ctx context.Context) ([]SourceStatus, error) {
	blocks := make([]SourceBlock, len(g.sources))
	for i, s := range g.sources {
		blocks[i] = s.block
	}
	return SourceStatuses(ctx, g.env.Redis, blocks)
}
