package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// compareAll reads the stream as a consumer group and compares each entry with the event that it has to hold.
func compareAll(ctx context.Context, client redis.UniversalClient, stream string, manifest []expectation) error {
	n, err := client.XLen(ctx, stream).Result()
	if err != nil {
		return fmt.Errorf("length of stream %q: %w", stream, err)
	}
	if n != int64(len(manifest)) {
		return fmt.Errorf("the stream %q has %d entries, not %d", stream, n, len(manifest))
	}
	entries, err := readAll(ctx, client, stream, len(manifest))
	if err != nil {
		return err
	}
	different := 0
	for i := range entries {
		if err := compare(ctx, client, &entries[i], &manifest[i]); err != nil {
			different++
			fmt.Fprintf(os.Stderr, "event %d (%s): %v\n", i, manifest[i].Name, err)
		}
	}
	fmt.Printf("%d events, %d different\n", len(entries), different)
	if different > 0 {
		return fmt.Errorf("%d events are different", different)
	}
	return nil
}

func readAll(ctx context.Context, client redis.UniversalClient, stream string, n int) ([]redisstreams.Entry, error) {
	consumer, err := redisstreams.NewConsumer(client, stream, "interop", redisstreams.WithStart("0"))
	if err != nil {
		return nil, err
	}
	runCtx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- consumer.Run(runCtx) }()
	var entries []redisstreams.Entry
	for err == nil && len(entries) < n {
		var batch []*redisstreams.Delivery
		batch, err = consumer.ReceiveBatch(ctx, n-len(entries))
		for _, d := range batch {
			entries = append(entries, d.Entry)
			d.Ack()
		}
	}
	stop()
	if stopped := <-done; err == nil {
		err = stopped
	}
	if err != nil {
		return nil, fmt.Errorf("read stream %q after %d entries: %w", stream, len(entries), err)
	}
	return entries, nil
}

// compare returns how the entry differs from what this package would have written, or reads otherwise.
func compare(ctx context.Context, client redis.UniversalClient, entry *redisstreams.Entry, want *expectation) error {
	got, err := entry.Event()
	if err != nil {
		return err
	}
	if err := got.Validate(); err != nil {
		return err
	}
	expected := want.raw()
	if at, ok := got.Attribute(rawevent.AttrTime); ok && sameTime(&got, &expected) {
		expected.Set(rawevent.AttrTime, at) // it may be written in more than one way
	}
	if !slices.Equal(got.Attributes, expected.Attributes) || got.DataContentType != expected.DataContentType {
		return fmt.Errorf("its attributes are %q and %q, not %q and %q",
			got.Attributes, got.DataContentType, expected.Attributes, expected.DataContentType)
	}
	if (got.Data == nil) != (expected.Data == nil) || !bytes.Equal(got.Data, expected.Data) {
		return fmt.Errorf("its data is %s, not %s", shown(got.Data), shown(expected.Data))
	}
	if err := compareFields(client, entry, &expected, want.Structured); err != nil {
		return err
	}
	return compareSDK(ctx, entry, &expected)
}

// compareFields wants in binary mode the fields that this package would have written, in the same order; in structured
// mode, where JSON can be written in many ways, the same names.
func compareFields(client redis.UniversalClient, entry *redisstreams.Entry, expected *rawevent.Event, structured bool) error {
	sender, err := newSender(client, entry.Stream, structured)
	if err != nil {
		return err
	}
	var fields []string
	for _, field := range sender.AppendEntryFields(nil, expected) {
		switch f := field.(type) {
		case string:
			fields = append(fields, f)
		case *string:
			fields = append(fields, *f)
		case []byte:
			fields = append(fields, string(f))
		}
	}
	got := entry.Fields
	if fields[0] == redisstreams.FieldContentType && len(got) == len(fields) {
		got, fields = got[:3], fields[:3] // up to the encoded event
	}
	if !slices.Equal(got, fields) {
		return fmt.Errorf("its fields are %.200q, not %.200q", got, fields)
	}
	return nil
}

// compareSDK reads the entry with the SDK as well, which has its own reader of JSON and trims some subjects.
func compareSDK(ctx context.Context, entry *redisstreams.Entry, expected *rawevent.Event) error {
	got, err := binding.ToEvent(ctx, redisstreams.NewMessage(*entry))
	if err != nil {
		return fmt.Errorf("the SDK cannot read it: %w", err)
	}
	subject := strings.TrimSpace(got.Subject())
	if got.ID() != expected.ID() || subject != strings.TrimSpace(expected.Subject()) || !bytes.Equal(got.Data(), expected.Data) {
		return fmt.Errorf("the SDK reads id %q, subject %q, data %s", got.ID(), got.Subject(), shown(got.Data()))
	}
	return nil
}

// sameTime compares as exactly as every language can tell the time.
func sameTime(a, b *rawevent.Event) bool {
	at, _ := a.Attribute(rawevent.AttrTime)
	bt, _ := b.Attribute(rawevent.AttrTime)
	ta, errA := time.Parse(time.RFC3339Nano, at)
	tb, errB := time.Parse(time.RFC3339Nano, bt)
	return errA == nil && errB == nil && ta.Truncate(time.Microsecond).Equal(tb.Truncate(time.Microsecond))
}

func shown(data []byte) string {
	if data == nil {
		return "absent"
	}
	return fmt.Sprintf("%d bytes %.100q", len(data), data)
}
