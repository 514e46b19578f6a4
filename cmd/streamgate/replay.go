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

// replayFlags says what to deliver again.
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
		Long: "Deliver events of a stream to one subscription again, beside what it gets anyway. Nobody's position moves, and nobody\n" +
			"else gets anything. The events carry the attribute replay. The gateway delivers them, with the retries and dead\n" +
			"letters of the subscription; this command only gives them to it, and waits while it is behind.\n\n" +
			"Interrupted, the same command goes on where it was. A position is an entry id (not delivered itself), a time in\n" +
			"RFC 3339, or earliest.",
		Example: "  streamgate replay events --subscription billing --from 2026-11-23T00:00:00Z --dry-run\n" +
			"  streamgate replay events --subscription billing --from earliest --rate 100 --filter '{\"prefix\":{\"type\":\"com.example.\"}}'",
		Args: cobra.ExactArgs(1),
		RunE: f.run,
	}
	flags := c.Flags()
	flags.StringVar(&f.Subscription, "subscription", "", "who gets the events")
	flags.StringVar(&f.From, "from", "", "where to begin")
	flags.StringVar(&f.To, "to", "", "where to end; default is the end of the stream as of now")
	flags.StringArrayVar(&f.filters, "filter", nil, "a filter as in a configuration, as JSON; several must all match")
	flags.Float64Var(&f.Rate, "rate", 0, "events a second; default is no limit")
	flags.BoolVar(&f.DryRun, "dry-run", false, "only count")
	flags.BoolVar(&f.Restart, "restart", false, "begin anew where the same command was interrupted")
	_ = c.MarkFlagRequired("subscription") // it exists
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
	if f.Rate < 0 {
		return fmt.Errorf("--rate %g is less than nothing; write how many a second, or 0 for no limit", f.Rate)
	}
	client, err := f.redis.dial()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // everything was answered
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
			return failed(errors.New("interrupted; the same command goes on from here"))
		}
		return withRemedy(err)
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%d events %s, %d entries looked at, %d of them no events\n", last.Replayed, verb, last.Looked, last.Skipped)
	return failed(err)
}

// withRemedy tells a wrong argument, what is wrong in Redis, and a Redis that cannot be reached.
func withRemedy(err error) error {
	switch {
	case errors.Is(err, state.ErrPosition):
		return err
	case errors.Is(err, state.ErrNoSubscription), errors.Is(err, replay.ErrRunning):
		return failed(err)
	default:
		return failed(fmt.Errorf("%w%s", err, redisRemedy))
	}
}

func parseFilters(texts []string) ([]filter.Config, error) {
	filters := make([]filter.Config, len(texts))
	for i, text := range texts {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&filters[i]); err != nil {
			return nil, fmt.Errorf("--filter %s is no filter: %w; write one like {\"exact\":{\"type\":\"com.example.created\"}}", text, err)
		}
		if problems := filters[i].Validate(); len(problems) > 0 {
			return nil, fmt.Errorf("--filter %s: %w", text, problems)
		}
	}
	return filters, nil
}

func newRewind() *cobra.Command {
	var subscription, to string
	var dryRun, yes bool
	var redis redisFlags
	c := &cobra.Command{
		Use:   "rewind STREAM --subscription NAME --to POSITION",
		Short: "Move the position of a subscription in its stream",
		Long: "Move the position of a subscription: everything behind it is delivered again, in its turn and to the end. To deliver\n" +
			"some events once more beside what comes, use replay. With latest, what was not delivered yet is left out for ever.\n" +
			"Events in work or waiting for their next attempt stay so. A position is an entry id (not delivered itself), a time in\n" +
			"RFC 3339, earliest or latest.",
		Example: "  streamgate rewind events --subscription billing --to 2026-11-23T00:00:00Z --dry-run\n" +
			"  streamgate rewind events --subscription billing --to earliest --yes",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !dryRun && !yes {
				return errors.New("this moves the position for good; look with --dry-run, and then say --yes")
			}
			client, err := redis.dial()
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			position, behind, err := replay.Rewind(c.Context(), client, args[0], subscription, to, dryRun)
			if err != nil {
				return withRemedy(err)
			}
			moved := "moved"
			if dryRun {
				moved = "would be moved"
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "subscription %s %s to %s: %d entries lie behind it\n", subscription, moved, position, behind)
			return failed(err)
		},
	}
	c.Flags().StringVar(&subscription, "subscription", "", "whose position")
	c.Flags().StringVar(&to, "to", "", "where to")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would happen")
	c.Flags().BoolVar(&yes, "yes", false, "do it")
	_ = c.MarkFlagRequired("subscription") // it exists
	_ = c.MarkFlagRequired("to")
	redis.register(c)
	return c
}
