package redisstreams_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// TestRoundTripThroughRedis: what is written is what is read, byte for byte, in both modes.
func TestRoundTripThroughRedis(t *testing.T) {
	t.Parallel()
	client := redistest.Shared(t).Client()
	stream := redistest.Stream(t)
	trim := redisstreams.WithMaxLen(10) // the data of a run would be some hundred megabytes
	senders := []*redisstreams.Sender{newSender(t, client, stream, trim), newSender(t, client, stream, trim, redisstreams.WithStructuredMode())}
	rapid.Check(t, func(t *rapid.T) {
		want := rapidEvent(t)
		for _, sender := range senders {
			id, err := sender.Append(context.Background(), &want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := readOne(client, stream, id)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want.Data, got.Data) || (want.Data == nil) != (got.Data == nil) {
				t.Fatalf("%d bytes of data became others, %d", len(want.Data), len(got.Data))
			}
			if diff := cmp.Diff(want.Attributes, got.Attributes); diff != "" || want.DataContentType != got.DataContentType {
				t.Fatal(diff, want.DataContentType, got.DataContentType)
			}
		}
	})
}

func rapidEvent(t *rapid.T) rawevent.Event {
	text := rapid.StringMatching(`[ -~éß€😀]{1,20}`)
	e := rawevent.New(text.Draw(t, "id"), "/s/"+rapid.StringMatching(`[a-z0-9/]{0,20}`).Draw(t, "source"), text.Draw(t, "type"))
	for name, value := range rapid.MapOfN(rapid.StringMatching(`x[a-z0-9]{0,15}`), text, 0, 5).Draw(t, "extensions") {
		e.Set(name, value)
	}
	if rapid.Bool().Draw(t, "partitioned") {
		e.Set("partitionkey", text.Draw(t, "partitionkey"))
	}
	e.DataContentType, e.Data = rapidData(t)
	return e
}

// rapidData returns data that is the same after JSON: white space around a JSON value would not survive that.
func rapidData(t *rapid.T) (contentType string, data []byte) {
	size := rapid.SampledFrom([]int{0, 1, 100, 1 << 10, 100 << 10, 1 << 20}).Draw(t, "size")
	switch rapid.IntRange(0, 4).Draw(t, "data") {
	case 0:
		return "", nil
	case 1:
		quoted, err := json.Marshal(map[string]any{"a": []float64{1, 2.5}, "é€😀": string(bytes.Repeat([]byte("ß"), size/2))})
		if err != nil {
			t.Fatal(err)
		}
		return "application/json", quoted
	case 2:
		return "text/plain; charset=utf-8", append([]byte{}, bytes.Repeat([]byte("a€\n"), size/5)...)
	case 3:
		return rapid.SampledFrom([]string{"", "application/xml"}).Draw(t, "type of data"), append([]byte{}, bytes.Repeat([]byte("<é/>"), size/5)...)
	default:
		random := rand.NewChaCha8([32]byte{byte(rapid.IntRange(0, 255).Draw(t, "seed"))})
		data = make([]byte, size)
		_, _ = random.Read(data) // never fails
		return "application/octet-stream", data
	}
}

// readOne reads an entry as a consumer does, with the order of its fields.
func readOne(client redis.UniversalClient, stream, id string) (rawevent.Event, error) {
	entry, err := entryAt(client, stream, id)
	if err != nil {
		return rawevent.Event{}, err
	}
	return entry.Event()
}

func entryAt(client redis.UniversalClient, stream, id string) (redisstreams.Entry, error) {
	reply, err := client.Do(context.Background(), "xrange", stream, id, id).Slice()
	if err != nil || len(reply) != 1 {
		return redisstreams.Entry{}, fmt.Errorf("%d entries: %w", len(reply), err)
	}
	entry := redisstreams.Entry{Stream: stream, ID: id}
	for _, value := range reply[0].([]any)[1].([]any) {
		entry.Fields = append(entry.Fields, value.(string))
	}
	return entry, nil
}

// TestSDKRoundTrip: extensions of every CloudEvents type come back as their canonical strings, and everything else as
// it was, in both modes.
func TestSDKRoundTrip(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	p, err := redisstreams.New(client, stream, redisstreams.WithSender(redisstreams.WithMaxLen(10)))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		want, extensions := rapidSDKEvent(t)
		for _, ctx := range []context.Context{binding.WithForceBinary(context.Background()), binding.WithForceStructured(context.Background())} {
			if err := p.Send(ctx, binding.ToMessage(&want)); err != nil {
				t.Fatal(err)
			}
			last, err := client.XRevRangeN(ctx, stream, "+", "-", 1).Result()
			if err != nil {
				t.Fatal(err)
			}
			entry, err := entryAt(client, stream, last[0].ID)
			if err != nil {
				t.Fatal(err)
			}
			got, err := binding.ToEvent(ctx, redisstreams.NewMessage(entry))
			if err != nil {
				t.Fatal(err)
			}
			compareSDKEvents(t, &want, got, extensions)
		}
	})
}

