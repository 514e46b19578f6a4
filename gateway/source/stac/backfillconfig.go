package stac

import (
	"fmt"
	"time"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// BackfillConfig names windows of the past: all between two ends, or a number of windows back from each of several
// dates. Neighbouring windows share their ends, so that nothing falls between them.
type BackfillConfig struct {
	// From and To are the ends, dates or times in RFC 3339, in place of Start. Step is the length of a window between
	// them; default 24h.
	From string           `mapstructure:"from"`
	To   string           `mapstructure:"to"`
	Step setting.Duration `mapstructure:"step"`
	// Start is the newest end, a date or a time in RFC 3339.
	Start string `mapstructure:"start"`
	// Count is the number of dates; default 1.
	Count int `mapstructure:"count"`
	// Every is the step between two dates, backwards; default 24h.
	Every setting.Duration `mapstructure:"every"`
	// Window is the length of one window; default 6h.
	Window setting.Duration `mapstructure:"window"`
	// Windows is the number of windows back from each date; default 4.
	Windows int `mapstructure:"windows"`
}

const (
	maxBackfillWindows = 100_000
	maxBackfillYears   = 200 // a duration holds 292
)

func (b *BackfillConfig) withDefaults() *BackfillConfig {
	d := *b
	if d.Count == 0 {
		d.Count = 1
	}
	if d.Every == 0 {
		d.Every = setting.Duration(24 * time.Hour)
	}
	if d.Window == 0 {
		d.Window = setting.Duration(6 * time.Hour)
	}
	if d.Windows == 0 {
		d.Windows = 4
	}
	return &d
}

// span returns the backfill that from, to and step describe.
func (b *BackfillConfig) span() (*Backfill, error) {
	step := b.Step
	if step == 0 {
		step = hours(24)
	}
	from, err := parseDate(b.From)
	if err != nil {
		return nil, err
	}
	to, err := parseDate(b.To)
	if err != nil {
		return nil, err
	}
	span := &Backfill{From: from.UTC(), To: to.UTC(), Step: step}
	return span, span.Validate()
}

func (b *BackfillConfig) validate() setting.Problems {
	var p setting.Problems
	if b.From != "" || b.To != "" || b.Step != 0 {
		if b.Start != "" {
			p.Add("start", "a backfill has start, or from and to, not both", "remove one of them")
		} else if _, err := b.span(); err != nil {
			p.Add("from", err.Error(), "write dates or times, like from: 2021-01-01, to: 2021-12-31, step: 24h")
		}
		return p
	}
	if _, err := b.start(); err != nil {
		p.Add("start", fmt.Sprintf("%q is not a valid date", b.Start),
			"write a date like 2021-12-30, or a time like 2021-12-30T00:00:00Z")
	}
	if b.Count < 1 || b.Windows < 1 || b.Count > maxBackfillWindows || b.Windows > maxBackfillWindows ||
		b.Count*b.Windows > maxBackfillWindows {
		p.Add("count", fmt.Sprintf("%d dates with %d windows each are not between 1 and %d windows",
			b.Count, b.Windows, maxBackfillWindows), "use fewer, longer windows")
	}
	if b.Every.Std() < time.Second || b.Window.Std() < time.Second {
		p.Add("window", "a window or a step is shorter than 1s", "set times like 6h and 24h")
	} else if years := b.years(); years > maxBackfillYears {
		p.Add("every", fmt.Sprintf("the windows reach back %.0f years, which is more than %d", years, maxBackfillYears),
			"use fewer or shorter steps")
	}
	return p
}

// years returns how far back the windows reach.
func (b *BackfillConfig) years() float64 {
	return (float64(b.Count)*b.Every.Std().Hours() + float64(b.Windows)*b.Window.Std().Hours()) / (365 * 24)
}

func (b *BackfillConfig) start() (time.Time, error) { return parseDate(b.Start) }

// parseDate reads a date or a time in RFC 3339.
func parseDate(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	t, err := stacapi.ParseTime(s)
	if err != nil {
		return t, fmt.Errorf("%q is not a valid date or time in RFC 3339", s)
	}
	return t, nil
}

// windows returns the windows, the newest first, each once. The configuration must be valid.
func (b *BackfillConfig) windows() []stacapi.Interval {
	if b.From != "" {
		span, err := b.span()
		if err != nil {
			return nil // Validate has refused it
		}
		return span.windows()
	}
	start, err := b.start()
	if err != nil {
		return nil // Validate has refused it
	}
	var list []stacapi.Interval
	seen := map[stacapi.Interval]bool{}
	for i := range b.Count {
		end := start.Add(-time.Duration(i) * b.Every.Std()).UTC()
		for range b.Windows {
			w := stacapi.Interval{From: end.Add(-b.Window.Std()), To: end}
			if !seen[w] {
				seen[w] = true
				list = append(list, w)
			}
			end = w.From
		}
	}
	return list
}
