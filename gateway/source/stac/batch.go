package stac

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/streamgate/streamgate/gateway"
)

// batch holds the events of a page back until the next one is there, so that the last ones go with the checkpoint.
type batch struct {
	source     *source
	collection string
	backfill   bool
	emissions  []gateway.Emission
	skipped    int
	lastErr    error
}

// add publishes the events of the page before and makes those of this one.
func (b *batch) add(ctx context.Context, p *page) error {
	if err := b.flush(ctx); err != nil {
		return err
	}
	items := make([]*item, 0, len(p.items))
	for _, raw := range p.items {
		i, version, err := b.read(raw)
		if err != nil {
			b.skipped++
			b.lastErr = err
			continue
		}
		items = append(items, i)
		b.emissions = append(b.emissions, gateway.Emission{Key: b.collection + "\x00" + i.ID, Version: version})
	}
	changes, err := b.source.outbox.Classify(ctx, b.emissions)
	if err != nil {
		b.emissions = nil
		return err
	}
	kept := b.emissions[:0]
	for n, change := range changes {
		if change == gateway.Unchanged {
			continue
		}
		emission := b.emissions[n]
		emission.Event, err = b.source.mapper.event(items[n], b.collection, emission.Version, change, p.from)
		if err != nil {
			b.skipped++
			b.lastErr = fmt.Errorf("item %q: %w", items[n].ID, err)
			continue
		}
		if b.backfill {
			emission.Event.Set("backfill", "true")
		}
		kept = append(kept, emission)
	}
	b.emissions = kept
	return nil
}

func (b *batch) read(raw json.RawMessage) (i *item, version string, err error) {
	if i, err = parseItem(raw); err != nil {
		return nil, "", err
	}
	if i.Collection != "" && i.Collection != b.collection {
		return nil, "", fmt.Errorf("item %q is of collection %q, which was not asked for", i.ID, i.Collection)
	}
	version, err = i.version()
	return i, version, err
}

func (b *batch) flush(ctx context.Context) error {
	_, err := b.source.outbox.Publish(ctx, b.take(), nil)
	return err
}

// take returns the events that are held back, which are the caller's then.
func (b *batch) take() []gateway.Emission {
	emissions := b.emissions
	b.emissions = nil
	return emissions
}

// reportSkipped logs when the number of items changes that no event could be made of: they are found again by every poll.
func (b *batch) reportSkipped() {
	if b.skipped > 0 && b.skipped != b.source.skipped[b.collection] {
		b.source.log.Warn("items were skipped because no event can be made of them", "collection", b.collection, "items", b.skipped, "err", b.lastErr)
	}
	b.source.skipped[b.collection] = b.skipped
}
