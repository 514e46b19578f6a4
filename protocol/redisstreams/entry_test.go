package redisstreams_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/google/go-cmp/cmp"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func TestFieldsAreInCanonicalOrder(t *testing.T) {
	t.Parallel()
	e := rawevent.New("1", "/s", "t")
	for _, name := range []string{"zeta", "alpha", "dataschema", "subject", "time"} {
		e.Set(name, "2026-11-23T01:02:03Z")
	}
	e.DataContentType, e.Data = "application/json", []byte(`{}`)
	entry := entryOf(redisstreams.AppendFields(nil, &e, []string{"href", "h", "producer", "p"}))
	var names []string
	for i := 0; i < len(entry.Fields); i += 2 {
		names = append(names, entry.Fields[i])
	}
	want := strings.Fields("ce_specversion ce_id ce_source ce_type ce_time ce_subject ce_dataschema content-type ce_alpha ce_zeta href producer data")
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

// TestEntryRules holds a case for every rule of reading an entry (protocol binding, reading an entry).
func TestEntryRules(t *testing.T) {
	t.Parallel()
	minimal := []string{"ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "t"}
	with := func(more ...string) []string { return append(append([]string(nil), minimal...), more...) }
	const structured = `{"specversion":"1.0","id":"j","source":"/s","type":"t"}`
	for name, c := range map[string]struct {
		fields []string
		want   error
		id     string
	}{
		"minimal":                    {minimal, nil, "1"},
		"any order":                  {[]string{"data", "x", "ce_type", "t", "ce_source", "/s", "ce_id", "1", "ce_specversion", "1.0"}, nil, "1"},
		"plain fields are ignored":   {with("subject", "a", "producer", "b", "Ce_id", "c", "CE_X", "d"), nil, "1"},
		"two equal plain fields":     {with("x", "1", "x", "2"), nil, "1"},
		"field twice":                {with("ce_id", "2"), redisstreams.ErrMalformed, ""},
		"data twice":                 {with("data", "", "data", ""), redisstreams.ErrMalformed, ""},
		"content-type twice":         {with("content-type", "", "content-type", ""), redisstreams.ErrMalformed, ""},
		"attribute not UTF-8":        {with("ce_subject", "\xff"), redisstreams.ErrMalformed, ""},
		"content-type not UTF-8":     {with("content-type", "\xff"), redisstreams.ErrMalformed, ""},
		"bad name":                   {with("ce_Foo", "x"), redisstreams.ErrMalformed, ""},
		"empty name":                 {with("ce_", "x"), redisstreams.ErrMalformed, ""},
		"ce_datacontenttype":         {with("ce_datacontenttype", "text/plain"), redisstreams.ErrMalformed, ""},
		"structured":                 {[]string{"content-type", "application/cloudevents+json", "data", structured}, nil, "j"},
		"structured, case, charset":  {[]string{"content-type", "Application/CloudEvents+JSON; charset=UTF-8", "data", structured}, nil, "j"},
		"structured wins over ce_id": {with("content-type", "application/cloudevents+json", "data", structured), nil, "j"},
		"structured broken":          {[]string{"content-type", "application/cloudevents+json", "data", "{"}, redisstreams.ErrMalformed, ""},
		"structured without data":    {[]string{"content-type", "application/cloudevents+json"}, redisstreams.ErrMalformed, ""},
		"unknown format":             {[]string{"content-type", "application/cloudevents+avro", "data", "x"}, redisstreams.ErrUnknownFormat, ""},
		"no format":                  {[]string{"content-type", "application/cloudevents", "data", "x"}, redisstreams.ErrUnknownFormat, ""},
		"batch":                      {[]string{"content-type", "application/cloudevents-batch+json", "data", "[]"}, redisstreams.ErrMalformed, ""},
		"another type of that name":  {with("content-type", "application/cloudeventsx"), nil, "1"},
		"origin's flat entry":        {[]string{"subject", "s", "producer", "p", "href", "h"}, redisstreams.ErrUnknownEncoding, ""},
		"empty":                      {nil, redisstreams.ErrUnknownEncoding, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entry := redisstreams.Entry{Stream: "orders", ID: "5-1", Fields: c.fields}
			got, err := entry.Event()
			if !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			if c.want == nil {
				if err != nil || got.ID() != c.id {
					t.Fatalf("id %q, error %v; want id %q", got.ID(), err, c.id)
				}
				return
			}
			if text := err.Error(); !strings.Contains(text, `"orders"`) || !strings.Contains(text, "5-1") {
				t.Errorf("the error does not say which entry: %s", text)
			}
			if m := redisstreams.NewMessage(entry); m.ReadEncoding() == binding.EncodingUnknown && !errors.Is(m.Err(), c.want) {
				t.Errorf("the message's error is %v, want %v", m.Err(), c.want)
			}
		})
	}
}

