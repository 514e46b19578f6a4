package stac

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// reportOf returns what operators are shown of a checkpoint.
func reportOf(parts map[string][]byte) (report source.Report, err error) {
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		if name, found := strings.CutPrefix(part, partCollection); found {
			state := &collectionState{}
			err = json.Unmarshal(parts[part], state)
			report.Watched = append(report.Watched, state.report(name))
		}
		if id, found := strings.CutPrefix(part, partBackfill); found {
			l := &ledger{}
			err = json.Unmarshal(parts[part], l)
			report.Backfills = append(report.Backfills, l.report(id))
		}
		if err != nil {
			return report, fmt.Errorf("read the part %q of the checkpoint: %w", part, err)
		}
	}
	return report, nil
}

// Estimate is what a backfill would search.
type Estimate struct {
	Windows int // of all collections
	Items   int // as far as the server tells; those on the shared end of two windows count twice
	Unknown int // windows of which the server does not tell
}

// estimate asks for one item of each window, and adds up what the server says about the rest.
func estimate(
	ctx context.Context, s *watcher, b *Backfill, progress func(done, total int),
) (e Estimate, err error) {
	kind, err := s.api.Discover(ctx)
	if err != nil {
		return e, err
	}
	if kind == stacapi.KindCatalog {
		return e, errStaticCatalog
	}
	watched, err := s.collections.refresh(ctx)
	if err != nil {
		return e, err
	}
	windows := b.windows()
	for _, collection := range watched {
		for _, w := range windows {
			q := s.plan.query(collection, w)
			q.Limit = 1
			p, err := s.api.FirstPage(ctx, q)
			if err != nil {
				return e, fmt.Errorf("collection %q, %s: %w", collection, w, err)
			}
			switch {
			case p.Matched >= 0:
				e.Items += p.Matched
			case len(p.Items) > 0:
				e.Unknown++
			}
			e.Windows++
			progress(e.Windows, len(windows)*len(watched))
		}
	}
	return e, nil
}
