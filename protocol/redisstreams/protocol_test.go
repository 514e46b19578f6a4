package redisstreams_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	bindingtest "github.com/cloudevents/sdk-go/v2/binding/test"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/protocol"
	protocoltest "github.com/cloudevents/sdk-go/v2/protocol/test"
	sdktest "github.com/cloudevents/sdk-go/v2/test"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// open returns a protocol whose inbound side runs until the test ends.
func open(t *testing.T, stream string, opts ...redisstreams.Option) *redisstreams.Protocol {
	t.Helper()
	opts = append([]redisstreams.Option{redisstreams.WithGroup("group", redisstreams.WithStart("0"))}, opts...)
	p, err := redisstreams.New(redistest.Shared(t).Client(), stream, opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.OpenInbound(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("OpenInbound: %v", err)
		}
		if err := p.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return p
}

// TestSDKKit runs the SDK's protocol kit over a real Redis: every event of the SDK, given as event, as binary and as
// structured message, sent in both modes.
func TestSDKKit(t *testing.T) {
	t.Parallel()
	for i, e := range sdktest.Events() {
		inputs := map[string]func() binding.Message{
			"event":      func() binding.Message { return binding.ToMessage(&e) },
			"binary":     func() binding.Message { return bindingtest.MustCreateMockBinaryMessage(e) },
			"structured": func() binding.Message { return bindingtest.MustCreateMockStructuredMessage(t, e) },
		}
		for name, input := range inputs {
			t.Run(fmt.Sprintf("%d-%s-%s", i, e.SpecVersion(), name), func(t *testing.T) {
				t.Parallel()
				for mode, ctx := range map[binding.Encoding]context.Context{
					binding.EncodingBinary:     binding.WithForceBinary(context.Background()),
					binding.EncodingStructured: binding.WithForceStructured(context.Background()),
				} {
					want := sdktest.ConvertEventExtensionsToString(t, e.Clone())
					p := open(t, redistest.Stream(t))
					protocoltest.SendReceive(t, ctx, input(), p, p, func(m binding.Message) {
						if m.ReadEncoding() != mode {
							t.Errorf("encoding %v, want %v", m.ReadEncoding(), mode)
						}
						got := sdktest.MustToEvent(t, ctx, m)
						sdktest.AssertEventEquals(t, want, sdktest.ConvertEventExtensionsToString(t, got))
						if id, ok := redisstreams.EntryID(m); !ok || id == "" {
							t.Error("the message has no entry id")
						}
					})
				}
			})
		}
	}
}

func TestTransformersRunOnEveryEncoding(t *testing.T) {
	t.Parallel()
	e := sdktest.FullEvent()
	for name, message := range map[string]binding.Message{
		"event":      binding.ToMessage(&e),
		"binary":     bindingtest.MustCreateMockBinaryMessage(e),
		"structured": bindingtest.MustCreateMockStructuredMessage(t, e),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rename := binding.TransformerFunc(func(_ binding.MessageMetadataReader, w binding.MessageMetadataWriter) error {
				return errors.Join(w.SetExtension("exstring", nil), w.SetExtension("added", int32(7)))
			})
			fields, err := redisstreams.WriteMessage(context.Background(), message, rename)
			if err != nil {
				t.Fatal(err)
			}
			entry := entryOf(fields)
			if _, found := entry.Field("ce_exstring"); found {
				t.Error("a nil value did not delete the extension")
			}
			if value, _ := entry.Field("ce_added"); value != "7" {
				t.Errorf("ce_added is %q, want 7", value)
			}
		})
	}
}

// entryOf turns the arguments of an XADD into the entry that Redis makes of them.
func entryOf(fields []any) redisstreams.Entry {
	entry := redisstreams.Entry{Stream: "s", ID: "1-0"}
	for _, f := range fields {
		switch v := f.(type) {
		case string:
			entry.Fields = append(entry.Fields, v)
		case *string:
			entry.Fields = append(entry.Fields, *v)
		case []byte:
			entry.Fields = append(entry.Fields, string(v))
		}
	}
	return entry
}

