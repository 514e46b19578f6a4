package redisstreams_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func addRaw(t testing.TB, client redis.UniversalClient, stream string, fields ...string) string {
	t.Helper()
	id, err := client.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: fields}).Result()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestCancelDoesNotWaitForABlockedRead: go-redis cannot interrupt one. What it brings afterwards is not lost.
func TestCancelDoesNotWaitForABlockedRead(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	c, stop := startConsumer(t, client, stream)
	appendN(t, client, stream, 1)
	receive(t, c, 1)[0].Ack()

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := c.ReceiveBatch(ctx, 5)
		done <- err
	}()
	redistest.Eventually(t, "the read blocks", func() bool { return blockedClients(t, client) > 0 })
	cancelled := time.Now()
	cancel()
	if err := <-done; !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want io.EOF", err)
	}
	if took := time.Since(cancelled); took > 500*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	appendN(t, client, stream, 3) // the read that nobody waits for gets some of them
	for _, d := range receive(t, c, 3) {
		if d.Attempt != 1 {
			t.Errorf("entry %s: attempt %d, want 1", d.ID, d.Attempt)
		}
		d.Ack()
	}
	stop()
	if n := pending(t, client, stream); n != 0 {
		t.Errorf("%d entries are pending", n)
	}
}

func blockedClients(t testing.TB, client redis.UniversalClient) int {
	t.Helper()
	info, err := client.Info(t.Context(), "clients").Result()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(info) {
		if _, err := fmt.Sscanf(line, "blocked_clients:%d", &n); err == nil {
			return n
		}
	}
	return 0
}

// TestSurplusIsKept: a read asked for more than the caller wants who gets its result.
func TestSurplusIsKept(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	c, _ := startConsumer(t, client, stream)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.ReceiveBatch(ctx, 8); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.ReceiveBatch(ctx, 8); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	sender := newSender(t, client, stream)
	events := []string{"0", "1", "2", "3", "4"}
	for _, id := range events {
		mustAppend(t, sender, sample(id))
	}
	for i := range events {
		batch := receive(t, c, 1)
		if e, err := batch[0].Event(); err != nil || e.ID() != events[i] {
			t.Errorf("event %d is %q (%v)", i, e.ID(), err)
		}
		batch[0].Ack()
	}
}

// TestLargeEntries: an entry over the limit comes without its fields, on the first reading, when it is taken over from
// a dead member, and when it is handed out again; those around it come as they are.
func TestLargeEntries(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	limit := redisstreams.WithMaxEntryBytes(1000)
	dead, err := redisstreams.NewConsumer(client, stream, "group", redisstreams.WithStart("0"), limit)
	if err != nil {
		t.Fatal(err)
	}
	appendN(t, client, stream, 1)
	large := addRaw(t, client, stream, "ce_specversion", "1.0", "data", strings.Repeat("x", 1000))
	appendN(t, client, stream, 1)
	check := func(batch []*redisstreams.Delivery) {
		t.Helper()
		for _, d := range batch {
			_, err := d.Event()
			var entryErr *redisstreams.EntryError
			switch {
			case d.ID != large && (err != nil || d.Fields == nil):
				t.Errorf("a small entry: %v", err)
			case d.ID == large && (!errors.Is(err, redisstreams.ErrTooLarge) || d.Fields != nil):
				t.Errorf("the large entry with %d fields: %v, want ErrTooLarge", len(d.Fields), err)
			case d.ID == large && (!errors.As(err, &entryErr) || entryErr.ID != large || entryErr.Stream != stream || !strings.Contains(entryErr.Reason, "1021")):
				t.Errorf("the error does not say which and how large: %v", err)
			}
		}
	}
	check(receive(t, dead, 3))
	c, _ := startConsumer(t, client, stream, redisstreams.WithLease(shortLease), limit)
	batch := receive(t, c, 3)
	check(batch)
	ids := []string{batch[0].ID, batch[1].ID, batch[2].ID}
	again, err := c.Redeliver(t.Context(), ids)
	if err != nil || len(again) != 3 || again[2].Attempt != 3 {
		t.Fatalf("%d entries, %v", len(again), err)
	}
	check(again)
	for _, d := range again {
		d.Ack()
	}
	redistest.Eventually(t, "all are acknowledged, the large one, too", func() bool { return pending(t, client, stream) == 0 })
}

