package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

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
		Example: "  streamgate tail events --from 0 --no-follow -o json\n  streamgate tail events --from " +
			"2026-11-23T00:00:00Z",
		Args: cobra.MaximumNArgs(1),
		RunE: f.run,
	}
	c.Flags().StringVar(&f.from, "from", "latest",
		"`POSITION` to start at: latest, earliest, 0, an entry id (exclusive), or a time in RFC 3339")
	c.Flags().StringVarP(&f.output, "output", "o", formatText,
		"output `FORMAT`: text, or json for one event in the JSON format per line")
	c.Flags().BoolVar(&f.noFollow, "no-follow", false, "stop at the end of the stream")
	f.redis.register(c)
	return c
}

func (f *tailFlags) run(c *cobra.Command, args []string) error {
	if err := checkChoice("--output", f.output, formatText, formatJSON); err != nil {
		return err
	}
	stream := ""
	if len(args) == 1 {
		stream = args[0]
	} else {
		loaded, err := loadConfig(f.redis.file)
		if err != nil {
			return err
		}
		stream = loaded.Gateway.Streams[0].Name
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
	return failed(t.run(c.Context(), f.noFollow, func(e *redisstreams.Entry) error {
		return f.print(c.OutOrStdout(), e)
	}))
}

// tailer reads a stream with XREAD from a cursor on, without a consumer group.
type tailer struct {
	client redis.UniversalClient
	stream string
	cursor string // id of the last entry that was read
}

// seek sets the cursor to the position that --from names.
func (t *tailer) seek(ctx context.Context, from string) error {
	switch from {
	case "earliest", "0":
		t.cursor = "0-0"
		return nil
	case "latest":
		ctx, cancel := context.WithTimeout(ctx, tailTimeout)
		defer cancel()
		last, err := t.client.XRevRangeN(ctx, t.stream, "+", "-", 1).Result()
		if err != nil {
			return failed(fmt.Errorf("read stream %q: %w%s", t.stream, err, redisRemedy))
		}
		t.cursor = "0-0"
		if len(last) == 1 {
			t.cursor = last[0].ID
		}
		return nil
	}
	if at, err := time.Parse(time.RFC3339, from); err == nil {
		t.cursor = redisstreams.StartAt(at)
		return nil
	}
	if from == "" || strings.Trim(from, "0123456789-") != "" {
		return fmt.Errorf("--from: %q is not a valid position; write latest, earliest, an entry id or a time like %s",
			from, timeExample)
	}
	t.cursor = from
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
			return fmt.Errorf("%w%s", err, redisRemedy)
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
		var line bytes.Buffer
		if err := json.Compact(&line, event.AppendJSON(nil)); err != nil { // data may contain line breaks
			return fmt.Errorf("print entry %s: %w", entry.ID, err)
		}
		line.WriteByte('\n')
		_, err = w.Write(line.Bytes())
		return err
	}
	if err != nil {
		fields, _ := entry.FieldsJSON(nil)
		_, err = fmt.Fprintf(w, "%s  (not a CloudEvent) %s\n", entry.ID, printable(string(fields)))
		return err
	}
	_, err = fmt.Fprintln(w, entry.ID+"  "+describeEvent(&event))
	return err
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
