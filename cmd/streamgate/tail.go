package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/streamgate/streamgate/gateway/cesql"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Limits of one read of tail.
const (
	tailPage    = 100         // entries
	tailBlock   = time.Second // how long Redis waits for new entries
	tailTimeout = 5 * time.Second
)

// tailFlags say which entries of a stream to print, and in which format.
type tailFlags struct {
	from     string
	output   string
	filter   string
	limit    int
	noFollow bool
	redis    redisFlags
}

func newTail() *cobra.Command {
	var f tailFlags
	c := &cobra.Command{
		Use:   "tail [STREAM]",
		Short: "Print the events of a stream as they arrive",
		Long: "Print the events of a stream and follow it. No consumer group is used, so the position of no " +
			"subscription changes.\n" +
			"By default, STREAM is the first stream of the configuration.",
		Example: "  streamgate tail events --from earliest --no-follow -o json\n" +
			"  streamgate tail events --from 1h --filter \"type LIKE 'com.example.%'\" --limit 20 -o table",
		Args: cobra.MaximumNArgs(1),
		RunE: f.run,
	}
	c.Flags().StringVar(&f.from, "from", "latest",
		"`POSITION` to start at: latest, earliest, an entry id (exclusive), a time in RFC 3339, a date,\nor how long ago, like 1h or 7d")
	c.Flags().StringVarP(&f.output, "output", "o", formatText,
		"output `FORMAT`: text, table, or json for one event in the JSON format per line")
	c.Flags().StringVar(&f.filter, "filter", "", "only events for which this CESQL `EXPRESSION` is true")
	c.Flags().IntVarP(&f.limit, "limit", "n", 0, "stop after this many events; by default no limit")
	c.Flags().BoolVar(&f.noFollow, "no-follow", false, "stop at the end of the stream")
	f.redis.register(c)
	return c
}

