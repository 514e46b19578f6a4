package layout_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
	"github.com/streamgate/streamgate/protocol/redisstreams/layout"
)

// allLayouts returns every layout, fields also with rules.
func allLayouts(t testing.TB) []*layout.Layout {
	t.Helper()
	configs := []layout.Config{{Name: layout.Auto, DataContentType: "text/plain"}, {Name: layout.Fields, Fields: layout.FieldRules{
		ID: "ID", Source: "source", Type: "type", Subject: "subject", Time: "time", DataSchema: "schema", DataContentType: "content-type", Data: "data",
		Extensions: []layout.FieldExtension{{Name: "href"}, {Name: "x", Field: "producer"}},
	}}}
	for _, name := range layout.Names() {
		configs = append(configs, layout.Config{Name: name, DataContentType: "text/plain"})
	}
	var all []*layout.Layout
	for _, c := range configs {
		all = append(all, newLayout(t, c))
	}
	return all
}

// checkLayout reads any entry: no panic, the same event or error every time, and an event is valid, in JSON too.
func checkLayout(t rapid.TB, l *layout.Layout, e redisstreams.Entry) (string, error) {
	t.Helper()
	before := slices.Clone(e.Fields)
	event, err := l.Event(&e)
	if !slices.Equal(before, e.Fields) {
		t.Fatalf("%s changes the entry", l.Name())
	}
	again, errAgain := l.Event(&redisstreams.Entry{Stream: e.Stream, ID: e.ID, Fields: before})
	if diff := cmp.Diff(event, again); diff != "" || fmt.Sprint(err) != fmt.Sprint(errAgain) {
		t.Fatalf("%s reads the entry in another way the second time: %v and %v\n%s", l.Name(), err, errAgain, diff)
	}
	if err != nil {
		var entryError *redisstreams.EntryError
		if !errors.As(err, &entryError) || entryError.Stream != e.Stream || entryError.ID != e.ID || entryError.Reason == "" {
			t.Fatalf("%s: the error %v is none of the entry", l.Name(), err)
		}
		if !errors.Is(err, redisstreams.ErrUnknownFormat) && !cmp.Equal(event, rawevent.Event{}) {
			t.Fatalf("%s returns an event with the error %v", l.Name(), err)
		}
		return err.Error(), err
	}
	validated := event.Clone()
	if err := validated.Validate(); err != nil || !cmp.Equal(event, validated) {
		t.Fatalf("%s makes an invalid event: %v\n%+v", l.Name(), err, event)
	}
	if rawevent.ModeOf(event.DataContentType) != rawevent.Binary && l.Name() == layout.Fields {
		t.Fatalf("%s takes an encoded event for data", l.Name())
	}
	text := event.AppendJSON(nil)
	if _, err := rawevent.FromJSON(text); err != nil {
		t.Fatalf("%s makes an event that cannot be read as JSON: %v\n%s", l.Name(), err, text)
	}
	return string(text), nil
}

// checkLayouts checks every layout, and that LayoutAuto reads as one of the others, or says that none may.
func checkLayouts(t rapid.TB, all []*layout.Layout, e redisstreams.Entry) {
	t.Helper()
	auto, autoErr := "", error(nil)
	var others []string
	for _, l := range all {
		switch text, err := checkLayout(t, l, e); l.Name() {
		case layout.Auto:
			auto, autoErr = text, err
		case layout.Fields, layout.RedpandaConnect:
		default:
			others = append(others, text)
		}
	}
	if !errors.Is(autoErr, redisstreams.ErrUnknownEncoding) && !slices.Contains(others, auto) {
		t.Fatalf("auto reads the entry as no layout does: %s\n%q", auto, others)
	}
}

// aField draws names and values that layouts know, bytes that they do not, and mixtures.
func aField(t *rapid.T) []string {
	name := rapid.OneOf(rapid.SampledFrom([]string{
		"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_x", "ce_", "ce_X", "ce_data", "ce_datacontenttype", "content-type", "Content-Type", "data",
		"subject", "producer", "href", "metadata", "ce", "body", "_watermill_message_uuid", "payload", "kafka_key", "id", "time", "ID", "schema", "href_base64",
	}), rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	value := rapid.OneOf(rapid.SampledFrom([]string{
		"", "1.0", "1", "/s", "t", "2026-11-23T01:02:03Z", "text/plain", "application/json", "application/cloudevents+json", "application/cloudevents+avro",
		"application/cloudevents-batch+json", whole, `{"specversion":"1.0","source":"/s","type":"t","id":"","subject":"","topic":"","pubsubname":"p","data":"\u0000"}`,
		"{\"specversion\":\"1.0\",\"source\":\"/s\",\"type\":\"t\",\"id\":\"1\",\"datacontenttype\":\"a/b\",\"data\":\"\xff\"}", "{}", "null", `{"rawPayload":"true"}`,
		"\x82\xa1a\xa11\xa5ce_id\xa12", "\xde\x00\x01\xc4\x01k\xd9\x01\xff", "\xdf\xff\xff\xff\xff", "\n", "\xff",
	}), rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	return []string{name.Draw(t, "name"), value.Draw(t, "value")}
}

func TestLayoutReadsAnything(t *testing.T) {
	t.Parallel()
	all := allLayouts(t)
	rapid.Check(t, func(t *rapid.T) {
		e := redisstreams.Entry{
			Stream: rapid.OneOf(rapid.Just("orders"), rapid.String(), rapid.Just("a/%\xff")).Draw(t, "stream"),
			ID:     rapid.OneOf(rapid.StringMatching(`[0-9]{1,20}-[0-9]{1,20}`), rapid.String()).Draw(t, "id"),
		}
		for _, field := range rapid.SliceOfN(rapid.Custom(aField), 0, 8).Draw(t, "fields") {
			e.Fields = append(e.Fields, field...)
		}
		checkLayouts(t, all, e)
	})
}

// FuzzLayout reads entries of up to four fields; one without a name is none.
func FuzzLayout(f *testing.F) {
	all := allLayouts(f)
	f.Fuzz(func(t *testing.T, stream, id, n1, v1, n2, v2, n3, v3, n4, v4 string) {
		e := redisstreams.Entry{Stream: stream, ID: id}
		for _, field := range [][]string{{n1, v1}, {n2, v2}, {n3, v3}, {n4, v4}} {
			if field[0] != "" {
				e.Fields = append(e.Fields, field...)
			}
		}
		checkLayouts(t, all, e)
	})
}
