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

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stac"
)

// backfillFlags describe a backfill.
type backfillFlags struct {
	sourceFlags
	from, to, step string
	rate           float64
	seed           bool
	dryRun         bool
	detach         bool
}

const backfillPollPeriod = 500 * time.Millisecond // between two reads of the progress

func newBackfill() *cobra.Command {
	var f backfillFlags
	c := &cobra.Command{
		Use:   "backfill NAME --from TIME [--to TIME] [--step 24h] --config FILE",
		Short: "Search a period of the past with a source, window by window",
		Long: "Search a period of the past with a source, window by window, the newest first. The gateway runs the " +
			"backfill between\n" +
			"its polls, which have priority; this command only requests it and shows its progress. If the command is " +
			"interrupted,\n" +
			"the backfill continues, and the same command shows its progress again. Items that were published before " +
			"are left out.\n" +
			"The events carry the extension attribute backfill.",
		Example: "  streamgate sources backfill earth-search --from 2026-01-01 --to 2026-02-01 --step 6h --dry-run " +
			"--config streamgate.yaml\n" +
			"  streamgate sources backfill earth-search --from 2026-01-01 --to 2026-02-01 --rate 50 --config " +
			"streamgate.yaml",
		Args: cobra.ExactArgs(1),
		RunE: f.run,
	}
	flags := c.Flags()
	flags.StringVar(&f.from, "from", "", "oldest `TIME`, as a date or in RFC 3339")
	flags.StringVar(&f.to, "to", "", "newest `TIME`; by default now")
	flags.StringVar(&f.step, "step", "24h", "length of a window, as a `DURATION`")
	flags.Float64Var(&f.rate, "rate", 0, "most events per second; by default no limit")
	flags.BoolVar(&f.seed, "seed", false, "record the items as seen without publishing events")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only tell how many events would be published")
	flags.BoolVar(&f.detach, "detach", false, "do not wait for the backfill to finish")
	_ = c.MarkFlagRequired("from") // it fails only for a flag that does not exist
	f.register(c)
	return c
}

