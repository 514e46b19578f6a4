package stac

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/gateway/source/stacapi"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

func newTestMapper(t *testing.T, adjust func(*EventConfig)) *mapper {
	t.Helper()
	c := NewConfig()
	c.URL = "https://api.example.com/v1"
	adjust(&c.Event)
	if p := c.Event.validate(); len(p) > 0 {
		t.Fatal(p)
	}
	m, err := newMapper(&url.URL{Scheme: "https", Host: "api.example.com", Path: "/v1"}, c, "watch")
	if err != nil {
		t.Fatal(err)
	}
	return &m
}

func attribute(e *rawevent.Event, name string) string {
	value, _ := e.Attribute(name)
	return value
}

func TestTemplatesOfEvents(t *testing.T) {
	t.Parallel()
	data, got := makeEvent(t, sampleItem, opUpdate, func(c *Config) {
		c.Event.Type = "acme.{operation}.{property:none?}"
		c.Event.Source = "{api}/{collection}/{stacVersion}"
		c.Event.Subject = "{producer}:{id|urlpath}:{datetime}"
		c.Event.Producer = "p-{collection}"
		c.Event.Extensions = []ExtensionConfig{{"cloudcover", "{property:eo:cloud_cover}"}, {"nothing", "{property:geometry?}"}, {"owner", "me"}}
	})
	for name, want := range map[string]string{
		"type": "acme.update.", "source": "https://api.example.com/v1/c/1.0.0", "subject": "p-c:S2B%201%2Fx:2021-12-30T18:55:01Z",
		"cloudcover": "3.5", "owner": "me",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if _, found := got["nothing"]; found || !strings.Contains(data, `"producer":"p-c"`) {
		t.Errorf("%v %s", got, data)
	}
	m := newTestMapper(t, func(c *EventConfig) { c.Type = "{property:none}" })
	i, err := stacapi.ParseItem(json.RawMessage(sampleItem))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.event(i, "c", "v", opCreate, m.api); err == nil || !strings.Contains(err.Error(), "make the type: fill in {property:none}") {
		t.Error(err)
	}
}

func TestIDScope(t *testing.T) {
	t.Parallel()
	id := func(scope, name string) string {
		m := newTestMapper(t, func(c *EventConfig) { c.IDScope = scope })
		m.name = name
		return m.id(&subject{id: "a", collection: "c", operation: opCreate, version: "v"})
	}
	if id(scopeItem, "a") != id(scopeItem, "b") || id(scopeSource, "a") == id(scopeSource, "b") || id(scopeSource, "a") == id(scopeItem, "a") {
		t.Error("the scope of ids is not kept")
	}
}

func TestRewriteSelf(t *testing.T) {
	t.Parallel()
	_, got := makeEvent(t, sampleItem, opCreate, func(c *Config) { c.Event.RewriteSelf = rewriteSelf })
	if want := "https://api.example.com/v1/collections/c/items/S2B%201%2Fx"; got["subject"] != want {
		t.Errorf("subject %s, want %s", got["subject"], want)
	}
}

func TestSummaryOfAssets(t *testing.T) {
	t.Parallel()
	raw := strings.Replace(sampleItem, `"assets":{"a":{"href":"https://example.com/a?sig=1&x=2"}}`, `"assets":{
		"a":{"href":"https://example.com/a?sig=1&x=2","title":"A"},"B04":{"href":"./B04.tif","roles":["data"],"type":"image/tiff","extra":1},
		"thumb":{"href":"s3://b/t.png","roles":["thumbnail"]},"bad":7,"B05":{},"other":{"href":"x"}}`, 1)
	data, _ := makeEvent(t, raw, opCreate, func(c *Config) {
		c.Event.Profile, c.Event.Assets, c.Event.Properties = profileSummary, []string{"a", "B*", "thumb*nail", "bad"}, []string{"eo:*"}
	})
	want := `"properties":{"eo:cloud_cover":3.5},"assets":{"B04":{"href":"https://api.example.com/v1/items/B04.tif","type":"image/tiff","roles":["data"]},` +
		`"a":{"href":"https://example.com/a?x=2","title":"A"},"thumb":{"href":"s3://b/t.png","roles":["thumbnail"]}},"links"`
	if !strings.Contains(data, want) {
		t.Errorf("%s\nwant ...%s...", data, want)
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"eo:*", "eo:x", true}, {"eo:*", "proj:eo:x", false}, {"*x", "x/x", true},
		{"a*b*c", "aXbYbc", true}, {"a*b*c", "acb", false}, {"ab*ba", "aba", false}, {"**", "a", true}, {"", "a", false},
	} {
		if matches(c.pattern, c.s) != c.want {
			t.Errorf("%q and %q: want %t", c.pattern, c.s, c.want)
		}
	}
}

