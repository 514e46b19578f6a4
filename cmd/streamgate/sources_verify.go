package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stac"
)

// verifyFlags says what to compare, and what to do about it.
type verifyFlags struct {
	backfillFlags
	publish bool
	output  string
}

func newSourcesVerify() *cobra.Command {
	f := verifyFlags{}
	c := &cobra.Command{
		Use:   "verify NAME --from TIME [--to TIME] [--step 24h] [--publish] --config FILE",
		Short: "Compare what a catalog has with what the stream got",
		Long: "Compare what a catalog has, window by window, with what the stream got from the source: which items have no event, and\n" +
			"which have the same event twice. What was published and has left the stream since, such as by retention, is not missing.\n" +
			"With --publish the gateway publishes what is missing, as a backfill, and the comparison is repeated. The exit code is 0 if\n" +
			"nothing is missing, else 1.",
		Example: "  streamgate sources verify earth-search --from 2026-01-01 --to 2026-02-01 --config streamgate.yaml\n" +
			"  streamgate sources verify earth-search --from 2026-01-01 --publish --config streamgate.yaml",
		Args: cobra.ExactArgs(1),
		RunE: f.run,
	}
	flags := c.Flags()
	flags.StringVar(&f.from, "from", "", "the oldest time, as a date or in RFC 3339")
	flags.StringVar(&f.to, "to", "", "the newest time; default is now")
	flags.StringVar(&f.step, "step", "24h", "length of a window")
	flags.BoolVar(&f.publish, "publish", false, "publish what is missing; a gateway has to run")
	flags.StringVarP(&f.output, "output", "o", "text", "text or json")
	_ = c.MarkFlagRequired("from") // it exists
	f.register(c)
	return c
}

func (f *verifyFlags) run(c *cobra.Command, args []string) error {
	if f.output != "text" && f.output != "json" {
		return fmt.Errorf("--output %q is not a format; write text or json", f.output)
	}
	block, err := f.find(args[0])
	if err != nil {
		return err
	}
	config, ok := block.Config.(*stac.Config)
	if !ok {
		return fmt.Errorf("sources of type %s have no catalog to compare with", block.Type)
	}
	b, err := f.backfill(time.Now().UTC().Truncate(time.Second))
	if err != nil {
		return err
	}
	client, err := f.redis.dial()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	if err := client.Ping(c.Context()).Err(); err != nil {
		return f.fail(c.Context(), fmt.Errorf("what the stream got cannot be known: %w", err))
	}
	found, err := f.compare(c, client, block, config, b)
	if err == nil && f.publish && found.Missing > 0 {
		if err := f.repair(c, client, block, found.Repair(b)); err != nil {
			return err
		}
		found, err = f.compare(c, client, block, config, b)
	}
	if err != nil {
		return failed(err)
	}
	return f.print(c, found)
}

func (f *verifyFlags) compare(
	c *cobra.Command, client redis.UniversalClient, block *source.Block, config *stac.Config, b *stac.Backfill,
) (*stac.Verification, error) {
	bar := newProgress(c.ErrOrStderr())
	defer bar.end()
	env := source.Env{
		Name: block.Name, Stream: block.Stream, Redis: client, Logger: slog.New(slog.DiscardHandler), UserAgent: userAgent(),
	}
	return config.Verify(c.Context(), b, env, func(v *stac.Verification, total int) {
		bar.update(float64(v.Windows)/float64(total),
			fmt.Sprintf("%d of %d windows, %d items, %d missing", v.Windows, total, v.Items, v.Missing))
	})
}

// repair has the gateway publish what is missing, and waits until it has.
func (f *verifyFlags) repair(c *cobra.Command, client redis.UniversalClient, block *source.Block, b *stac.Backfill) error {
	id, err := f.request(c.Context(), client, block, b)
	if err != nil {
		return f.fail(c.Context(), err)
	}
	_, err = f.watch(c, client, block, id)
	return err
}

func (f *verifyFlags) print(c *cobra.Command, v *stac.Verification) error {
	var err error
	if f.output == "json" {
		err = json.NewEncoder(c.OutOrStdout()).Encode(v)
	} else {
		err = printVerification(c, v)
	}
	if err == nil && v.Missing > 0 {
		err = fmt.Errorf("%d items have no event; --publish publishes them", v.Missing)
		if f.publish {
			err = fmt.Errorf("%d items still have no event", v.Missing)
		}
	}
	return failed(err)
}

func printVerification(c *cobra.Command, v *stac.Verification) error {
	w := c.OutOrStdout()
	for _, name := range v.MissingItems {
		if _, err := fmt.Fprintf(w, "missing  %s\n", name); err != nil {
			return err
		}
	}
	for _, name := range v.DoubledItems {
		if _, err := fmt.Fprintf(w, "doubled  %s\n", name); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d windows, %d items: %d missing, %d doubled", v.Windows, v.Items, v.Missing, v.Doubled)
	if err == nil && v.Removed > 0 {
		_, err = fmt.Fprintf(w, "; %d were published and have left the stream since", v.Removed)
	}
	_, newline := fmt.Fprintln(w)
	return errors.Join(err, newline)
}
