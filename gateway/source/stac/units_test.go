package stac

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

const sampleItem = `{"type":"Feature","stac_version":"1.0.0","id":"S2B 1/x","collection":"c","bbox":[1,2,3,4],
 "geometry":{"type":"Point","coordinates":[1,2]},
 "properties":{"datetime":"2021-12-30T18:55:01Z","updated":"2022-01-01T00:00:00.5Z","eo:cloud_cover":3.5,"private":"x"},
 "assets":{"a":{"href":"https://example.com/a?sig=1&x=2"}},
 "links":[{"rel":"self","href":"../items/S2B%201?a=b&c=d"},{"rel":"canonical","href":"s3://bucket/x"}]}`

func makeEvent(t *testing.T, raw string, op operation, adjust func(*Config)) (string, map[string]string) {
	t.Helper()
	c := NewConfig()
	c.URL, c.Event.Producer = "https://user@api.example.com/v1/?key=secret", "project-a"
	adjust(c)
	api, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	page := &url.URL{Scheme: "https", Host: "api.example.com", Path: "/v1/search/x"}
	i, err := stacapi.ParseItem(json.RawMessage(raw))
	if err != nil {
		t.Fatal(err)
	}
	state, err := version(i)
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMapper(api, c, "watch")
	if err != nil {
		t.Fatal(err)
	}
	m.now = func() time.Time { return time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC) }
	e, err := m.event(i, "c", state, op, page)
	if err != nil {
		t.Fatal(err)
	}
	attributes := map[string]string{"datacontenttype": e.DataContentType}
	for _, a := range e.Attributes {
		attributes[a.Name] = a.Value
	}
	return string(e.Data), attributes
}

