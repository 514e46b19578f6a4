package layout_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
	"github.com/streamgate/streamgate/protocol/redisstreams/layout"
)

func add(t *testing.T, client redis.UniversalClient, stream string, fields ...string) string {
	t.Helper()
	id, err := client.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: fields}).Result()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// receive returns the first n entries, read by a consumer that runs until the test ends.
func receive(
	t *testing.T, client redis.UniversalClient, stream string, n int, opts ...redisstreams.ConsumerOption,
) (all []*redisstreams.Delivery) {
	t.Helper()
	c, err := redisstreams.NewConsumer(client, stream, "group", append(opts, redisstreams.WithStart("0"))...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	readCtx, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	for len(all) < n {
		batch, err := c.ReceiveBatch(readCtx, n-len(all))
		if err != nil {
			t.Fatalf("received %d of %d: %v", len(all), n, err)
		}
		all = append(all, batch...)
	}
	return all
}

// TestConsumerReadsByLayout: Consumer and Protocol read the entries of other programs beside those of the binding.
func TestConsumerReadsByLayout(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	reading, err := layout.New(layout.Config{Source: "/notebook", Type: "com.example.item"})
	if err != nil {
		t.Fatal(err)
	}
	flat := add(t, client, stream, "subject", "s", "producer", "project-a", "href", "https://example.com/1")
	add(t, client, stream, "content-type", "application/cloudevents+avro", "data", "x")
	unknown := add(t, client, stream, "fruit", "orange")
	sender, err := redisstreams.NewSender(client, stream)
	if err != nil {
		t.Fatal(err)
	}
	own := rawevent.New("0", "https://example.com/things", "com.example.created")
	if _, err := sender.Append(t.Context(), &own); err != nil {
		t.Fatal(err)
	}
	wantData := `{"producer":"project-a","href":"https://example.com/1"}`

	batch := receive(t, client, stream, 4, redisstreams.WithLayout(reading))
	e, err := batch[0].Event()
	if err != nil || e.ID() != stream+"/"+flat || e.Source() != "/notebook" || e.Type() != "com.example.item" || string(e.Data) != wantData {
		t.Errorf("flat entry: %+v, %v", e, err)
	}
	if _, err := batch[1].Event(); !errors.Is(err, redisstreams.ErrUnknownFormat) {
		t.Errorf("unknown format: %v", err)
	}
	if _, err := batch[2].Event(); !errors.Is(err, redisstreams.ErrUnknownEncoding) {
		t.Errorf("unknown entry %s: %v", unknown, err)
	}
	if e, err := batch[3].Event(); err != nil || e.ID() != "0" {
		t.Errorf("our own: %+v, %v", e, err)
	}

	p, err := redisstreams.New(client, stream, redisstreams.WithGroup("sdk", redisstreams.WithStart("0"), redisstreams.WithLayout(reading)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	opened := make(chan error, 1)
	go func() { opened <- p.OpenInbound(ctx) }()
	var encodings []binding.Encoding
	for i := range 4 {
		m, err := p.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		encodings = append(encodings, m.ReadEncoding())
		if i == 0 {
			got, err := binding.ToEvent(ctx, m)
			if err != nil || got.Subject() != "s" || string(got.Data()) != wantData || got.Time().IsZero() {
				t.Errorf("as an SDK event: %v, %v", got, err)
			}
		}
		if i == 2 && !errors.Is(m.(*redisstreams.Message).Err(), redisstreams.ErrUnknownEncoding) {
			t.Errorf("as a message: %v", m.(*redisstreams.Message).Err())
		}
		if err := m.Finish(nil); err != nil {
			t.Error(err)
		}
	}
	want := []binding.Encoding{binding.EncodingBinary, binding.EncodingStructured, binding.EncodingUnknown, binding.EncodingBinary}
	if diff := cmp.Diff(want, encodings); diff != "" {
		t.Errorf("encodings: %s", diff)
	}
	cancel()
	if err := <-opened; err != nil {
		t.Error(err)
	}
}