// TestRepliesAreBounded: entries that are large together come in several replies, nothing is lost or out of order.
func TestRepliesAreBounded(t *testing.T) {
	t.Parallel()
	const n, megabytes = 24, 2
	server := redistest.Start(t)
	client, stream := server.Client(), "s"
	for i := range n {
		addRaw(t, client, stream, "n", fmt.Sprint(i), "data", strings.Repeat("x", megabytes<<20))
	}
	dead, err := redisstreams.NewConsumer(client, stream, "group", redisstreams.WithStart("0"))
	if err != nil {
		t.Fatal(err)
	}
	var got []*redisstreams.Delivery
	for len(got) < n {
		batch, err := dead.ReceiveBatch(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > 0 && len(batch) > 4 { // the first read cannot know
			t.Errorf("a reply of %d MiB", megabytes*len(batch))
		}
		got = append(got, batch...)
	}
	c, _ := startConsumer(t, client, stream, redisstreams.WithLease(shortLease))
	taken := receive(t, c, n)
	ids := make([]string, n)
	for i, d := range taken {
		ids[i] = d.ID
	}
	again, err := c.Redeliver(t.Context(), ids)
	if err != nil || len(again) != n {
		t.Fatalf("%d of %d entries again: %v", len(again), n, err)
	}
	for _, d := range again {
		if v, _ := d.Field("data"); len(v) != megabytes<<20 {
			t.Errorf("entry %s has %d bytes", d.ID, len(v))
		}
		d.Ack()
	}
}

// TestStrangeEntries: whatever a stranger put into the stream comes out with an error that says where and why, can be
// acknowledged, and does not stop the consumer.
func TestStrangeEntries(t *testing.T) {
	t.Parallel()
	ce := []string{"ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "t"}
	with := func(fields ...string) []string { return append(append([]string{}, ce...), fields...) }
	many := with()
	for i := range 5000 {
		many = append(many, fmt.Sprintf("plain%d", i), "v")
	}
	for name, c := range map[string]struct {
		fields []string
		kind   error
		reason string
	}{
		"an event":                      {ce, nil, ""},
		"thousands of plain fields":     {many, nil, ""},
		"no field of the binding":       {[]string{"fruit", "orange"}, redisstreams.ErrUnknownEncoding, "ce_specversion"},
		"an empty name and value":       {[]string{"", ""}, redisstreams.ErrUnknownEncoding, "ce_specversion"},
		"NUL and broken UTF-8":          {[]string{"\x00\xff", "\xff"}, redisstreams.ErrUnknownEncoding, "ce_specversion"},
		"twice the same attribute":      {with("ce_id", "2"), redisstreams.ErrMalformed, "ce_id occurs twice"},
		"twice data":                    {with("data", "", "data", "x"), redisstreams.ErrMalformed, "data occurs twice"},
		"twice content-type":            {with("content-type", "a/b", "content-type", "a/b"), redisstreams.ErrMalformed, "content-type occurs twice"},
		"a name that is none":           {with("ce_Grün", "x"), redisstreams.ErrMalformed, "not a valid attribute name"},
		"an empty name after ce_":       {with("ce_", "x"), redisstreams.ErrMalformed, "not a valid attribute name"},
		"broken UTF-8 in an attribute":  {with("ce_subject", "\xff"), redisstreams.ErrMalformed, "not valid UTF-8"},
		"ce_datacontenttype":            {with("ce_datacontenttype", "a/b"), redisstreams.ErrMalformed, "ce_datacontenttype"},
		"structured without data":       {[]string{"content-type", "application/cloudevents+json"}, redisstreams.ErrMalformed, ""},
		"structured with broken data":   {[]string{"content-type", "application/cloudevents+json", "data", "{"}, redisstreams.ErrMalformed, ""},
		"structured in an alien format": {[]string{"content-type", "application/cloudevents+avro", "data", "x"}, redisstreams.ErrUnknownFormat, "content-type"},
		"a batch":                       {[]string{"content-type", "application/cloudevents-batch+json", "data", "[]"}, redisstreams.ErrMalformed, "batch"},
		"100 MB":                        {with("data", strings.Repeat("x", 100<<20)), redisstreams.ErrTooLarge, "104857"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			consumer, _ := startConsumer(t, client, stream)
			id := addRaw(t, client, stream, c.fields...)
			appendN(t, client, stream, 1)
			batch := receive(t, consumer, 2)
			_, err := batch[0].Event()
			m := redisstreams.NewMessage(batch[0].Entry)
			if !errors.Is(err, c.kind) {
				t.Fatalf("error %v, want %v", err, c.kind)
			}
			if m.ReadEncoding() == binding.EncodingUnknown && !errors.Is(m.Err(), c.kind) {
				t.Errorf("as a message: %v, want %v", m.Err(), c.kind)
			}
			var entryErr *redisstreams.EntryError
			if c.kind != nil && (!errors.As(err, &entryErr) || entryErr.Stream != stream || entryErr.ID != id || !strings.Contains(entryErr.Reason, c.reason)) {
				t.Errorf("error %#v, want stream %s, id %s, reason %q", err, stream, id, c.reason)
			}
			if _, err := batch[1].Event(); err != nil {
				t.Errorf("the entry behind it: %v", err)
			}
			batch[0].Ack()
			batch[1].Ack()
			redistest.Eventually(t, "both are acknowledged", func() bool { return pending(t, client, stream) == 0 })
			_ = client.Del(t.Context(), stream).Err() // 100 MB need not stay
		})
	}
}
