package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway/deadletter"
	"github.com/streamgate/streamgate/gateway/state"
)

// deadFlags select dead letters.
type deadFlags struct {
	filter       deadletter.Filter
	since, until string
	stream       string // the dead-letter stream
	output       string
	limit        int
	rate         float64
	dryRun       bool
	all          bool
	redis        redisFlags
}

func newDeadLetters() *cobra.Command {
	c := &cobra.Command{
		Use:     "deadletters",
		Aliases: []string{"dlq"},
		Short:   "List, show, redrive or discard events that could not be delivered",
		Long: "List, show, redrive or discard events that could not be delivered. STREAM is the stream of the " +
			"subscriptions that\n" +
			"failed; if they have a dead-letter stream of their own, name it with --dead.",
		Example: "  streamgate deadletters list events\n" +
			"  streamgate deadletters redrive events --subscription billing --code 5xx --dry-run",
	}
	c.AddCommand(newDeadList(), newDeadShow(),
		newDeadChange(deadChange{
			name: "redrive", short: "Deliver dead letters again, to the subscription that failed", done: "redriven",
			do: (*deadletter.Store).Redrive,
		}),
		newDeadChange(deadChange{
			name: "discard", short: "Delete dead letters", done: "discarded",
			do: func(d *deadletter.Store, ctx context.Context, l *deadletter.Letter) error {
				return d.Discard(ctx,
					l.ID)
			},
		}))
	return c
}

func (f *deadFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.stream, "dead", "", "dead-letter `STREAM`; by default that of the stream")
	flags.StringVar(&f.filter.Subscription, "subscription", "", "only those of the subscription `NAME`")
	flags.StringVar(&f.filter.Code, "code", "",
		"only those with this status `CODE` of the sink: 404, 5xx, or none if it did not answer")
	flags.StringVar(&f.filter.Type, "type", "", "only events of this `TYPE`; a trailing * matches any suffix")
	flags.StringVar(&f.filter.EventID, "id", "", "only events with this `ID`")
	flags.StringVar(&f.since, "since", "", "only those stored at this `TIME` or later, in RFC 3339")
	flags.StringVar(&f.until, "until", "", "only those stored before this `TIME`, in RFC 3339")
	f.redis.register(c)
}

// open checks the flags and returns the dead letters, and what closes them.
func (f *deadFlags) open(ctx context.Context, args []string) (*deadletter.Store, func(), error) {
	for _, bound := range []struct {
		text, flag string
		to         *time.Time
	}{{f.since, "--since", &f.filter.Since}, {f.until, "--until", &f.filter.Until}} {
		if bound.text == "" {
			continue
		}
		at, err := parseTime(bound.flag, bound.text, timeExample)
		if err != nil {
			return nil, nil, err
		}
		*bound.to = at
	}
	if problems := f.filter.Validate(); len(problems) > 0 {
		return nil, nil, problems
	}
	stream := f.stream
	if stream == "" {
		stream = state.DeadLetterStream(args[0])
	}
	loaded, err := loadConfig(f.redis.file)
	if err != nil {
		return nil, nil, err
	}
	client, err := f.redis.dial()
	if err != nil {
		return nil, nil, err
	}
	if err := checkStream(ctx, client, args[0], loaded); err != nil {
		_ = client.Close()
		return nil, nil, err
	}
	return deadletter.NewStore(client, stream), func() { _ = client.Close() }, nil
}

// each calls do for every dead letter that the flags select, oldest first. An error of do ends it and is returned as it
// is; an error of Redis gets its remedy.
func (f *deadFlags) each(ctx context.Context, dead *deadletter.Store, do func(*deadletter.Letter) error) error {
	var own error
	err := dead.Each(ctx, &f.filter, func(l *deadletter.Letter) error {
		own = do(l)
		return own
	})
	if err == nil || own != nil || ctx.Err() != nil {
		return err
	}
	return withRedisRemedy(err)
}

// errEnough ends a listing at --limit.
var errEnough = errors.New("enough")