func (f *tailFlags) run(c *cobra.Command, args []string) error {
	if err := checkChoice("--output", f.output, formatText, formatTable, formatJSON); err != nil {
		return err
	}
	matches, err := f.compile()
	if err != nil {
		return err
	}
	loaded, err := loadConfig(f.redis.file)
	if err != nil {
		return err
	}
	stream := loaded.Gateway.Streams[0].Name
	if len(args) == 1 {
		stream = args[0]
	}
	client, err := f.redis.dial()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // it was only read
	t := &tailer{client: client, stream: stream}
	if err := t.seek(c.Context(), f.from); err != nil {
		return err
	}
	if err := checkStream(c.Context(), client, stream, loaded); err != nil {
		return err
	}
	if f.output == formatTable {
		if _, err := fmt.Fprintf(c.OutOrStdout(), tableRow, "TIME", "TYPE", "SUBJECT", "SOURCE", "ID"); err != nil {
			return failed(err)
		}
	}
	n := 0
	err = t.run(c.Context(), f.noFollow, func(e *redisstreams.Entry) error {
		if !matches(e) {
			return nil
		}
		if err := f.print(c.OutOrStdout(), e); err != nil {
			return err
		}
		if n++; n == f.limit {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return failed(err)
}

// tableRow is a row of a table of events: time, type, subject, source, id.
const tableRow = "%-24.24s  %-40.40s  %-40.40s  %-30.30s  %s\n"

// compile returns what --filter selects. An entry that does not hold an event matches no filter.
func (f *tailFlags) compile() (func(*redisstreams.Entry) bool, error) {
	if f.limit < 0 {
		return nil, fmt.Errorf("--limit: %d is negative; write how many events to print, or 0 for no limit", f.limit)
	}
	if f.filter == "" {
		return func(*redisstreams.Entry) bool { return true }, nil
	}
	expression, err := cesql.Compile(f.filter)
	if err != nil {
		return nil, fmt.Errorf("--filter: %w", err)
	}
	return func(e *redisstreams.Entry) bool {
		event, err := e.Event()
		if err != nil {
			return false
		}
		ok, err := expression.Match(&event)
		return ok && err == nil
	}, nil
}

// tailer reads a stream with XREAD from a cursor on, without a consumer group.
type tailer struct {
	client redis.UniversalClient
	stream string
	cursor string // id of the last entry that was read
}

// seek sets the cursor to the position that --from names.
func (t *tailer) seek(ctx context.Context, from string) error {
	position, err := state.StartPosition(from)
	if err != nil {
		return fmt.Errorf("--from: %w; %s", err, state.PositionRemedy)
	}
	if t.cursor = position; position == "$" {
		ctx, cancel := context.WithTimeout(ctx, tailTimeout)
		defer cancel()
		last, err := t.client.XRevRangeN(ctx, t.stream, "+", "-", 1).Result()
		if err != nil {
			return failed(fmt.Errorf("read stream %q: %w", t.stream, withRedisRemedy(err)))
		}
		t.cursor = "0-0"
		if len(last) == 1 {
			t.cursor = last[0].ID
		}
	}
	return nil
}

// run calls f for each entry behind the cursor, until ctx ends, f returns an error or, with noFollow, the end of the
// stream is reached.
func (t *tailer) run(ctx context.Context, noFollow bool, f func(*redisstreams.Entry) error) error {
	for ctx.Err() == nil {
		block := tailBlock
		if noFollow {
			block = -1 // do not wait
		}
		readCtx, cancel := context.WithTimeout(ctx, tailTimeout)
		entries, err := redisstreams.ReadAfter(readCtx, t.client, t.stream, t.cursor, tailPage, block)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return withRedisRemedy(err)
		}
		for i := range entries {
			if err := f(&entries[i]); err != nil {
				return err
			}
			t.cursor = entries[i].ID
		}
		if noFollow && len(entries) == 0 {
			return nil
		}
	}
	return nil
}

// print writes an entry in the format that --output names.
func (f *tailFlags) print(w io.Writer, entry *redisstreams.Entry) error {
	event, err := entry.Event()
	if f.output == formatJSON {
		if err != nil {
			return fmt.Errorf("%w; to see its fields, omit -o json", err)
		}
		line, err := compactEvent(&event)
		if err != nil {
			return fmt.Errorf("print entry %s: %w", entry.ID, err)
		}
		_, err = fmt.Fprintln(w, line)
		return err
	}
	if err != nil {
		fields, _ := entry.FieldsJSON(nil)
		_, err = fmt.Fprintf(w, "%s  (not a CloudEvent) %s\n", entry.ID, printable(string(fields)))
		return err
	}
	if f.output == formatTable {
		at, _ := redisstreams.EntryTime(entry.ID)
		_, err = fmt.Fprintf(w, tableRow, at.UTC().Format(redisstreams.TimeFormat), printable(event.Type()),
			printable(event.Subject()), printable(event.Source()), printable(event.ID()))
		return err
	}
	_, err = fmt.Fprintln(w, entry.ID+"  "+describeEvent(&event))
	return err
}

// compactEvent returns an event in the JSON format on one line; its data may contain line breaks.
func compactEvent(e *rawevent.Event) (string, error) {
	var line bytes.Buffer
	if err := json.Compact(&line, e.AppendJSON(nil)); err != nil {
		return "", err
	}
	return line.String(), nil
}

// describeEvent returns an event as one line that is safe to print on a terminal.
func describeEvent(e *rawevent.Event) string {
	line := e.Type() + "  " + e.Source() + "  id=" + e.ID()
	if subject := e.Subject(); subject != "" {
		line += "  subject=" + subject
	}
	if e.Data != nil {
		data := string(e.Data)
		if len(data) > 200 {
			data = data[:200] + "..."
		}
		line += "  " + data
	}
	return printable(line)
}

// printable replaces control characters. The text comes from producers, and escape sequences could change the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r <= 0x9f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
