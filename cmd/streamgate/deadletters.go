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

// deadFlags says which dead letters are meant.
type deadFlags struct {
	filter       deadletter.Filter
	since, until string
	stream       string // the stream of dead letters
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
		Short:   "List, show, deliver again or discard what could not be delivered",
		Long: "List, show, deliver again or discard what could not be delivered. STREAM is the stream whose subscriptions failed;\n" +
			"where they name a stream of dead letters of their own, give that with --dead.",
	}
	c.AddCommand(newDeadList(), newDeadShow(),
		newDeadChange("redrive", "Give dead letters back to the subscription that failed", "given back", (*deadletter.Store).Redrive),
		newDeadChange("discard", "Delete dead letters", "discarded", func(d *deadletter.Store, ctx context.Context, l *deadletter.Letter) error {
			return d.Discard(ctx, l.ID)
		}))
	return c
}

func (f *deadFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.stream, "dead", "", "the stream of dead letters; default is that of STREAM")
	flags.StringVar(&f.filter.Subscription, "subscription", "", "only of this subscription")
	flags.StringVar(&f.filter.Code, "code", "", "only with this status of the sink: 404, 5xx, or none where it gave no answer")
	flags.StringVar(&f.filter.Type, "type", "", "only events of this type; with * at the end, of types that begin so")
	flags.StringVar(&f.filter.EventID, "id", "", "only events with this id")
	flags.StringVar(&f.since, "since", "", "only those stored at this time or later, in RFC 3339")
	flags.StringVar(&f.until, "until", "", "only those stored before this time")
	f.redis.register(c)
}

func (f *deadFlags) open(args []string) (*deadletter.Store, func(), error) {
	for _, bound := range []struct {
		text, flag string
		to         *time.Time
	}{{f.since, "--since", &f.filter.Since}, {f.until, "--until", &f.filter.Until}} {
		if bound.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, bound.text)
		if err != nil {
			return nil, nil, fmt.Errorf("%s %q is no time; write one like 2026-11-23T00:00:00Z", bound.flag, bound.text)
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
	client, err := f.redis.dial()
	if err != nil {
		return nil, nil, err
	}
	return deadletter.NewStore(client, stream), func() { _ = client.Close() }, nil
}

// each calls do for every dead letter that is meant, oldest first.
func (f *deadFlags) each(ctx context.Context, dead *deadletter.Store, do func(*deadletter.Letter) error) error {
	var own error
	err := dead.Each(ctx, &f.filter, func(l *deadletter.Letter) error {
		own = do(l)
		return own
	})
	if err == nil || own != nil || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w%s", err, redisRemedy)
}

var errEnough = errors.New("enough")

func newDeadList() *cobra.Command {
	var f deadFlags
	c := &cobra.Command{
		Use: "list STREAM", Short: "List dead letters, oldest first", Args: cobra.ExactArgs(1),
		Example: "  streamgate deadletters list events --code 5xx --since 2026-11-23T00:00:00Z",
		RunE: func(c *cobra.Command, args []string) error {
			if f.output != "text" && f.output != "json" {
				return fmt.Errorf("--output %q is no format; write text or json", f.output)
			}
			if f.limit < 1 {
				return fmt.Errorf("--limit %d is less than one; write how many to list", f.limit)
			}
			dead, closeRedis, err := f.open(args)
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
				_, err = fmt.Fprintf(c.ErrOrStderr(), "there are more; go on with --after %s, or raise --limit, which is %d\n", last, f.limit)
			}
			return failed(err)
		},
	}
	f.register(c)
	c.Flags().StringVarP(&f.output, "output", "o", "text", "text, or json: an object a line")
	c.Flags().IntVar(&f.limit, "limit", 100, "how many at most")
	c.Flags().StringVar(&f.filter.After, "after", "", "only behind this entry, to go on after a --limit")
	return c
}

