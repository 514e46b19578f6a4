package stac

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// engine is how changes of a collection are found.
type engine string

// The engines.
const (
	// engineUpdated asks for what was updated since the last search. It is for servers that have proved that they can
	// tell.
	engineUpdated engine = "updated"
	// engineWindows reads what is young often and what is old seldom, and compares.
	engineWindows engine = "windows"
	// engineInterval reads the interval of the configuration, all of it every time.
	engineInterval engine = "datetime"
	// engineScan reads everything every time: for collections whose server leaves items without a time out of any
	// search by time (stac-server issue 1165).
	engineScan engine = "scan"
	// engineCrawl reads the files of a catalog that cannot be searched.
	engineCrawl engine = "crawl"
)

const (
	probeEvery = 24 * time.Hour
	probeSoon  = 10 * time.Minute // if there was nothing to probe with
)

// errNotBounded ends a search whose server gives what was not asked for.
var errNotBounded = errors.New("the server gives items that do not meet the condition on updated")

// engines chooses the engine of each collection. It owns which collections are known to exist.
type engines struct {
	*env
	states *states
	exists map[string]bool
}

// check asks whether there is such a collection, until the answer is yes.
func (e *engines) check(ctx context.Context, collection string) error {
	if e.exists[collection] {
		return nil
	}
	err := e.api.CheckCollection(ctx, collection)
	e.exists[collection] = err == nil
	return err
}

// forget makes check ask again.
func (e *engines) forget(collection string) { delete(e.exists, collection) }

// choose finds out by which engine a collection is watched: at the beginning, and again every day if a better one was
// not possible.
func (e *engines) choose(ctx context.Context, collection string, state *collectionState) error {
	switch {
	case e.config.Engine == string(engineWindows):
		e.change(collection, state, chosen{engine: e.withoutStamps(), reason: "the configuration says so"})
		return nil
	case state.Engine == engineUpdated:
		return nil // a server that stops filtering shows that, and is demoted
	case state.Engine != "" && e.now().Sub(state.Probed) < probeAgain(state):
		return nil
	}
	probe, err := e.api.ProbeUpdated(ctx, e.plan.query(collection, e.config.scope()), e.now())
	if err != nil {
		return fmt.Errorf("probe what the server supports: %w", err)
	}
	best := chosen{e.withoutStamps(), probe.Capability, probe.Reason}
	if probe.Capability != "" {
		best.engine = engineUpdated
	} else if best, err = e.withUndated(ctx, collection, best, probe.Undated); err != nil {
		return fmt.Errorf("probe what the server supports: %w", err)
	}
	state.Probed, state.NothingToProbe = e.now().UTC(), probe.IsEmpty
	e.change(collection, state, best)
	return nil
}

func probeAgain(state *collectionState) time.Duration {
	if state.NothingToProbe {
		return probeSoon
	}
	return probeEvery
}

// chosen is an engine, and why it is chosen.
type chosen struct {
	engine     engine
	capability stacapi.Capability
	reason     string
}

func (e *engines) change(collection string, state *collectionState, to chosen) {
	if state.Engine != to.engine || state.Capability != to.capability {
		e.log.Info("chose how to watch a collection",
			"collection", collection, "engine", to.engine, "capability", to.capability, "reason", to.reason)
		if state.Engine != "" {
			state.Passes = map[tier]*pass{}
			state.Watermark = laterOf(state.Complete[tierPoll].Add(-overlaps*e.config.Cold.Every.Std()), state.From)
		}
	}
	state.Engine, state.Capability, state.Reason = to.engine, to.capability, to.reason
}

// withoutStamps is the engine for a server that does not tell what was updated.
func (e *engines) withoutStamps() engine {
	if e.config.Datetime != "" {
		return engineInterval
	}
	return engineWindows
}

// withUndated returns another engine than best if the tiers could not find an item that has no time.
func (e *engines) withUndated(
	ctx context.Context, collection string, best chosen, undated *stacapi.Item,
) (chosen, error) {
	if undated == nil {
		return best, nil
	}
	omits, err := e.api.OmitsUndated(ctx, e.plan.query(collection, stacapi.Interval{}), undated)
	if omits && err == nil {
		best.engine = engineScan
		best.reason += "; the server leaves items without datetime out of searches by time, " +
			"so that every poll reads everything"
	}
	return best, err
}

// reconsider is called with an item that has no time.
func (e *engines) reconsider(
	ctx context.Context, collection string, state *collectionState, undated *stacapi.Item,
) error {
	best, err := e.withUndated(ctx, collection, chosen{state.Engine, state.Capability, state.Reason}, undated)
	if err == nil && best.engine != state.Engine {
		e.change(collection, state, best)
		err = e.states.save(ctx, collection)
	}
	return err
}

// judge draws the consequences of a failed search: it gives up on a filter that has let through what it should not.
func (e *engines) judge(collection string, err error) error {
	if errors.Is(err, errNotBounded) {
		state := e.states.find(collection)
		state.Probed = e.now().UTC()
		e.change(collection, state, chosen{engine: e.withoutStamps(), reason: err.Error()})
	}
	return fmt.Errorf("collection %q: %w", collection, err)
}
