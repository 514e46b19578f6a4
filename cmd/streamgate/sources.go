package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/builtin"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

func newSources() *cobra.Command {
	c := &cobra.Command{
		Use:   "sources",
		Short: "Inspect sources, preview their events and backfill the past",
		Long: "Inspect the sources of a configuration, preview the events that they would publish, and search " +
			"windows " +
			"of the past\n" +
			"with them.",
		Example: "  streamgate sources list --config streamgate.yaml",
	}
	c.AddCommand(newSourcesList(), newSourcesPreview(), newSourcesRun(), newBackfill(), newBackfillChange("pause"),
		newBackfillChange("resume"), newBackfillChange("cancel"), newSourcesVerify(), newUpdates())
	return c
}

// sourceFlags name the configuration that holds the sources.
type sourceFlags struct{ redis redisFlags }

func (f *sourceFlags) register(c *cobra.Command) {
	f.redis.register(c)
	_ = c.MarkFlagRequired("config") // it fails only for a flag that does not exist
}

// open returns a source of the configuration and a client of its Redis, which the caller must close.
func (f *sourceFlags) open(name string) (*source.Block, redis.UniversalClient, error) {
	block, err := f.find(name)
	if err != nil {
		return nil, nil, err
	}
	client, err := f.redis.dial()
	return block, client, err
}

// find returns a source of the configuration.
func (f *sourceFlags) find(name string) (*source.Block, error) {
	loaded, err := loadConfig(f.redis.file)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range loaded.Gateway.Sources {
		if loaded.Gateway.Sources[i].Name == name {
			return &loaded.Gateway.Sources[i], nil
		}
		names = append(names, loaded.Gateway.Sources[i].Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s has no sources; add one under sources", f.redis.file)
	}
	return nil, fmt.Errorf("%s has no source %q; it has %s", f.redis.file, name, strings.Join(names, ", "))
}

// fail marks an error as one of Redis, with its remedy, unless the command was interrupted.
func (f *sourceFlags) fail(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return failed(err)
	}
	return failed(withRedisRemedy(err))
}

func newSourcesList() *cobra.Command {
	var f sourceFlags
	var output string
	c := &cobra.Command{
		Use: "list --config FILE", Short: "Show the state of the sources",
		Long: "Show for each source whether it is running, how it watches each collection and why, when its scans " +
			"were last\n" +
			"complete, alarms, and its backfills.",
		Example: "  streamgate sources list --config streamgate.yaml\n" +
			"  streamgate sources list --config streamgate.yaml -o json",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkChoice("--output", output, formatText, formatJSON); err != nil {
				return err
			}
			loaded, err := loadConfig(f.redis.file)
			if err != nil {
				return err
			}
			client, err := f.redis.dial()
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			list, err := source.Statuses(c.Context(), client, loaded.Gateway.Sources)
			if err != nil {
				return f.fail(c.Context(), err)
			}
			if output == formatJSON {
				return failed(json.NewEncoder(c.OutOrStdout()).Encode(list))
			}
			for i := range list {
				if err := printSource(c.OutOrStdout(), &list[i]); err != nil {
					return failed(err)
				}
			}
			return nil
		},
	}
	c.Flags().StringVarP(&output, "output", "o", formatText, "output `FORMAT`: text or json")
	f.register(c)
	return c
}