func compareSDKEvents(t *rapid.T, want, got *event.Event, extensions map[string]string) {
	t.Helper()
	for name, value := range extensions {
		if text, err := types.Format(got.Extensions()[name]); err != nil || text != value {
			t.Errorf("extension %s is %v (%v), want %q", name, got.Extensions()[name], err, value)
		}
	}
	a := []string{want.ID(), want.Source(), want.Type(), want.Subject(), want.DataSchema(), want.DataContentType(), want.Time().String(), fmt.Sprint(len(extensions))}
	b := []string{got.ID(), got.Source(), got.Type(), got.Subject(), got.DataSchema(), got.DataContentType(), got.Time().String(), fmt.Sprint(len(got.Extensions()))}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("attributes: %s", diff)
	}
	if !bytes.Equal(want.Data(), got.Data()) {
		t.Errorf("%d bytes of data became others, %d", len(want.Data()), len(got.Data()))
	}
}

// rapidSDKEvent returns an event and the canonical strings of its extensions.
func rapidSDKEvent(t *rapid.T) (event.Event, map[string]string) {
	text := rapid.StringMatching(`[ -~éß€😀]{1,20}`)
	e := event.New()
	e.SetID(text.Draw(t, "id"))
	e.SetSource("https://example.com/" + rapid.StringMatching(`[a-z]{0,9}`).Draw(t, "source"))
	e.SetType(text.Draw(t, "type"))
	if rapid.Bool().Draw(t, "optional") {
		e.SetSubject(text.Draw(t, "subject"))
		e.SetDataSchema("https://example.com/schema?v=1")
		e.SetTime(time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).UTC())
	}
	link, err := url.Parse("https://example.com/a?b=c#d")
	if err != nil {
		t.Fatal(err)
	}
	number := rapid.Int32().Draw(t, "integer")
	binaryValue := rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "binary")
	moment := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "moment"), 0).UTC()
	truth := rapid.Bool().Draw(t, "boolean")
	extensions := map[string]string{}
	for name, value := range map[string]struct {
		value any
		text  string
	}{
		"exbool": {truth, fmt.Sprint(truth)}, "exint": {number, fmt.Sprint(number)}, "exstring": {"é €", "é €"},
		"exbinary": {binaryValue, base64.StdEncoding.EncodeToString(binaryValue)}, "exuri": {types.URI{URL: *link}, link.String()},
		"exuriref": {types.URIRef{URL: url.URL{Path: "a/b"}}, "a/b"}, "extime": {types.Timestamp{Time: moment}, moment.Format(time.RFC3339)},
		"partitionkey": {"k", "k"},
	} {
		if rapid.Bool().Draw(t, name) {
			e.SetExtension(name, value.value)
			extensions[name] = value.text
		}
	}
	contentType, data := rapidData(t)
	if data != nil {
		if err := e.SetData(contentType, data); err != nil {
			t.Fatal(err)
		}
	}
	return e, extensions
}

// TestPartitionStream: the partition follows from the key alone, and a Cluster keeps a partition's keys together.
func TestPartitionStream(t *testing.T) {
	t.Parallel()
	e := sample("1")
	for key, want := range map[string]string{"a": "{S:0}", "device-17": "", "": ""} {
		keyed := sample("1")
		if key != "" {
			keyed.Set("partitionkey", key)
		}
		got := redisstreams.PartitionStream("S", 3, &keyed, "")
		if want != "" && got != want {
			t.Errorf("key %q: %s, want %s", key, got, want)
		}
		other := sample("2")
		if key != "" {
			other.Set("partitionkey", key)
			if again := redisstreams.PartitionStream("S", 3, &other, "ignored"); again != got {
				t.Errorf("key %q: %s and %s", key, got, again)
			}
		}
	}
	if a, b := redisstreams.PartitionStream("S", 1000, &e, ""), redisstreams.PartitionStream("S", 1000, &e, "fallback"); a == b {
		t.Errorf("the fallback changes nothing: %s", a)
	}
	seen := map[string]int{}
	for i := range 3000 {
		e := sample(fmt.Sprint(i))
		seen[redisstreams.PartitionStream("S", 3, &e, "")]++
	}
	for p, n := range seen {
		if n < 800 || n > 1200 {
			t.Errorf("partition %s has %d of 3000 events", p, n)
		}
	}
}

func TestKeysBesideAStream(t *testing.T) {
	t.Parallel()
	for stream, want := range map[string]string{"S": "streamgate:{S}:x", "{orders}:1": "streamgate:{orders}:{orders}:1:x",
		"a{b}c": "streamgate:{b}:a{b}c:x", "{a}{b}": "streamgate:{a}:{a}{b}:x"} {
		if got := redisstreams.Key(stream, "x"); got != want || redisstreams.CheckStreamName(stream) != nil {
			t.Errorf("%s: %s, want %s", stream, got, want)
		}
	}
	for _, stream := range []string{"", "{}x", "{open", "a}b", "}{"} {
		if redisstreams.CheckStreamName(stream) == nil {
			t.Errorf("the name %q is accepted, though no key can be in its slot", stream)
		}
	}
}
