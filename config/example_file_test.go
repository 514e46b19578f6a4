package config_test

import (
	"errors"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/streamgate/streamgate/config"
	"github.com/streamgate/streamgate/gateway/admin"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/ingress"
	"github.com/streamgate/streamgate/gateway/sink"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/builtin"
	"github.com/streamgate/streamgate/gateway/source/stac"
	"github.com/streamgate/streamgate/gateway/stream"
)

const exampleFile = "../config.example.yaml"

// commentedKey matches a line of the example whose key is commented out.
var commentedKey = regexp.MustCompile(`(?m)^( *)# ([A-Za-z]+: .*)$`)

// inPlaceOf matches the findings about a line that is an alternative to another key.
var inPlaceOf = regexp.MustCompile(`\.(bbox|backfill\.start|from|fields): |schemas\[\d\]: read the schema: open /etc/.*|` +
	`ink: (the sink has more than one address|there are two addresses for dead letters)$`)

func readExample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// loadExample loads the example with an empty environment.
func loadExample(t *testing.T) *config.Config {
	t.Helper()
	c, err := config.Load(exampleFile, env())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestExampleHasEveryKey: config.example.yaml contains every key at its place, live or commented out, and no other key.
func TestExampleHasEveryKey(t *testing.T) {
	t.Parallel()
	var tree map[string]any
	if err := yaml.Unmarshal([]byte(commentedKey.ReplaceAllString(readExample(t), "$1$2")), &tree); err != nil {
		t.Fatal(err)
	}
	shown, known := map[string]bool{}, map[string]bool{"streams": true, "sources": true, "subscriptions": true}
	for name, value := range map[string]any{
		"redis": config.RedisConfig{}, "server": ingress.Config{}, "admin": admin.Config{},
		"streams": stream.Config{}, "subscriptions": delivery.Config{},
	} {
		known[name] = true
		addKnown(known, reflect.TypeOf(value), name)
	}
	for _, sourceType := range builtin.Types() {
		at := "sources(" + sourceType.Name + ")"
		for _, head := range []string{"name", "type", "stream"} {
			known[at+"."+head] = true
		}
		addKnown(known, reflect.TypeOf(sourceType.NewConfig(source.Defaults{})).Elem(), at)
	}
	for name, value := range tree {
		shown[name] = true
		addShown(shown, value, name)
	}
	if diff := cmp.Diff(known, shown); diff != "" {
		t.Errorf("existing keys (-) and keys of the example (+):\n%s", diff)
	}
}

// TestDeliveryIsDocumented: docs/delivery.md describes every key of a subscription that concerns delivery.
func TestDeliveryIsDocumented(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../docs/delivery.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	addKnown(known, reflect.TypeFor[delivery.Config](), "")
	for key := range known {
		key = strings.TrimPrefix(key, ".")
		switch {
		case key == "name", key == "stream", key == "startFrom", strings.HasPrefix(key, "filters"):
		case key == "sink", key == "delivery", key == "delivery.deadLetterSink": // their own keys are listed
		case !strings.Contains(string(docs), "\n| `"+key+"` |"):
			t.Errorf("docs/delivery.md has no row for %s", key)
		}
	}
}

// addKnown adds the keys of a configuration struct; nested filters count as one level.
func addKnown(keys map[string]bool, t reflect.Type, at string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for i := range t.NumField() {
		field := t.Field(i)
		key := field.Tag.Get("mapstructure")
		if key == "" || key == "-" || keys[at+"."+key] {
			continue
		}
		keys[at+"."+key] = true
		if t != reflect.TypeFor[filter.Config]() {
			addKnown(keys, field.Type, at+"."+key)
		}
	}
}

// addShown adds the keys of a node of the example.
func addShown(keys map[string]bool, node any, at string) {
	switch node := node.(type) {
	case []any:
		for _, element := range node {
			if block, ok := element.(map[string]any); ok && at == "sources" {
				typeName, _ := block["type"].(string)
				addShown(keys, element, at+"("+typeName+")")
				continue
			}
			addShown(keys, element, at)
		}
	case map[string]any:
		for key, value := range node {
			keys[at+"."+key] = true
			switch {
			case strings.HasSuffix(at, "transform") && key == "set": // its keys are chosen by the user
			case !strings.HasPrefix(at, "subscriptions.filters"):
				addShown(keys, value, at+"."+key)
			case key == "all" || key == "any" || key == "not":
				addShown(keys, value, at)
			}
		}
	}
}

// TestExampleCommentsAreKeys: each commented-out line is valid when it alone is made live, unless it is an alternative
// to another key.
func TestExampleCommentsAreKeys(t *testing.T) {
	t.Parallel()
	text := readExample(t)
	lines := commentedKey.FindAllStringSubmatchIndex(text, -1)
	if len(lines) < 4 {
		t.Fatalf("found only %d lines that are commented out", len(lines))
	}
	for _, m := range lines {
		line := text[m[4]:m[5]]
		_, err := config.Parse("f", []byte(text[:m[3]]+line+text[m[1]:]), env())
		var wrong *config.Error
		if errors.As(err, &wrong) && len(wrong.Findings) == 1 &&
			inPlaceOf.MatchString(wrong.Findings[0].Key+": "+wrong.Findings[0].Problem) {
			continue
		}
		if err != nil {
			t.Errorf("%s\n%v", line, err)
		}
	}
}

// TestExampleShowsDefaults: the example shows the defaults, except for the keys that make it an example.
func TestExampleShowsDefaults(t *testing.T) {
	t.Parallel()
	c := loadExample(t)
	subscription, st := c.Gateway.Subscriptions[0], c.Gateway.Streams[0]
	subscription.Name, subscription.Stream, subscription.Sink, subscription.Filters = "", "", sink.Config{}, nil
	subscription.Transform = nil
	subscription.Delivery.DeadLetterSink, subscription.ReplyStream = delivery.DeadLetterSink{}, ""
	st.Name, st.Mirror, st.DedupWindow, st.Retention = "", nil, 0, stream.RetentionConfig{}
	watch, ok := c.Gateway.Sources[0].Config.(*stac.Config)
	if !ok {
		t.Fatal("the first source of the example is not of type stac")
	}
	defaults := stac.NewConfig()
	for what, pair := range map[string][2]any{
		"redis":        {config.NewRedisConfig(), c.Redis},
		"server":       {ingress.NewConfig(), c.Gateway.Server},
		"admin":        {admin.NewConfig(), c.Admin},
		"stream":       {stream.NewConfig(), st},
		"subscription": {delivery.NewConfig(), subscription},
		"stac": {
			[]any{defaults.Lookback, defaults.Limit, defaults.Interval, defaults.Timeout, defaults.Event.Profile,
				defaults.Event.IDScope, defaults.Event.RewriteSelf},
			[]any{watch.Lookback, watch.Limit, watch.Interval, watch.Timeout, watch.Event.Profile, watch.Event.IDScope,
				watch.Event.RewriteSelf},
		},
	} {
		if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
			t.Errorf("%s: default (-) and example (+):\n%s", what, diff)
		}
	}
}