func newDeadList() *cobra.Command {
	var f deadFlags
	c := &cobra.Command{
		Use: "list STREAM", Short: "List dead letters, oldest first", Args: cobra.ExactArgs(1),
		Example: "  streamgate deadletters list events --code 5xx --since 2026-11-23T00:00:00Z\n" +
			"  streamgate deadletters list events --subscription billing -o json",
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkChoice("--output", f.output, formatText, formatJSON); err != nil {
				return err
			}
			if f.limit < 1 {
				return fmt.Errorf("--limit: %d is not positive; write how many dead letters to list", f.limit)
			}
			dead, closeRedis, err := f.open(c.Context(), args)
			if err != nil {
				return err
			}
			defer closeRedis()
			n, last := 0, ""
			err = f.each(c.Context(), dead, func(l *deadletter.Letter) error {
				if n++; n > f.limit {
					return errEnough
				}
				last = l.ID
				return f.print(c.OutOrStdout(), l)
			})
			if errors.Is(err, errEnough) {
				_, err = fmt.Fprintf(c.ErrOrStderr(),
					"there are more; to continue, add --after %s, or raise --limit, which is %d\n", last, f.limit)
			}
			return failed(err)
		},
	}
	f.register(c)
	c.Flags().StringVarP(&f.output, "output", "o", formatText, "output `FORMAT`: text, or json for one object per line")
	c.Flags().IntVar(&f.limit, "limit", 100, "list at most this `NUMBER`")
	c.Flags().StringVar(&f.filter.After, "after", "", "only those after this `ENTRY`, to continue a limited listing")
	return c
}

// print writes a dead letter as one line.
func (f *deadFlags) print(w io.Writer, l *deadletter.Letter) error {
	if f.output == formatJSON {
		line, err := json.Marshal(l)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", line)
		return err
	}
	code := fmt.Sprint("status ", l.Code)
	if l.Code < 0 {
		code = "no answer"
	}
	again := ""
	if l.Redriven > 0 {
		again = fmt.Sprintf("  redriven %d times", l.Redriven)
	}
	_, err := fmt.Fprintln(w, printable(fmt.Sprintf("%s  %s  %s  %s  id=%s  %s after %d attempts%s  %s",
		l.ID, l.Last, l.Subscription, l.Type, l.EventID, code, l.Attempts, again, firstLine(l.Reason))))
	return err
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line[:min(len(line), 120)]
}

func newDeadShow() *cobra.Command {
	var f deadFlags
	c := &cobra.Command{
		Use: "show STREAM ENTRY", Short: "Show a dead letter as an event in the CloudEvents JSON format",
		Example: "  streamgate deadletters show events 1700000000000-0",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			f.filter.IDs = args[1:]
			dead, closeRedis, err := f.open(c.Context(), args)
			if err != nil {
				return err
			}
			defer closeRedis()
			letter, err := dead.Get(c.Context(), args[1])
			switch {
			case errors.Is(err, deadletter.ErrNotFound):
				return failed(fmt.Errorf("%w; to list the dead letters, run: streamgate deadletters list %s", err,
					args[0]))
			case err != nil:
				return failed(withRedisRemedy(err))
			}
			var text strings.Builder
			encoder := json.NewEncoder(&text)
			encoder.SetIndent("", "  ")
			encoder.SetEscapeHTML(false)
			if err := encoder.Encode(json.RawMessage(letter.Event().AppendJSON(nil))); err != nil {
				return failed(err)
			}
			_, err = io.WriteString(c.OutOrStdout(), text.String())
			return failed(err)
		},
	}
	f.register(c)
	return c
}

// deadChange is a command that changes dead letters.
type deadChange struct {
	name, short string
	done        string // the participle of the result
	do          func(*deadletter.Store, context.Context, *deadletter.Letter) error
}