func TestFinishDecidesWhetherTheEntryStaysPending(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		result error
		left   int64
	}{
		"nil":         {nil, 0},
		"ack":         {protocol.ResultACK, 0},
		"ack receipt": {protocol.NewReceipt(true, "done"), 0},
		"nack":        {protocol.ResultNACK, 1},
		"plain error": {errors.New("broken"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := redistest.Stream(t)
			p := open(t, stream)
			e := sdktest.MinEvent()
			if err := p.Send(context.Background(), binding.ToMessage(&e)); err != nil {
				t.Fatal(err)
			}
			m, err := p.Receive(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Finish(c.result); err != nil {
				t.Fatal(err)
			}
			if err := m.Finish(nil); err != nil { // a second call must not acknowledge
				t.Fatal(err)
			}
			second := sdktest.MinEvent()
			if err := p.Send(context.Background(), binding.ToMessage(&second)); err != nil {
				t.Fatal(err)
			}
			m, err = p.Receive(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			_ = m.Finish(nil)
			client := redistest.Shared(t).Client()
			redistest.Eventually(t, "the acknowledgements arrive", func() bool { return pending(t, client, stream) == c.left })
		})
	}
}

func TestSDKClientEndToEnd(t *testing.T) {
	t.Parallel()
	const n = 200
	stream := redistest.Stream(t)
	p, err := redisstreams.New(redistest.Shared(t).Client(), stream, redisstreams.WithGroup("group", redisstreams.WithStart("0")))
	if err != nil {
		t.Fatal(err)
	}
	client, err := cloudevents.NewClient(p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var sending sync.WaitGroup
	for i := range n {
		sending.Go(func() {
			e := cloudevents.NewEvent()
			e.SetID(fmt.Sprint(i))
			e.SetType("com.example.created")
			e.SetSource("/tests")
			if err := client.Send(ctx, e); err != nil {
				t.Errorf("Send: %v", err)
			}
		})
	}
	sending.Wait()
	var mu sync.Mutex
	var got []string
	err = client.StartReceiver(ctx, func(e event.Event) {
		mu.Lock()
		defer mu.Unlock()
		if got = append(got, e.ID()); len(got) == n {
			cancel()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if unique := slices.Compact(got); len(unique) != n {
		t.Fatalf("received %d different events, want %d", len(unique), n)
	}
	if left := pending(t, redistest.Shared(t).Client(), stream); left != 0 {
		t.Errorf("%d entries are still pending", left)
	}
}

func TestReceiveEndsWithEOF(t *testing.T) {
	t.Parallel()
	p := open(t, redistest.Stream(t))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Receive(ctx); !errors.Is(err, io.EOF) {
		t.Errorf("with a cancelled context: %v, want io.EOF", err)
	}
	result := make(chan error, 1)
	go func() {
		_, err := p.Receive(context.Background())
		result <- err
	}()
	if err := p.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, io.EOF) {
		t.Errorf("after Close: %v, want io.EOF", err)
	}
	e := sdktest.MinEvent()
	if err := p.Send(context.Background(), binding.ToMessage(&e)); err == nil {
		t.Error("Send works after Close")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	client := redistest.Shared(t).Client()
	for name, build := range map[string]func() error{
		"no client": func() error { _, err := redisstreams.New(nil, "s"); return err },
		"no stream": func() error { _, err := redisstreams.New(client, ""); return err },
		"no group":  func() error { _, err := redisstreams.New(client, "s", redisstreams.WithGroup("")); return err },
		"no bound":  func() error { _, err := redisstreams.New(client, "s", redisstreams.WithMaxInFlight(0)); return err },
		"no logger": func() error { _, err := redisstreams.New(client, "s", redisstreams.WithLogger(nil)); return err },
		"receive without a group": func() error {
			p, err := redisstreams.New(client, "s")
			if err != nil {
				return nil //nolint:nilerr // the case wants an error from OpenInbound
			}
			return p.OpenInbound(context.Background())
		},
	} {
		if build() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
