package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stac"
)

// backfillFlags says what of the past to search.
type backfillFlags struct {
	sourceFlags
	from, to, step string
	rate           float64
	seed           bool
	dryRun         bool
	detach         bool
}

const backfillLook = 500 * time.Millisecond // between two looks how far it is

func newBackfill() *cobra.Command {
	var f backfillFlags
	c := &cobra.Command{
		Use:   "backfill NAME --from TIME [--to TIME] [--step 24h] --config FILE",
		Short: "Search the past with a source, window by window",
		Long: "Search the past with a source, window by window, the newest first. The gateway does it, between its polls, which always go\n" +
			"first; this command gives it the order and shows how far it is. Interrupt it, and the backfill goes on; the same command\n" +
			"shows it again. Items that were published before are left out. The events carry the attribute backfill.",
		Example: "  streamgate sources backfill earth-search --from 2026-01-01 --to 2026-02-01 --step 6h --dry-run --config streamgate.yaml\n" +
			"  streamgate sources backfill earth-search --from 2026-01-01 --to 2026-02-01 --rate 50 --config streamgate.yaml",
		Args: cobra.ExactArgs(1),
		RunE: f.run,
	}
	flags := c.Flags()
	flags.StringVar(&f.from, "from", "", "the oldest time, as a date or in RFC 3339")
	flags.StringVar(&f.to, "to", "", "the newest time; default is now")
	flags.StringVar(&f.step, "step", "24h", "length of a window")
	flags.Float64Var(&f.rate, "rate", 0, "events a second; default is no limit")
	flags.BoolVar(&f.seed, "seed", false, "publish nothing: what is there is not new, and counts as published")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only tell how many events would be published")
	flags.BoolVar(&f.detach, "detach", false, "do not wait for the end")
	_ = c.MarkFlagRequired("from") // it exists
	f.register(c)
	return c
}

// backfill returns the order that the flags describe.
func (f *backfillFlags) backfill(now time.Time) (*stac.Backfill, error) {
	b := &stac.Backfill{To: now, Rate: f.rate, Seed: f.seed, Wanted: stac.WantedRun, Ordered: now}
	for _, end := range []struct {
		flag, text string
		to         *time.Time
	}{{"--from", f.from, &b.From}, {"--to", f.to, &b.To}} {
		if end.text == "" {
			continue
		}
		at, err := time.Parse(time.DateOnly, end.text)
		if err != nil {
			at, err = time.Parse(time.RFC3339, end.text)
		}
		if err != nil {
			return nil, fmt.Errorf("%s %q is no time; write a date like 2026-01-31, or a time like 2026-01-31T00:00:00Z", end.flag, end.text)
		}
		*end.to = at.UTC()
	}
	if err := b.Step.UnmarshalText([]byte(f.step)); err != nil {
		return nil, fmt.Errorf("--step: %w", err)
	}
	return b, b.Validate()
}

func (f *backfillFlags) run(c *cobra.Command, args []string) error {
	block, err := f.find(args[0])
	if err != nil {
		return err
	}
	config, ok := block.Config.(*stac.Config)
	if !ok {
		return fmt.Errorf("sources of type %s have no past to search", block.Type)
	}
	b, err := f.backfill(time.Now().UTC().Truncate(time.Second))
	if err != nil {
		return err
	}
	if f.dryRun {
		return f.estimate(c, block, config, b)
	}
	client, err := f.redis.dial()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	id, err := f.leave(c.Context(), client, block, b)
	if err != nil {
		return f.fail(c.Context(), err)
	}
	if f.detach {
		_, err = fmt.Fprintf(c.OutOrStdout(), "backfill %s is ordered; to see it: streamgate sources list --config %s\n",
			id, f.redis.file)
		return failed(err)
	}
	r, err := f.watch(c, client, block, id)
	if err != nil {
		return err
	}
	return summarize(c, r)
}

// leave gives the order, unless the same one is there: then it returns the id of that.
func (f *backfillFlags) leave(ctx context.Context, client redis.UniversalClient, block *source.Block, b *stac.Backfill) (string, error) {
	orders, err := source.Commands(ctx, client, block.Stream, block.Name)
	if err != nil {
		return "", err
	}
	for order, text := range orders {
		var other stac.Backfill
		if id, found := stac.BackfillOf(order); found && json.Unmarshal([]byte(text), &other) == nil && other.IsSame(b, f.to == "") {
			return id, nil
		}
	}
	id := uuid.NewString()[:8]
	text, err := json.Marshal(b)
	if err != nil {
		return "", fmt.Errorf("encode the order: %w", err)
	}
	return id, source.SendCommand(ctx, client, block.Stream, block.Name, stac.OrderBackfill(id), string(text))
}

