package redisstreams_test

import (
	"context"
	"testing"
	"unsafe"

	"github.com/cloudevents/sdk-go/v2/binding"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// The codecs, for an event of 1 KB in binary mode. What they allocate is bounded by the tests below.

func BenchmarkEncode(b *testing.B) {
	event := benchEvent()
	fields := make([]any, 0, 32)
	b.ReportAllocs()
	for b.Loop() {
		fields = redisstreams.AppendFields(fields[:0], &event, nil)
	}
}

func BenchmarkDecode(b *testing.B) {
	entry := benchEntry()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := entry.Event(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMessageToEvent is what the SDK's client does with each message that it receives.
func BenchmarkMessageToEvent(b *testing.B) {
	entry := benchEntry()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := binding.ToEvent(context.Background(), redisstreams.NewMessage(entry)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWriteMessage writes a message that was received, without an event of the SDK in between.
func BenchmarkWriteMessage(b *testing.B) {
	entry := benchEntry()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := redisstreams.WriteMessage(context.Background(), redisstreams.NewMessage(entry)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEventToMessage writes an event of the SDK, as Protocol.Send does.
func BenchmarkEventToMessage(b *testing.B) {
	event, err := binding.ToEvent(context.Background(), redisstreams.NewMessage(benchEntry()))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := redisstreams.WriteMessage(context.Background(), binding.ToMessage(event)); err != nil {
			b.Fatal(err)
		}
	}
}

func benchEntry() redisstreams.Entry {
	event := benchEvent()
	return entryOf(redisstreams.AppendFields(nil, &event, nil))
}

// The bounds leave room for what the race detector adds.
func TestAllocations(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts what the whole process allocates
	event, entry := benchEvent(), benchEntry()
	ctx := context.Background()
	sdkEvent, err := binding.ToEvent(ctx, redisstreams.NewMessage(entry))
	if err != nil {
		t.Fatal(err)
	}
	buffer := make([]any, 0, 32)
	for _, c := range []struct {
		name  string
		bound float64
		f     func() error
	}{
		{"encode into a buffer", 1, func() error {
			buffer = redisstreams.AppendFields(buffer[:0], &event, nil)
			return nil
		}},
		{"decode", 1, func() error {
			_, err := entry.Event()
			return err
		}},
		{"message", 2, func() error { return redisstreams.NewMessage(entry).Err() }},
		{"message to event", 24, func() error {
			_, err := binding.ToEvent(ctx, redisstreams.NewMessage(entry))
			return err
		}},
		{"message to fields", 27, func() error {
			_, err := redisstreams.WriteMessage(ctx, redisstreams.NewMessage(entry))
			return err
		}},
		{"event to fields", 23, func() error {
			_, err := redisstreams.WriteMessage(ctx, binding.ToMessage(sdkEvent))
			return err
		}},
	} {
		got := testing.AllocsPerRun(200, func() {
			if err := c.f(); err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("%s: %.0f allocations", c.name, got)
		if got > c.bound {
			t.Errorf("%s makes %.0f allocations, which is more than %.0f", c.name, got, c.bound)
		}
	}
}

func TestDataIsNotCopied(t *testing.T) {
	t.Parallel()
	event, entry := benchEvent(), benchEntry()

	fields := redisstreams.AppendFields(nil, &event, nil)
	if written, ok := fields[len(fields)-1].([]byte); !ok || unsafe.SliceData(written) != unsafe.SliceData(event.Data) {
		t.Error("encoding copies the data")
	}

	decoded, err := entry.Event()
	if err != nil {
		t.Fatal(err)
	}
	stored, _ := entry.Field(redisstreams.FieldData)
	if unsafe.SliceData(decoded.Data) != unsafe.StringData(stored) {
		t.Error("decoding copies the data")
	}
	for i := range decoded.Attributes {
		a := &decoded.Attributes[i]
		if value, _ := entry.Field(redisstreams.FieldPrefix + a.Name); unsafe.StringData(a.Value) != unsafe.StringData(value) {
			t.Errorf("decoding copies the attribute %s", a.Name)
		}
	}
}