func TestDeletedItem(t *testing.T) {
	t.Parallel()
	for _, profile := range profiles() {
		m := newTestMapper(t, func(c *EventConfig) {
			c.Profile, c.Extensions = profile, []ExtensionConfig{{"cloud", "{property:eo:cloud_cover}"}, {"what", "{operation}"}}
		})
		e, err := m.deleted(deletedItem{id: "a b", collection: "c", href: "https://e.com/a", version: "v"})
		if err != nil {
			t.Fatal(err)
		}
		want := `{"href":"https://e.com/a","producer":"streamgate","type":"application/geo+json","rel":"item"}`
		if profile == profileOrigin {
			want = `{"href":"https://e.com/a","producer":"streamgate"}`
		}
		if string(e.Data) != want || e.Type() != "org.ogc.api.collection.item.delete" || e.Subject() != "https://e.com/a" ||
			attribute(&e, "partitionkey") != "c/a b" || attribute(&e, "what") != "delete" || attribute(&e, "cloud") != "" || attribute(&e, "recordedtime") == "" {
			t.Errorf("%s: %s %v", profile, e.Data, e.Attributes)
		}
		again, err := m.deleted(deletedItem{id: "a b", collection: "c", version: "v2"})
		if err != nil || again.ID() == e.ID() || again.Subject() != "https://api.example.com/v1/collections/c/items/a%20b" {
			t.Errorf("%s: %v %v", profile, again.Attributes, err)
		}
	}
}

func TestCollectionEvents(t *testing.T) {
	t.Parallel()
	const link = `{"href":"https://api.example.com/v1/collections/c%20d","producer":"streamgate","type":"application/json","rel":"collection"}`
	for name, c := range map[string]struct {
		profile, raw string
		operation    operation
		want         string
	}{
		"link":    {profileLink, `{"id":"c d","links":[]}`, opCreate, link},
		"item":    {profileItem, `{"id":"c d","links":[],"title":"<T>"}`, opUpdate, `{"id":"c d","title":"<T>"}`},
		"summary": {profileSummary, `{"id":"c d"}`, opCreate, `{"id":"c d"}`},
		"deleted": {profileItem, ``, opDelete, link},
		"big":     {profileItem, `{"id":"c d","x":"` + strings.Repeat("x", maxDataBytes) + `"}`, opUpdate, link},
	} {
		m := newTestMapper(t, func(e *EventConfig) { e.Profile, e.Type = c.profile, "acme.item" })
		state := collectionChange{id: "c d", version: "v", operation: c.operation}
		if c.raw != "" {
			state.raw = json.RawMessage(c.raw)
		}
		e, err := m.collection(state)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if string(e.Data) != c.want || e.Type() != "org.ogc.api.collection."+string(c.operation) || e.DataContentType != "application/json" ||
			e.Subject() != "https://api.example.com/v1/collections/c%20d" || attribute(&e, "partitionkey") != "c d" || attribute(&e, "collection") != "c d" {
			t.Errorf("%s: %.200s %v", name, e.Data, e.Attributes)
		}
	}
	m := newTestMapper(t, func(*EventConfig) {})
	if _, err := m.collection(collectionChange{id: "c", raw: json.RawMessage(`[]`)}); err == nil {
		t.Error("a list is taken for a collection")
	}
}

func TestEventConfigRefuses(t *testing.T) {
	t.Parallel()
	for path, adjust := range map[string]func(*EventConfig){
		"type":                func(c *EventConfig) { c.Type = "{typo}" },
		"source":              func(c *EventConfig) { c.Source = "a b\x00" },
		"subject":             func(c *EventConfig) { c.Subject = "a\nb" },
		"producer":            func(c *EventConfig) { c.Producer = "{producer}" },
		"profile":             func(c *EventConfig) { c.Profile = "x" },
		"idScope":             func(c *EventConfig) { c.IDScope = "x" },
		"rewriteSelf":         func(c *EventConfig) { c.RewriteSelf = "x" },
		"extensions":          func(c *EventConfig) { c.Extensions = make([]ExtensionConfig, maxExtensions+1) },
		"extensions[0].name":  func(c *EventConfig) { c.Extensions = []ExtensionConfig{{"Cloud", "x"}} },
		"extensions[1].name":  func(c *EventConfig) { c.Extensions = []ExtensionConfig{{"a", "x"}, {"a", "x"}} },
		"extensions[0].value": func(c *EventConfig) { c.Extensions = []ExtensionConfig{{"a", ""}} },
		"assets[0]":           func(c *EventConfig) { c.Assets = []string{""} },
		"properties[1]":       func(c *EventConfig) { c.Properties = []string{"a", "a"} },
	} {
		c := newEventConfig()
		adjust(&c)
		p := c.validate()
		if len(p) == 0 || p[0].Path != path && path != "extensions" {
			t.Errorf("%s: %v", path, p)
		}
	}
	for _, name := range reserved() {
		c := newEventConfig()
		c.Extensions = []ExtensionConfig{{name, "x"}}
		if len(c.validate()) == 0 {
			t.Errorf("the attribute %s may be set", name)
		}
	}
}

// TestHrefAndProducerInEveryProfile: in the data of links, else as attributes, which an extension of the configuration
// replaces.
func TestHrefAndProducerInEveryProfile(t *testing.T) {
	t.Parallel()
	for _, profile := range profiles() {
		data, got := makeEvent(t, sampleItem, opCreate, func(c *Config) { c.Event.Profile, c.Event.Producer = profile, "project-a" })
		var members struct{ Href, Producer string }
		if err := json.Unmarshal([]byte(data), &members); err != nil {
			t.Fatal(err)
		}
		if members.Href+got["href"] == "" || members.Producer+got["producer"] != "project-a" {
			t.Errorf("%s: %v %s", profile, got, data)
		}
	}
	_, got := makeEvent(t, sampleItem, opCreate, func(c *Config) {
		c.Event.Profile, c.Event.Extensions = profileItem, []ExtensionConfig{{"producer", "mine"}}
	})
	if got["producer"] != "mine" {
		t.Errorf("%v", got)
	}
}