// newDeadChange returns a command that applies a change to each selected dead letter.
func newDeadChange(change deadChange) *cobra.Command {
	var f deadFlags
	c := &cobra.Command{
		Use: change.name + " STREAM [ENTRY...]", Short: change.short, Args: cobra.MinimumNArgs(1),
		Long: change.short + ". Name entries, select some with the flags, or select all with --all.",
		Example: "  streamgate deadletters " + change.name + " events --subscription billing --code 5xx --dry-run\n" +
			"  streamgate deadletters " + change.name + " events 1700000000000-0",
		RunE: func(c *cobra.Command, args []string) error {
			f.filter.IDs = args[1:]
			if f.filter.IsEmpty() && f.since+f.until == "" && !f.all {
				return errors.New("no dead letters are selected; name entries, use the flags that select some, or " +
					"add " +
					"--all")
			}
			if err := checkRate(f.rate); err != nil {
				return err
			}
			dead, closeRedis, err := f.open(c.Context(), args)
			if err != nil {
				return err
			}
			defer closeRedis()
			r := f.newRun(c, dead, change)
			return r.conclude(f.each(c.Context(), dead, r.one))
		},
	}
	f.register(c)
	c.Flags().BoolVar(&f.all, "all", false, "select all dead letters")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "only list them")
	c.Flags().Float64Var(&f.rate, "rate", 0, "most per second; by default no limit")
	return c
}

// deadRun applies a change to dead letters, one after the other, and counts.
type deadRun struct {
	flags            *deadFlags
	command          *cobra.Command
	dead             *deadletter.Store
	change           deadChange
	limiter          *rate.Limiter
	bar              *progress
	changed, skipped int
	missing          map[string]bool // entries that were named and not found yet
	began            time.Time       // when the first of them was stored, for the bar
}

func (f *deadFlags) newRun(c *cobra.Command, dead *deadletter.Store, change deadChange) *deadRun {
	limit := rate.Inf
	if f.rate > 0 {
		limit = rate.Limit(f.rate)
	}
	// events that fail again during the run are left for the next one
	if f.filter.Until.IsZero() && len(f.filter.IDs) == 0 {
		f.filter.Until = time.Now()
	}
	r := &deadRun{
		flags: f, command: c, dead: dead, change: change, limiter: rate.NewLimiter(limit, 1),
		bar: newProgress(c.ErrOrStderr()), missing: map[string]bool{}, began: f.filter.Since,
	}
	for _, id := range f.filter.IDs {
		r.missing[id] = true
	}
	return r
}

// one applies the change to one dead letter. An error that concerns only this one is printed and does not end the run.
func (r *deadRun) one(l *deadletter.Letter) error {
	delete(r.missing, l.ID)
	ctx := r.command.Context()
	if r.flags.dryRun {
		r.changed++
		return r.flags.print(r.command.OutOrStdout(), l)
	}
	if err := r.limiter.Wait(ctx); err != nil {
		return err
	}
	err := r.change.do(r.dead, ctx, l)
	switch {
	case deadletter.ConcernsOne(err):
		r.skipped++
		_, _ = fmt.Fprintln(r.command.ErrOrStderr(), "skipped:", err)
	case err != nil:
		return err
	default:
		r.changed++
	}
	if r.began.IsZero() {
		r.began = l.Stored()
	}
	done := fractionOf(r.began, l.Stored(), r.flags.filter.Until)
	r.bar.update(done, fmt.Sprintf("%d %s", r.changed, r.change.done))
	return nil
}

// conclude prints the result of the run, which ended with err. Named entries that were not found are an error.
func (r *deadRun) conclude(err error) error {
	r.bar.end()
	done := r.change.done
	switch {
	case err != nil && r.command.Context().Err() != nil:
		return failed(fmt.Errorf("interrupted, %d %s; the same command continues with the others", r.changed, done))
	case err != nil:
		return failed(err)
	}
	if r.flags.dryRun {
		done = "would be " + done
	}
	if _, err := fmt.Fprintf(r.command.OutOrStdout(), "%d %s, %d skipped\n", r.changed, done, r.skipped); err != nil {
		return failed(err)
	}
	if len(r.missing) > 0 {
		names := slices.Sorted(maps.Keys(r.missing))
		return failed(fmt.Errorf("%s: not found, or not selected by the flags; to list the dead letters, run: "+
			"streamgate deadletters list", strings.Join(names, ", ")))
	}
	return nil
}

// fractionOf returns the part of the time from began to end that has passed at t, from 0 to 1.
func fractionOf(began, t, end time.Time) float64 {
	if !end.After(began) {
		return 1
	}
	return min(max(float64(t.Sub(began))/float64(end.Sub(began)), 0), 1)
}
