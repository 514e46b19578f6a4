package stac

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// commandsEvery is how often commands of operators are read while there is slow work or nothing to do; every poll reads
// them too.
const commandsEvery = 2 * time.Second

// commands reads what operators ask for, and hands it to who carries it out.
type commands struct {
	*env
	alarms    *alarms
	backfills *backfills
	lastRead  time.Time
}

func (c *commands) isDue() bool { return c.now().Sub(c.lastRead) > commandsEvery }

// read takes new commands. One about updates is removed when it is carried out, one of a backfill when the backfill has
// ended.
func (c *commands) read(ctx context.Context) error {
	all, err := c.outbox.Commands(ctx)
	if err != nil {
		return err
	}
	c.lastRead = c.now()
	if err := c.backfills.take(ctx, all); err != nil {
		return err
	}
	for name, text := range all {
		collection, isUpdates := strings.CutPrefix(name, commandUpdates)
		if !isUpdates {
			continue
		}
		if err := c.alarms.decide(ctx, collection, text); err != nil {
			return err
		}
		if err := c.outbox.Done(ctx, name); err != nil {
			return fmt.Errorf("remove a command: %w", err)
		}
	}
	return nil
}