func (f *deadFlags) print(w io.Writer, l *deadletter.Letter) error {
	if f.output == "json" {
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
		Use: "show STREAM ENTRY", Short: "Show a dead letter as the event that is stored, in JSON", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			f.filter.IDs = args[1:]
			dead, closeRedis, err := f.open(args)
			if err != nil {
				return err
			}
			defer closeRedis()
			letter, err := dead.Get(c.Context(), args[1])
			switch {
			case errors.Is(err, deadletter.ErrNotFound):
				return failed(fmt.Errorf("%w; streamgate deadletters list shows those that there are", err))
			case err != nil:
				return failed(fmt.Errorf("%w%s", err, redisRemedy))
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

// newDeadChange returns a command that does something with each of the dead letters that are meant.
func newDeadChange(name, short, done string, do func(*deadletter.Store, context.Context, *deadletter.Letter) error) *cobra.Command {
	var f deadFlags
	c := &cobra.Command{
		Use: name + " STREAM [ENTRY...]", Short: short, Args: cobra.MinimumNArgs(1),
		Long:    short + ": the entries that are named, or those that the flags choose, or --all.",
		Example: "  streamgate deadletters " + name + " events --subscription billing --code 5xx --dry-run",
		RunE: func(c *cobra.Command, args []string) error {
			f.filter.IDs = args[1:]
			if f.filter.IsEmpty() && f.since+f.until == "" && !f.all {
				return errors.New("name entries, choose some with flags, or say --all")
			}
			if f.rate < 0 {
				return fmt.Errorf("--rate %g is less than nothing; write how many a second, or 0 for no limit", f.rate)
			}
			dead, closeRedis, err := f.open(args)
			if err != nil {
				return err
			}
			defer closeRedis()
			return f.change(c, dead, done, do)
		},
	}
	f.register(c)
	c.Flags().BoolVar(&f.all, "all", false, "all of them")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "only list them")
	c.Flags().Float64Var(&f.rate, "rate", 0, "how many a second; default is no limit")
	return c
}

func (f *deadFlags) change(c *cobra.Command, dead *deadletter.Store, done string, do func(*deadletter.Store, context.Context, *deadletter.Letter) error) error {
	limiter := rate.NewLimiter(rate.Inf, 1)
	if f.rate > 0 {
		limiter = rate.NewLimiter(rate.Limit(f.rate), 1)
	}
	if f.filter.Until.IsZero() && len(f.filter.IDs) == 0 { // what fails again in the meantime is for the next time
		f.filter.Until = time.Now()
	}
	changed, skipped := 0, 0
	missing := map[string]bool{} // of those that were named
	for _, id := range f.filter.IDs {
		missing[id] = true
	}
	began, until := f.filter.Since, f.filter.Until
	bar := newProgress(c.ErrOrStderr())
	err := f.each(c.Context(), dead, func(l *deadletter.Letter) error {
		delete(missing, l.ID)
		if f.dryRun {
			changed++
			return f.print(c.OutOrStdout(), l)
		}
		if err := limiter.Wait(c.Context()); err != nil {
			return err
		}
		err := do(dead, c.Context(), l)
		switch {
		case deadletter.ConcernsOne(err):
			skipped++
			_, _ = fmt.Fprintln(c.ErrOrStderr(), "skipped:", err)
		case err != nil:
			return err
		default:
			changed++
		}
		if began.IsZero() {
			began = l.Stored()
		}
		bar.update(fractionOf(began, l.Stored(), until), fmt.Sprintf("%d %s", changed, done))
		return nil
	})
	bar.end()
	switch {
	case err != nil && c.Context().Err() != nil:
		return failed(fmt.Errorf("interrupted, %d %s; the same command goes on with the others", changed, done))
	case err != nil:
		return failed(err)
	}
	if f.dryRun {
		done = "would be " + done
	}
	if _, err := fmt.Fprintf(c.OutOrStdout(), "%d %s, %d skipped\n", changed, done, skipped); err != nil {
		return failed(err)
	}
	if len(missing) > 0 {
		names := slices.Sorted(maps.Keys(missing))
		return failed(fmt.Errorf("%s: no such dead letters, or not chosen by the flags; streamgate deadletters list shows them", strings.Join(names, ", ")))
	}
	return nil
}

// fractionOf returns how much of the time from began to end has passed at t.
func fractionOf(began, t, end time.Time) float64 {
	if !end.After(began) {
		return 1
	}
	return min(max(float64(t.Sub(began))/float64(end.Sub(began)), 0), 1)
}