// watch shows how far a backfill is, until it is done.
func (f *backfillFlags) watch(
	c *cobra.Command, client redis.UniversalClient, block *source.Block, id string,
) (*source.BackfillReport, error) {
	ctx, bar := c.Context(), newProgress(c.ErrOrStderr())
	warned := false
	for {
		list, err := source.Statuses(ctx, client, []source.Block{*block})
		if err != nil {
			bar.end()
			if ctx.Err() != nil {
				break
			}
			return nil, f.fail(ctx, err)
		}
		if !list[0].Running && !warned {
			warned = true
			_, _ = fmt.Fprintf(c.ErrOrStderr(), "no gateway runs the source %s at the moment; backfill %s begins when one does\n", block.Name, id)
		}
		at := slices.IndexFunc(list[0].Backfills, func(r source.BackfillReport) bool { return r.ID == id })
		if at >= 0 {
			r := &list[0].Backfills[at]
			bar.update(float64(r.Done)/float64(max(r.Windows, 1)), fmt.Sprintf("%d of %d windows, %d items, %d events", r.Done, r.Windows, r.Items, r.Events))
			if !r.Finished.IsZero() {
				bar.end()
				return r, nil
			}
		}
		if !backoff.Sleep(ctx, backfillLook) {
			bar.end()
			break
		}
	}
	return nil, failed(fmt.Errorf("interrupted; backfill %[1]s goes on. To see it: streamgate sources list --config %[3]s; "+
		"to end it: streamgate sources cancel %[2]s %[1]s --config %[3]s", id, block.Name, f.redis.file))
}

func summarize(c *cobra.Command, r *source.BackfillReport) error {
	_, err := fmt.Fprintf(c.OutOrStdout(), "backfill %s is %s: %d of %d windows, %d items, %d events\n", r.ID, r.State, r.Done, r.Windows, r.Items, r.Events)
	if err != nil {
		return failed(err)
	}
	if len(r.Failed) == 0 {
		return nil
	}
	for _, failure := range r.Failed {
		_, _ = fmt.Fprintf(c.ErrOrStderr(), "given up: %s\n", failure)
	}
	return failed(fmt.Errorf("%d windows could not be searched; the same command searches them again", len(r.Failed)))
}

// estimate shows what the backfill would publish.
func (f *backfillFlags) estimate(c *cobra.Command, block *source.Block, config *stac.Config, b *stac.Backfill) error {
	client, err := f.redis.dial()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	if err := client.Ping(c.Context()).Err(); err != nil { // what was published is known only there
		return f.fail(c.Context(), fmt.Errorf("what the source has published before cannot be known: %w", err))
	}
	bar := newProgress(c.ErrOrStderr())
	env := source.Env{
		Name: block.Name, Stream: block.Stream, Redis: client, Logger: slog.New(slog.DiscardHandler), UserAgent: userAgent(),
	}
	e, err := config.Estimate(c.Context(), b, env, func(e stac.Estimate, total int) {
		bar.update(float64(e.Windows)/float64(total),
			fmt.Sprintf("%d of %d windows, %d items, %d events", e.Windows, total, e.Items, e.Events))
	})
	bar.end()
	if err != nil {
		return failed(err)
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%d windows, %d items; %d events would be published\n", e.Windows, e.Items, e.Events)
	return failed(err)
}

func newBackfillChange(verb string) *cobra.Command {
	var f sourceFlags
	words := map[string]struct {
		wanted      stac.Wanted
		short, done string
	}{
		"pause":  {stac.WantedPause, "Pause a backfill", "pauses"},
		"resume": {stac.WantedRun, "Go on with a backfill that was paused", "goes on"},
		"cancel": {stac.WantedCancel, "End a backfill; what it has published stays", "ends"},
	}[verb]
	c := &cobra.Command{
		Use: verb + " NAME BACKFILL --config FILE", Short: words.short, Args: cobra.ExactArgs(2),
		Example: "  streamgate sources " + verb + " earth-search 1f0c2d3e --config streamgate.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			block, err := f.find(args[0])
			if err != nil {
				return err
			}
			client, err := f.redis.dial()
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			orders, err := source.Commands(c.Context(), client, block.Stream, block.Name)
			if err != nil {
				return f.fail(c.Context(), err)
			}
			order := stac.OrderBackfill(args[1])
			var b stac.Backfill
			if err := json.Unmarshal([]byte(orders[order]), &b); err != nil {
				return failed(errors.New("the source has no such backfill under way; streamgate sources list shows what there is"))
			}
			b.Wanted = words.wanted
			text, err := json.Marshal(b)
			if err == nil {
				err = source.SendCommand(c.Context(), client, block.Stream, block.Name, order, string(text))
			}
			if err != nil {
				return f.fail(c.Context(), err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "backfill %s %s\n", args[1], words.done)
			return failed(err)
		},
	}
	f.register(c)
	return c
}