// printSource writes the state of a source as text.
func printSource(w io.Writer, s *source.Status) error {
	var b strings.Builder
	state := s.State
	if state == source.StateStopped {
		state = "not running"
	}
	fmt.Fprintf(&b, "%s (%s) -> %s: %s, %d seen items\n", s.Name, s.Type, s.Stream, state, s.SeenItems)
	printHealth(&b, s, time.Now())
	for _, one := range s.Watched {
		fmt.Fprintf(&b, "  %s: engine %s (%s)\n", one.Name, orUnknown(one.Engine), orUnknown(one.Reason))
		for _, t := range slices.Sorted(maps.Keys(one.Complete)) {
			fmt.Fprintf(&b, "    %-6s last complete scan began %s\n", t, one.Complete[t].Format(time.RFC3339))
		}
		for _, t := range slices.Sorted(maps.Keys(one.Underway)) {
			fmt.Fprintf(&b, "    %-6s in progress, back to %s\n", t, one.Underway[t].Format(time.RFC3339))
		}
		if one.Alarm != "" {
			fmt.Fprintf(&b, "    ALARM  %s; to decide, run: streamgate sources updates %s %s release|discard\n",
				one.Alarm, s.Name, one.Name)
		}
	}
	for _, one := range s.Backfills {
		fmt.Fprintf(&b, "  backfill %s: %s, %d of %d windows, %d items, %d events\n",
			one.ID, one.State, one.Done, one.Windows, one.Items, one.Events)
		for _, failure := range one.Failed {
			fmt.Fprintf(&b, "    abandoned: %s\n", failure)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printHealth tells what a source has last succeeded and failed in.
func printHealth(b *strings.Builder, s *source.Status, now time.Time) {
	h, when := &s.Health, func(t time.Time) string {
		return fmt.Sprintf("%s (%s)", t.Format(time.RFC3339), distance(now, t))
	}
	if h.LastSuccess.IsZero() {
		b.WriteString("  last success: never")
	} else {
		fmt.Fprintf(b, "  last success: %s, %d items", when(h.LastSuccess), h.Items)
	}
	if s.Running && h.Next.After(now) {
		fmt.Fprintf(b, "; next: %s", when(h.Next))
	}
	if s.StaleSeconds > 0 {
		fmt.Fprintf(b, "; overdue for %s", time.Duration(s.StaleSeconds)*time.Second)
	}
	b.WriteString("\n")
	if h.LastError != "" {
		fmt.Fprintf(b, "  last error: %s, %d failures since the last success, %d in all: %s\n",
			when(h.LastErrorAt), h.Failures, h.TotalFailures, h.LastError)
	}
}

// distance says how far a time is from now.
func distance(now, t time.Time) string {
	d := now.Sub(t).Round(time.Second)
	if d < 0 {
		return "in " + (-d).String()
	}
	return d.String() + " ago"
}

// orUnknown returns s, or a phrase that stands for an unknown value.
func orUnknown(s string) string {
	if s == "" {
		return "not known yet"
	}
	return s
}

// newSourcesRun is what preview was called first.
func newSourcesRun() *cobra.Command {
	c := newSourcesPreview()
	var once, show bool
	preview := c.RunE
	c.Use, c.Hidden = "run NAME --once --print --config FILE", true
	c.Example = "  streamgate sources run earth-search --once --print --config streamgate.yaml | head"
	c.RunE = func(c *cobra.Command, args []string) error {
		if !once || !show {
			return errors.New("use streamgate sources preview NAME, or run with --once --print; to publish, run streamgate serve")
		}
		return preview(c, args)
	}
	c.Flags().BoolVar(&once, "once", false, "search once for everything that is due, and end")
	c.Flags().BoolVar(&show, "print", false, "print the events instead of publishing them")
	return c
}

func newSourcesPreview() *cobra.Command {
	var f sourceFlags
	var fresh bool
	c := &cobra.Command{
		Use:   "preview NAME --config FILE",
		Short: "Preview the events that a source would publish now",
		Long: "Print the events that a source would publish now, one per line in the CloudEvents JSON format. Nothing " +
			"is published and\n" +
			"no state is changed: the gateway still publishes them at its next poll. Events that the source has already " +
			"published,\n" +
			"according to its state in Redis, are left out. For a schedule, the next event is shown.",
		Example: "  streamgate sources preview earth-search --config streamgate.yaml | head",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			block, err := f.find(args[0])
			if err != nil {
				return err
			}
			var client redis.UniversalClient
			if _, readsRedis := block.Config.(*builtin.RedisConfig); !fresh || readsRedis {
				if client, err = f.redis.dial(); err != nil {
					return err
				}
				defer func() { _ = client.Close() }()
				if err := client.Ping(c.Context()).Err(); err != nil {
					return failed(fmt.Errorf("read the state of source %q: redis does not answer: %w; "+
						"to preview without that state, add --fresh", block.Name, err))
				}
			}
			return preview(c, block, client, fresh)
		},
	}
	c.Flags().BoolVar(&fresh, "fresh", false,
		"ignore the state of the source, as if it had never run; needs no Redis unless the source reads it")
	f.register(c)
	return c
}

// preview prints the events that a source would publish. A nil client means a source without state.
func preview(c *cobra.Command, block *source.Block, client redis.UniversalClient, isFresh bool) error {
	env := source.Env{
		Name: block.Name, Stream: block.Stream, Redis: client, UserAgent: userAgent(),
		Logger: slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	n := 0
	var err error
	before := client
	if isFresh {
		before = nil
	}
	env.Outbox, err = block.Preview(before, env, func(e *rawevent.Event) error {
		n++
		_, err := fmt.Fprintf(c.OutOrStdout(), "%s\n", e.AppendJSON(nil))
		return err
	})
	if err != nil {
		return err
	}
	src, err := block.Config.NewSource(env)
	if err != nil {
		return fmt.Errorf("build source %q: %w", block.Name, err)
	}
	err = src.RunOnce(c.Context())
	if errors.Is(err, source.ErrNotOnce) {
		return fmt.Errorf("sources of type %s have no preview; to see what they published, run: streamgate tail %s",
			block.Type, block.Stream)
	}
	if err != nil {
		return failed(err)
	}
	_, err = fmt.Fprintf(c.ErrOrStderr(), "%d events would be published\n", n)
	return failed(err)
}

func newUpdates() *cobra.Command {
	var f sourceFlags
	c := &cobra.Command{
		Use:   "updates NAME COLLECTION release|discard --config FILE",
		Short: "Release or discard updates that are held back because too many items changed at once",
		Long: "When most of a collection changes at once, its updates are held back and sources list shows an alarm. " +
			"release publishes\n" +
			"them. discard records the new state without events, so that the next change of each item is published " +
			"again.",
		Example: "  streamgate sources updates earth-search sentinel-2-l2a discard --config streamgate.yaml",
		Args:    cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			if args[2] != "release" && args[2] != "discard" {
				return fmt.Errorf("%q is not supported; write release or discard", args[2])
			}
			block, client, err := f.open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			if err := source.SendCommand(c.Context(), client, block.Stream, block.Name, "updates/"+args[1],
				args[2]); err != nil {
				return f.fail(c.Context(), err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "updates of %s: %s takes effect at the next poll\n", args[1], args[2])
			return failed(err)
		},
	}
	f.register(c)
	return c
}
