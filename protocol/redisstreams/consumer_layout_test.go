package redisstreams_test

import (
	"context"
	"errors"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/google/go-cmp/cmp"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// TestConsumerReadsByLayout: both faces read other programs' entries, and our own beside them.
func TestConsumerReadsByLayout(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	layout, err := redisstreams.NewLayout(redisstreams.LayoutConfig{Source: "/notebook", Type: "com.example.item"})
	if err != nil {
		t.Fatal(err)
	}
	flat := addRaw(t, client, stream, "subject", "s", "producer", "project-a", "href", "https://example.com/1")
	addRaw(t, client, stream, "content-type", "application/cloudevents+avro", "data", "x")
	unknown := addRaw(t, client, stream, "fruit", "orange")
	appendN(t, client, stream, 1)
	wantData := `{"producer":"project-a","href":"https://example.com/1"}`

	c, _ := startConsumer(t, client, stream, redisstreams.WithLayout(layout))
	batch := receive(t, c, 4)
	e, err := batch[0].Event()
	if err != nil || e.ID() != stream+"/"+flat || e.Source() != "/notebook" || e.Type() != "com.example.item" || string(e.Data) != wantData {
		t.Errorf("flat entry: %+v, %v", e, err)
	}
	if _, err := batch[1].Event(); !errors.Is(err, redisstreams.ErrUnknownFormat) {
		t.Errorf("unknown format: %v", err)
	}
	if _, err := batch[2].Event(); !errors.Is(err, redisstreams.ErrUnknownEncoding) {
		t.Errorf("entry %s of nobody: %v", unknown, err)
	}
	if e, err := batch[3].Event(); err != nil || e.ID() != "0" {
		t.Errorf("our own: %+v, %v", e, err)
	}

	p, err := redisstreams.New(client, stream, redisstreams.WithGroup("sdk", redisstreams.WithStart("0"), redisstreams.WithLayout(layout)))
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
