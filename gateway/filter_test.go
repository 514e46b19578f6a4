package gateway

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

func exact(pairs ...string) FilterConfig {
	f := FilterConfig{Exact: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		f.Exact[pairs[i]] = pairs[i+1]
	}
	return f
}

func sampleEvent() rawevent.Event {
	e := rawevent.New("1", "https://example.com/s", "com.example.created")
	e.Set("subject", "items/S2B_L2A")
	e.DataContentType = "application/json"
	return e
}

// TestFilters holds a case for each rule of the dialects (CloudEvents Subscriptions API, filters).
func TestFilters(t *testing.T) {
	t.Parallel()
	yes, no := exact("type", "com.example.created"), exact("type", "other")
	for name, c := range map[string]struct {
		filters []FilterConfig
		want    bool
	}{
		"no filter":                      {nil, true},
		"exact":                          {[]FilterConfig{yes}, true},
		"exact, another value":           {[]FilterConfig{no}, false},
		"exact, other case":              {[]FilterConfig{exact("type", "COM.example.created")}, false},
		"exact, two attributes":          {[]FilterConfig{exact("type", "com.example.created", "id", "1")}, true},
		"exact, one of two":              {[]FilterConfig{exact("type", "com.example.created", "id", "2")}, false},
		"exact, missing attribute":       {[]FilterConfig{exact("nosuch", "x")}, false},
		"exact, datacontenttype":         {[]FilterConfig{exact("datacontenttype", "application/json")}, true},
		"prefix":                         {[]FilterConfig{{Prefix: map[string]string{"source": "https://"}}}, true},
		"prefix, no":                     {[]FilterConfig{{Prefix: map[string]string{"source": "http://"}}}, false},
		"suffix":                         {[]FilterConfig{{Suffix: map[string]string{"subject": "_L2A"}}}, true},
		"suffix, no":                     {[]FilterConfig{{Suffix: map[string]string{"subject": "_L1C"}}}, false},
		"list is AND":                    {[]FilterConfig{yes, no}, false},
		"all":                            {[]FilterConfig{{All: []FilterConfig{yes, yes}}}, true},
		"all, one not":                   {[]FilterConfig{{All: []FilterConfig{yes, no}}}, false},
		"any":                            {[]FilterConfig{{Any: []FilterConfig{no, yes}}}, true},
		"any, none":                      {[]FilterConfig{{Any: []FilterConfig{no, no}}}, false},
		"not":                            {[]FilterConfig{{Not: &no}}, true},
		"not of a missing attribute":     {[]FilterConfig{{Not: &FilterConfig{Exact: map[string]string{"nosuch": "x"}}}}, true},
		"not of prefix of what is there": {[]FilterConfig{{Not: &FilterConfig{Prefix: map[string]string{"id": "1"}}}}, false},
	} {
		event := sampleEvent()
		for i := range c.filters {
			if problems := c.filters[i].Validate(); len(problems) > 0 {
				t.Errorf("%s: %v", name, problems)
			}
		}
		if got := compileFilters(c.filters)(&event); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestNotNegates, and all and any are what logic says, whatever the filters are.
func TestNotNegates(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := randomFilter(t, 3), randomFilter(t, 3)
		event := sampleEvent()
		matches := func(f FilterConfig) bool { return compileFilters([]FilterConfig{f})(&event) }
		if problems := a.Validate(); len(problems) > 0 {
			t.Fatal(problems)
		}
		if matches(FilterConfig{Not: &a}) == matches(a) {
			t.Fatal("not does not negate")
		}
		both, either := FilterConfig{All: []FilterConfig{a, b}}, FilterConfig{Any: []FilterConfig{a, b}}
		if matches(both) != (matches(a) && matches(b)) || matches(either) != (matches(a) || matches(b)) {
			t.Fatal("all or any is not what logic says")
		}
	})
}

func randomFilter(t *rapid.T, depth int) FilterConfig {
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	if depth == 0 {
		kind %= 3
	}
	values := map[string]string{
		rapid.SampledFrom([]string{"type", "source", "subject", "id", "nosuch"}).Draw(t, "name"): rapid.SampledFrom([]string{"1", "com.", "_L2A", "https://example.com/s", "x"}).Draw(t, "value"),
	}
	switch kind {
	case 0:
		return FilterConfig{Exact: values}
	case 1:
		return FilterConfig{Prefix: values}
	case 2:
		return FilterConfig{Suffix: values}
	case 3:
		return FilterConfig{All: []FilterConfig{randomFilter(t, depth-1)}}
	case 4:
		return FilterConfig{Any: []FilterConfig{randomFilter(t, depth-1), randomFilter(t, depth-1)}}
	default:
		inner := randomFilter(t, depth-1)
		return FilterConfig{Not: &inner}
	}
}

func TestDeepFiltersAreRefused(t *testing.T) {
	t.Parallel()
	f := exact("type", "x")
	for range maxFilterDepth {
		inner := f
		f = FilterConfig{Not: &inner}
	}
	if problems := f.Validate(); len(problems) == 0 || !strings.Contains(problems.Error(), "deeper") {
		t.Errorf("%v", problems)
	}
}

func BenchmarkFilters(b *testing.B) {
	match := compileFilters([]FilterConfig{
		exact("type", "com.example.created"),
		{Any: []FilterConfig{{Suffix: map[string]string{"subject": "_L1C"}}, {Prefix: map[string]string{"source": "https://"}}}},
	})
	event := sampleEvent()
	b.ReportAllocs()
	for b.Loop() {
		if !match(&event) {
			b.Fatal("no match")
		}
	}
}
