package stac

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/streamgate/streamgate/internal/redistest"
)

// TestClockThatWasSetBack: what was done by a clock that was ahead does not stop polls, tiers, sweeps and probes; that
// is told once.
func TestClockThatWasSetBack(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{time.Hour, 400 * 24 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 5)
			c := f.watchConfig()
			stop := f.run(c)
			redistest.Eventually(t, "all tiers were searched", func() bool { return len(f.state().Complete) == 4 })
			stop()
			state, future := f.state(), time.Now().Add(ahead).UTC()
			for tier := range state.Complete {
				state.Complete[tier] = future
			}
			state.Probed, state.Swept, state.Released = future, future, future
			text, err := json.Marshal(state)
			if err != nil {
				t.Fatal(err)
			}
			key := "streamgate:{" + f.stream + "}:source:watch:checkpoint"
			if err := f.client.HSet(context.Background(), key, partCollection+collection, text).Err(); err != nil {
				t.Fatal(err)
			}
			f.run(c)
			redistest.Eventually(t, "all tiers are searched again", func() bool {
				s, now := f.state(), time.Now()
				for _, at := range s.Complete {
					if at.After(now) {
						return false
					}
				}
				return len(s.Complete) == 4 && s.Complete[tierSweep].After(state.Began)
			})
			if n := strings.Count(f.logs.String(), "the clock was set back"); n != 1 {
				t.Errorf("told %d times", n)
			}
			f.expectAll()
		})
	}
}
