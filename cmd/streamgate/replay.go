package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/replay"
	"github.com/streamgate/streamgate/gateway/state"
)

// replayFlags describe a replay.
type replayFlags struct {
	replay.Replay
	filters []string
	redis   redisFlags
}

func newReplay() *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay STREAM --subscription NAME --from POSITION",
		Short: "Deliver events of a stream to one subscription again",
		Long: "Deliver events of a stream to one subscription again, in addition to new events. No position changes, " +
			"and no other\n" +
			"subscription receives them. The events carry the extension attribute replay. The gateway delivers them, " +
			"with the\n" +
			"retries and dead letters of the subscription; this command only enqueues them, and waits while the " +
			"subscription is\n" +
			"behind.\n\n" +
			"If the command is interrupted, the same command continues where it stopped. A position is an entry id " +
			"(exclusive), a\n" +
			"time in RFC 3339, or earliest.",
		Example: "  streamgate replay events --subscription billing --from 2026-11-23T00:00:00Z --dry-run\n" +
			"  streamgate replay events --subscription billing --from earliest --rate 100 --filter " +
			"'{\"prefix\":{\"type\":\"com.example.\"}}'",
		Args: cobra.ExactArgs(1),
		RunE: f.run,
	}
	flags := c.Flags()
	flags.StringVar(&f.Subscription, "subscription", "", "`NAME` of the subscription that receives the events")
	flags.StringVar(&f.From, "from", "", "`POSITION` to start at")
	flags.StringVar(&f.To, "to", "", "`POSITION` to end at; by default the current end of the stream")
	flags.StringArrayVar(&f.filters, "filter", nil,
		"`FILTER` in JSON, as in a configuration; can be repeated, and all must match")
	flags.Float64Var(&f.Rate, "rate", 0, "most events per second; by default no limit")
	flags.BoolVar(&f.DryRun, "dry-run", false, "only count the events")
	flags.BoolVar(&f.Restart, "restart", false, "start again at --from if the same command was interrupted")
	_ = c.MarkFlagRequired("subscription") // it fails only for a flag that does not exist
	_ = c.MarkFlagRequired("from")
	f.redis.register(c)
	return c
}

func (f *replayFlags) run(c *cobra.Command, args []string) error {
	f.Stream = args[0]
	filters, err := parseFilters(f.filters)
	if err != nil {
		return err
	}
	f.Filters = filters
	if err := checkRate(f.Rate); err != nil {
		return err
	}
	client, err := f.redis.dial()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // every command has its reply by then
	bar := newProgress(c.ErrOrStderr())
	var last replay.Progress
	verb := "replayed"
	if f.DryRun {
		verb = "would be replayed"
	}
	err = f.Run(c.Context(), client, func(p replay.Progress) {
		last = p
		bar.update(p.Done, fmt.Sprintf("%d %s", p.Replayed, verb))
	})
	bar.end()
	if err != nil {
		if c.Context().Err() != nil {
			return failed(errors.New("interrupted; the same command continues from here"))
		}
		return withRemedy(err)
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%d events %s, %d entries read, %d of them not events\n",
		last.Replayed, verb, last.Looked, last.Skipped)
	return failed(err)
}

// withRemedy classifies an error of a replay: a wrong argument stays a mistake in the command line, the others are
// failures at run time, and only an error of Redis itself gets the remedy for Redis.
func withRemedy(err error) error {
	switch {
	case errors.Is(err, state.ErrPosition):
		return err
	case errors.Is(err, state.ErrNoSubscription), errors.Is(err, replay.ErrRunning):
		return failed(err)
	default:
		return failed(withRedisRemedy(err))
	}
}

// parseFilters reads the values of --filter.
func parseFilters(texts []string) ([]filter.Config, error) {
	filters := make([]filter.Config, len(texts))
	for i, text := range texts {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&filters[i]); err != nil {
			return nil, fmt.Errorf("--filter: %s is not a valid filter: %w; "+
				"write one like {\"exact\":{\"type\":\"com.example.created\"}}", text, err)
		}
		if problems := filters[i].Validate(); len(problems) > 0 {
			return nil, fmt.Errorf("--filter: %s: %w", text, problems)
		}
	}
	return filters, nil
}

// rewindFlags describe a rewind.
type rewindFlags struct {
	subscription, to string
	dryRun, yes      bool
	redis            redisFlags
}

func newRewind() *cobra.Command {
	var f rewindFlags
	c := &cobra.Command{
		Use:   "rewind STREAM --subscription NAME --to POSITION",
		Short: "Move the position of a subscription in its stream",
		Long: "Move the position of a subscription: every later entry is delivered again, in the usual order. To " +
			"deliver some events\n" +
			"again in addition to new ones, use replay. With latest, events that were not delivered yet are skipped " +
			"for good.\n" +
			"Deliveries and retries in progress are not affected. A position is an entry id (exclusive), a time in " +
			"RFC 3339,\n" +
			"earliest or latest.",
		Example: "  streamgate rewind events --subscription billing --to 2026-11-23T00:00:00Z --dry-run\n" +
			"  streamgate rewind events --subscription billing --to earliest --yes",
		Args: cobra.ExactArgs(1),
		RunE: f.run,
	}
	c.Flags().StringVar(&f.subscription, "subscription", "", "`NAME` of the subscription")
	c.Flags().StringVar(&f.to, "to", "", "`POSITION` to move to")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "only print what would happen")
	c.Flags().BoolVar(&f.yes, "yes", false, "confirm the move")
	_ = c.MarkFlagRequired("subscription") // it fails only for a flag that does not exist
	_ = c.MarkFlagRequired("to")
	f.redis.register(c)
	return c
}

func (f *rewindFlags) run(c *cobra.Command, args []string) error {
	if !f.dryRun && !f.yes {
		return errors.New("this cannot be undone; check the effect with --dry-run, then add --yes")
	}
	client, err := f.redis.dial()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	position, behind, err := replay.Rewind(c.Context(), client, args[0], f.subscription, f.to, f.dryRun)
	if err != nil {
		return withRemedy(err)
	}
	moved := "moved"
	if f.dryRun {
		moved = "would be moved"
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "subscription %s %s to %s: %d entries follow it\n",
		f.subscription, moved, position, behind)
	return failed(err)
}