// backfill returns the backfill that the flags describe.
func (f *backfillFlags) backfill(now time.Time) (*stac.Backfill, error) {
	b := &stac.Backfill{To: now, Rate: f.rate, Seed: f.seed, Wanted: stac.WantedRun, Ordered: now}
	for _, end := range []struct {
		flag, text string
		to         *time.Time
	}{{"--from", f.from, &b.From}, {"--to", f.to, &b.To}} {
		if end.text == "" {
			continue
		}
		at, err := parseTime(end.flag, end.text, "2026-01-31 or 2026-01-31T00:00:00Z")
		if err != nil {
			return nil, err
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
		return fmt.Errorf("sources of type %s do not support backfills; name a source of type stac", block.Type)
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
	id, err := f.request(c.Context(), client, block, b)
	if err != nil {
		return f.fail(c.Context(), err)
	}
	if f.detach {
		_, err = fmt.Fprintf(c.OutOrStdout(),
			"backfill %s is requested; to see its progress, run: streamgate sources list --config %s\n", id,
			f.redis.file)
		return failed(err)
	}
	r, err := f.watch(c, client, block, id)
	if err != nil {
		return err
	}
	return summarize(c, r)
}

// request sends the command for a backfill to the gateway and returns its id. If the same backfill is in progress
// already, it sends nothing and returns the id of that one, so that an interrupted command can be repeated.
func (f *backfillFlags) request(
	ctx context.Context, client redis.UniversalClient, block *source.Block, b *stac.Backfill,
) (string, error) {
	commands, err := source.Commands(ctx, client, block.Stream, block.Name)
	if err != nil {
		return "", err
	}
	for command, text := range commands {
		var other stac.Backfill
		id, found := stac.BackfillOf(command)
		if found && json.Unmarshal([]byte(text), &other) == nil && other.IsSame(b, f.to == "") {
			return id, nil
		}
	}
	id := uuid.NewString()[:8]
	text, err := json.Marshal(b)
	if err != nil {
		return "", fmt.Errorf("encode the backfill: %w", err)
	}
	return id, source.SendCommand(ctx, client, block.Stream, block.Name, stac.OrderBackfill(id), string(text))
}

// watch shows the progress of a backfill until it is finished, and returns its result.
func (f *backfillFlags) watch(
	c *cobra.Command, client redis.UniversalClient, block *source.Block, id string,
) (*source.BackfillReport, error) {
	ctx, bar := c.Context(), newProgress(c.ErrOrStderr())
	var finished *source.BackfillReport
	warned := false
	err := poll(ctx, backfillPollPeriod, func() (bool, error) {
		list, err := source.Statuses(ctx, client, []source.Block{*block})
		if err != nil {
			return false, err
		}
		if !list[0].Running && !warned {
			warned = true
			_, _ = fmt.Fprintf(c.ErrOrStderr(),
				"source %s is not running in any gateway; backfill %s begins when it does\n", block.Name, id)
		}
		at := slices.IndexFunc(list[0].Backfills, func(r source.BackfillReport) bool { return r.ID == id })
		if at < 0 {
			return false, nil
		}
		r := &list[0].Backfills[at]
		bar.update(float64(r.Done)/float64(max(r.Windows, 1)),
			fmt.Sprintf("%d of %d windows, %d items, %d events", r.Done, r.Windows, r.Items, r.Events))
		finished = r
		return !r.Finished.IsZero(), nil
	})
	bar.end()
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, failed(fmt.Errorf("interrupted; backfill %[1]s continues. To see its progress, run: streamgate sources list "+
			"--config %[3]s; to cancel it, run: streamgate sources cancel %[2]s %[1]s --config %[3]s", id, block.Name, f.redis.file))
	case err != nil:
		return nil, f.fail(ctx, err)
	}
	return finished, nil
}

// summarize prints the result of a backfill. Windows that could not be searched are an error.
func summarize(c *cobra.Command, r *source.BackfillReport) error {
	_, err := fmt.Fprintf(c.OutOrStdout(), "backfill %s is %s: %d of %d windows, %d items, %d events\n",
		r.ID, r.State, r.Done, r.Windows, r.Items, r.Events)
	if err != nil {
		return failed(err)
	}
	if len(r.Failed) == 0 {
		return nil
	}
	for _, failure := range r.Failed {
		_, _ = fmt.Fprintf(c.ErrOrStderr(), "abandoned: %s\n", failure)
	}
	return failed(fmt.Errorf("%d windows could not be searched; to search them again, repeat the command",
		len(r.Failed)))
}

// estimate shows what the backfill would publish, for --dry-run. Nothing is published or stored.
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

// newBackfillChange returns the command pause, resume or cancel.
func newBackfillChange(verb string) *cobra.Command {
	var f sourceFlags
	words := map[string]struct {
		wanted      stac.Wanted
		short, done string
	}{
		"pause":  {stac.WantedPause, "Pause a backfill", "will pause"},
		"resume": {stac.WantedRun, "Resume a paused backfill", "will resume"},
		"cancel": {stac.WantedCancel, "Cancel a backfill; the events that it has published stay", "will be cancelled"},
	}[verb]
	c := &cobra.Command{
		Use: verb + " NAME BACKFILL --config FILE", Short: words.short, Args: cobra.ExactArgs(2),
		Example: "  streamgate sources " + verb + " earth-search 1f0c2d3e --config streamgate.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			block, client, err := f.open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			if err := changeBackfill(c.Context(), client, block, args[1], words.wanted); err != nil {
				if errors.Is(err, errNoBackfill) {
					return failed(err)
				}
				return f.fail(c.Context(), err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "backfill %s %s\n", args[1], words.done)
			return failed(err)
		},
	}
	f.register(c)
	return c
}

var errNoBackfill = errors.New("the source has no such backfill in progress; to list its backfills, run: streamgate " +
	"sources list")

// changeBackfill replaces what is wanted of a backfill in progress. The gateway that runs the source reads it before
// its next window.
func changeBackfill(
	ctx context.Context, client redis.UniversalClient, block *source.Block, id string, wanted stac.Wanted,
) error {
	commands, err := source.Commands(ctx, client, block.Stream, block.Name)
	if err != nil {
		return err
	}
	command := stac.OrderBackfill(id)
	var b stac.Backfill
	if err := json.Unmarshal([]byte(commands[command]), &b); err != nil {
		return errNoBackfill
	}
	b.Wanted = wanted
	text, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encode the backfill: %w", err)
	}
	return source.SendCommand(ctx, client, block.Stream, block.Name, command, string(text))
}