func TestEventOfAnItem(t *testing.T) {
	t.Parallel()
	data, got := makeEvent(t, sampleItem, opCreate, func(*Config) {})
	for name, want := range map[string]string{
		"type": "org.ogc.api.collection.item.create", "source": "https://api.example.com/v1/collections/c",
		"subject": "https://api.example.com/v1/items/S2B%201?a=b&c=d", "time": "2022-01-01T00:00:00.5Z",
		"recordedtime": "2026-11-23T01:02:03Z", "collection": "c", "datetime": "2021-12-30T18:55:01Z",
		"partitionkey": "c/S2B 1/x", "datacontenttype": "application/json", "specversion": "1.0",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if want := `{"href":"https://api.example.com/v1/items/S2B%201?a=b&c=d","producer":"project-a","type":"application/geo+json","rel":"item"}`; data != want {
		t.Errorf("data is %s", data)
	}
	_, updated := makeEvent(t, sampleItem, opUpdate, func(*Config) {})
	if updated["type"] != "org.ogc.api.collection.item.update" {
		t.Errorf("type is %s", updated["type"])
	}
}

// TestIDsAreForEver: a consumer recognizes an event that it has, whichever release has made it.
func TestIDsAreForEver(t *testing.T) {
	t.Parallel()
	id := func(raw string, op operation, adjust func(*Config)) string {
		_, attributes := makeEvent(t, raw, op, adjust)
		return attributes["id"]
	}
	same := func(*Config) {}
	created := id(sampleItem, opCreate, same)
	if created != "bc257c85-2b17-5ed4-ad87-f50df9db059a" {
		t.Errorf("created: %s", created)
	}
	if updated := id(sampleItem, opUpdate, same); updated != "f259ebad-89e0-5b95-8070-9398ffe1d05d" {
		t.Errorf("updated: %s", updated)
	}
	hashed := strings.Replace(sampleItem, `"updated"`, `"touched"`, 1)
	if got := id(hashed, opCreate, same); got != "6ce94f81-9dd8-56f4-b954-5e6822fb8de4" {
		t.Errorf("by content: %s", got)
	}
	for name, adjust := range map[string]func(*Config){
		"profile":  func(c *Config) { c.Event.Profile = profileItem },
		"producer": func(c *Config) { c.Event.Producer = "project-b" },
		"type":     func(c *Config) { c.Event.Type = "com.example.created" },
		"key":      func(c *Config) { c.URL = "https://api.example.com/v1?key=other" },
	} {
		if got := id(sampleItem, opCreate, adjust); got != created {
			t.Errorf("%s changes the id to %s", name, got)
		}
	}
	for name, raw := range map[string]string{
		"id": strings.Replace(sampleItem, "S2B 1/x", "S2B 1/y", 1), "updated": strings.Replace(sampleItem, "00:00:00.5Z", "00:00:00.6Z", 1), "content": hashed,
	} {
		if got := id(raw, opCreate, same); got == created {
			t.Errorf("%s does not change the id", name)
		}
	}
}

// TestItemsThatAreTooBig are linked, whatever the profile.
func TestItemsThatAreTooBig(t *testing.T) {
	t.Parallel()
	big := strings.Replace(sampleItem, `{"type":"Point","coordinates":[1,2]}`, `{"type":"LineString","coordinates":[`+strings.Repeat("[1,2],", maxDataBytes/6)+`[1,2]]}`, 1)
	want, _ := makeEvent(t, sampleItem, opCreate, func(*Config) {})
	for _, profile := range []string{profileSummary, profileItem} {
		data, got := makeEvent(t, big, opCreate, func(c *Config) { c.Event.Profile = profile })
		if data != want || got["datacontenttype"] != "application/json" || got["dataschema"] != "" {
			t.Errorf("%s: %d bytes of %s", profile, len(data), got["datacontenttype"])
		}
	}
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	for profile, c := range map[string]struct{ data, contentType, schema string }{
		"origin": {`{"href":"https://api.example.com/v1/items/S2B%201?a=b&c=d","producer":"project-a"}`, "application/json", ""},
		"item":   {sampleItem, "application/geo+json", "https://schemas.stacspec.org/v1.0.0/item-spec/json-schema/item.json"},
		"summary": {`{"type":"Feature","id":"S2B 1/x","collection":"c","bbox":[1,2,3,4],"geometry":{"type":"Point","coordinates":[1,2]},` +
			`"properties":{"datetime":"2021-12-30T18:55:01Z","eo:cloud_cover":3.5,"updated":"2022-01-01T00:00:00.5Z"},` +
			`"links":[{"href":"https://api.example.com/v1/items/S2B%201?a=b&c=d","rel":"self","type":"application/geo+json"},` +
			`{"href":"https://api.example.com/v1/collections/c","rel":"collection","type":"application/json"}]}`, "application/geo+json", ""},
	} {
		data, got := makeEvent(t, sampleItem, opCreate, func(c *Config) { c.Event.Profile = profile })
		if data != c.data || got["datacontenttype"] != c.contentType || got["dataschema"] != c.schema {
			t.Errorf("%s: %s %s\n%s\nwant\n%s", profile, got["datacontenttype"], got["dataschema"], data, c.data)
		}
	}
	_, got := makeEvent(t, sampleItem, opUpdate, func(c *Config) { c.Event.Type = "acme.stream-collector.completed" })
	if got["type"] != "acme.stream-collector.completed" {
		t.Errorf("type is %s", got["type"])
	}
}

func TestItemsWithoutTheUsual(t *testing.T) {
	t.Parallel()
	_, got := makeEvent(t, `{"id":"a b/c","properties":{"datetime":null,"start_datetime":"2020-01-01T00:00:00Z","updated":"yesterday"}}`, opCreate, func(*Config) {})
	if got["subject"] != "https://api.example.com/v1/collections/c/items/a%20b%2Fc" || got["time"] != "2026-11-23T01:02:03Z" || got["datetime"] != "2020-01-01T00:00:00Z" {
		t.Errorf("%v", got)
	}
	for name, c := range map[string]struct{ item, subject string }{
		"canonical":         {`{"id":"a","links":[{"rel":"canonical","href":"s3://b/a.json"},{"rel":"root","href":"/"}]}`, "s3://b/a.json"},
		"self second":       {`{"id":"a","links":[{"rel":"canonical","href":"s3://b/a.json"},{"rel":"self","href":"/a"}]}`, "https://api.example.com/a"},
		"empty self":        {`{"id":"a","links":[{"rel":"self","href":""},{"rel":"canonical","href":"c"}]}`, "https://api.example.com/v1/search/c"},
		"broken self":       {`{"id":"a:b","links":[{"rel":"self","href":"http://[x"}]}`, "https://api.example.com/v1/collections/c/items/a:b"},
		"control character": {`{"id":"a","links":[{"rel":"self","href":"/a\nb"}]}`, "https://api.example.com/a%0Ab"},
		"strange links":     {`{"id":"a","links":[{"rel":"x","href":"y","method":7,"headers":[],"body":"b","merge":"no"},{"rel":"self","href":"/a"}]}`, "https://api.example.com/a"},
	} {
		if _, got := makeEvent(t, c.item, opCreate, func(*Config) {}); got["subject"] != c.subject {
			t.Errorf("%s: subject %s, want %s", name, got["subject"], c.subject)
		}
	}
	for _, c := range [][2]string{
		{`"updated":"2022-01-01T01:00:00+02:00","published":"2020-01-01T00:00:00Z"`, "2022-01-01T01:00:00+02:00"},
		{`"updated":null,"published":"2020-01-01T00:00:00Z","created":"2019-01-01T00:00:00Z"`, "2020-01-01T00:00:00Z"},
		{`"updated":7,"published":"","created":"2019-01-01T00:00:00.000000001Z"`, "2019-01-01T00:00:00.000000001Z"},
		{`"updated":"2022-01-01T1:00:00Z"`, "2022-01-01T01:00:00Z"}, // which RFC 3339 does not allow
		{`"updated":"2022-01-01"`, "2026-11-23T01:02:03Z"},
	} {
		if _, got := makeEvent(t, `{"id":"a","properties":{`+c[0]+`}}`, opCreate, func(*Config) {}); got["time"] != c[1] {
			t.Errorf("%s: time %s, want %s", c[0], got["time"], c[1])
		}
	}
	for _, raw := range []string{`{}`, `{"id":""}`, `[]`, `1`} {
		if _, err := stacapi.ParseItem(json.RawMessage(raw)); err == nil {
			t.Errorf("%s is taken for an item", raw)
		}
	}
}

// TestVersionIgnoresWhatIsNoChange: links and signatures of assets, but not the content.
func TestVersionIgnoresWhatIsNoChange(t *testing.T) {
	t.Parallel()
	version := func(raw string) string {
		i, err := stacapi.ParseItem(json.RawMessage(raw))
		if err != nil {
			t.Fatal(err)
		}
		v, err := version(i)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	base := `{"id":"a","properties":{"x":1.10},"assets":{"a":{"href":"https://e.com/a?sig=1&se=2&y=3"}},"links":[{"rel":"self","href":"1"}]}`
	same := `{"links":[],"assets":{"a":{"href":"https://e.com/a?sig=9&y=3"}}, "properties":{"x":1.1},"id":"a"}`
	if version(base) != version(same) {
		t.Error("a signature or a link counts as a change")
	}
	for _, other := range []string{strings.Replace(base, "1.10", "1.11", 1), strings.Replace(base, "y=3", "y=4", 1)} {
		if version(base) == version(other) {
			t.Errorf("a change is not seen: %s", other)
		}
	}
}

// TestWindowsOfTheNotebook: ten dates, five days apart, four windows of six hours back from each. There they lacked a
// minute each; here they share their ends.
func TestWindowsOfTheNotebook(t *testing.T) {
	t.Parallel()
	b := BackfillConfig{Start: "2021-12-30", Count: 10, Every: setting.Duration(120 * time.Hour), Window: setting.Duration(6 * time.Hour), Windows: 4}
	windows := b.windows()
	var texts []string
	var covered spans
	total := time.Duration(0)
	for _, w := range windows {
		texts = append(texts, w.String())
		covered = covered.with(w)
	}
	for _, one := range covered {
		total += one[1].Sub(one[0])
	}
	want := []string{
		"2021-12-29T18:00:00Z/2021-12-30T00:00:00Z", "2021-12-29T12:00:00Z/2021-12-29T18:00:00Z", "2021-12-29T06:00:00Z/2021-12-29T12:00:00Z",
		"2021-12-29T00:00:00Z/2021-12-29T06:00:00Z", "2021-12-24T18:00:00Z/2021-12-25T00:00:00Z",
	}
	if len(texts) != 40 || !slices.Equal(texts[:5], want) || len(covered) != 10 || total != 240*time.Hour {
		t.Errorf("%d windows in %d spans of %s: %v", len(texts), len(covered), total, texts)
	}
}

// TestBackfillWindowsHaveNoHoles: the windows of one date touch, and dates closer than their windows repeat none.
// TestBackfillBetweenTwoDates, the newest window first, the last one shorter.
func TestBackfillBetweenTwoDates(t *testing.T) {
	t.Parallel()
	b := (&BackfillConfig{From: "2021-01-01", To: "2021-01-03T12:00:00Z"}).withDefaults()
	if problems := b.validate(); len(problems) > 0 {
		t.Fatal(problems)
	}
	var got []string
	for _, w := range b.windows() {
		got = append(got, w.String())
	}
	want := "2021-01-02T12:00:00Z/2021-01-03T12:00:00Z 2021-01-01T12:00:00Z/2021-01-02T12:00:00Z 2021-01-01T00:00:00Z/2021-01-01T12:00:00Z"
	if s := strings.Join(got, " "); s != want {
		t.Error(s)
	}
	for _, wrong := range []BackfillConfig{{From: "x", To: "2021-01-01"}, {From: "2021-01-01"}, {From: "2021-01-02", To: "2021-01-01"}, {From: "2021-01-01", To: "2021-01-02", Start: "2021-01-01"}} {
		if problems := wrong.withDefaults().validate(); len(problems) == 0 {
			t.Errorf("%+v is accepted", wrong)
		}
	}
}

func TestBackfillWindowsHaveNoHoles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := BackfillConfig{
			Start: "2021-12-30", Count: rapid.IntRange(1, 5).Draw(t, "count"), Windows: rapid.IntRange(1, 6).Draw(t, "windows"),
			Every:  setting.Duration(time.Duration(rapid.IntRange(1, 48).Draw(t, "every")) * time.Hour),
			Window: setting.Duration(time.Duration(rapid.IntRange(1, 12).Draw(t, "window")) * time.Hour),
		}
		start := time.Date(2021, 12, 30, 0, 0, 0, 0, time.UTC)
		windows := b.windows()
		seen := map[stacapi.Interval]bool{}
		for _, w := range windows {
			if seen[w] || w.To.Sub(w.From) != b.Window.Std() {
				t.Fatalf("window %s is there twice, or has the wrong length", w)
			}
			seen[w] = true
		}
		for date := range b.Count {
			end := start.Add(-time.Duration(date) * b.Every.Std())
			for range b.Windows {
				w := stacapi.Interval{From: end.Add(-b.Window.Std()), To: end}
				if !seen[w] {
					t.Fatalf("window %s is missing", w)
				}
				end = w.From
			}
		}
	})
}