func TestEmptyAndAbsentDataStayDifferent(t *testing.T) {
	t.Parallel()
	for _, data := range [][]byte{nil, {}} {
		e := sample("1")
		e.Data = data
		entry := entryOf(redisstreams.AppendFields(nil, &e, nil))
		got, err := entry.Event()
		if err != nil || (got.Data == nil) != (data == nil) {
			t.Errorf("data %#v became %#v (%v)", data, got.Data, err)
		}
	}
}

func TestMirror(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	sender := newSender(t, client, stream, redisstreams.WithMirror("subject", "producer", "href", "n", "absent"))
	e := sample("1")
	e.Set("subject", "https://example.com/items/a")
	e.Data = []byte(`{"producer":"project-a","href":"https://example.com/items/\u0061","n":[1, 2]}`)
	id, err := sender.Append(context.Background(), &e)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := client.XRange(context.Background(), stream, id, id).Result()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"subject": "https://example.com/items/a", "producer": "project-a", "href": "https://example.com/items/a", "n": "[1, 2]", "absent": nil,
	} {
		if got := entries[0].Values[name]; got != want {
			t.Errorf("field %s is %v, want %v", name, got, want)
		}
	}
	got, err := readOne(client, stream, id)
	if err != nil || !bytes.Equal(got.Data, e.Data) || len(got.Attributes) != len(e.Attributes) {
		t.Errorf("the event changed: %v %v", got, err)
	}
}

func TestCompareIDs(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{"1-9", "1-10"}, {"9-0", "10-0"}, {"1", "1-1"}, {"0-0", "0-1"}} {
		if redisstreams.CompareIDs(c[0], c[1]) >= 0 || redisstreams.CompareIDs(c[1], c[0]) <= 0 || redisstreams.CompareIDs(c[0], c[0]) != 0 {
			t.Errorf("%v", c)
		}
	}
}

// FuzzEntry: no entry ends the program (testdata has an entry for each rule); what is read can be written and read
// again; both faces agree on what is an event.
func FuzzEntry(f *testing.F) {
	f.Fuzz(func(t *testing.T, joined string) {
		entry := redisstreams.Entry{Stream: "s", ID: "1-1", Fields: strings.Split(joined, "\x00")}
		event, err := entry.Event()
		m := redisstreams.NewMessage(entry)
		_, eventErr := binding.ToEvent(context.Background(), m)
		if m.ReadEncoding() == binding.EncodingUnknown && eventErr == nil {
			t.Errorf("an unknown encoding gives an event: %q", entry.Fields)
		}
		if err != nil {
			if entryErr := (*redisstreams.EntryError)(nil); !errors.As(err, &entryErr) || entryErr.Reason == "" {
				t.Errorf("%q: %v", entry.Fields, err)
			}
			return
		}
		if rawevent.ModeOf(event.DataContentType) != rawevent.Binary {
			return // is written in structured mode, by a Sender
		}
		again := entryOf(redisstreams.AppendFields(nil, &event, nil))
		got, err := again.Event()
		if _, hasVersion := event.Attribute(rawevent.AttrSpecVersion); hasVersion && (err != nil || !cmp.Equal(event, got)) {
			t.Errorf("%q became %q: %v", entry.Fields, again.Fields, err)
		}
	})
}
