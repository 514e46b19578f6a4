package builtin

import (
	"time"
)

// NextTick returns the first tick of a schedule after a time.
func NextTick(c *CronConfig, after time.Time) (time.Time, error) { return c.next(after) }
