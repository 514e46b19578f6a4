package filter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func exact(pairs ...string) Config {
	f := Config{Exact: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		f.Exact[pairs[i]] = pairs[i+1]
	}
	return f
}

func sampleEvent() rawevent.Event {
	e := rawevent.New("1", "https://example.com/s", "com.example.created")
	e.Set("subject", "items/S2B_L2A")
	e.Set("collection", "c")
	e.DataContentType = "application/json"
	return e
}

// TestFilters holds a case for each rule of the dialects (CloudEvents Subscriptions API, filters).
func TestFilters(t *testing.T) {
	t.Parallel()
	yes, no := exact("type", "com.example.created"), exact("type", "other")
	for name, c := range map[string]struct {
		filters []Config
		want    bool
	}{
		"no filter":                      {nil, true},
		"exact":                          {[]Config{yes}, true},
		"exact, another value":           {[]Config{no}, false},
		"exact, other case":              {[]Config{exact("type", "COM.example.created")}, false},
		"exact, two attributes":          {[]Config{exact("type", "com.example.created", "id", "1")}, true},
		"exact, one of two":              {[]Config{exact("type", "com.example.created", "id", "2")}, false},
		"exact, missing attribute":       {[]Config{exact("nosuch", "x")}, false},
		"exact, datacontenttype":         {[]Config{exact("datacontenttype", "application/json")}, true},
		"prefix":                         {[]Config{{Prefix: map[string]string{"source": "https://"}}}, true},
		"prefix, no":                     {[]Config{{Prefix: map[string]string{"source": "http://"}}}, false},
		"suffix":                         {[]Config{{Suffix: map[string]string{"subject": "_L2A"}}}, true},
		"suffix, no":                     {[]Config{{Suffix: map[string]string{"subject": "_L1C"}}}, false},
		"prefix, two attributes":         {[]Config{{Prefix: map[string]string{"source": "https://", "subject": "items/"}}}, true},
		"prefix, one of two":             {[]Config{{Prefix: map[string]string{"source": "https://", "subject": "_L2A"}}}, false},
		"prefix, the whole value":        {[]Config{{Prefix: map[string]string{"id": "1"}}}, true},
		"prefix, longer than the value":  {[]Config{{Prefix: map[string]string{"id": "12"}}}, false},
		"prefix, missing attribute":      {[]Config{{Prefix: map[string]string{"nosuch": "x"}}}, false},
		"prefix, other case":             {[]Config{{Prefix: map[string]string{"source": "HTTPS://"}}}, false},
		"suffix, two attributes":         {[]Config{{Suffix: map[string]string{"source": "/s", "subject": "_L2A"}}}, true},
		"suffix, one of two":             {[]Config{{Suffix: map[string]string{"source": "/s", "subject": "items/"}}}, false},
		"suffix, missing attribute":      {[]Config{{Suffix: map[string]string{"nosuch": "x"}}}, false},
		"exact, one there, one missing":  {[]Config{exact("id", "1", "nosuch", "x")}, false},
		"exact, an extension":            {[]Config{exact("collection", "c")}, true},
		"exact, specversion":             {[]Config{exact("specversion", "1.0")}, true},
		"not, not":                       {[]Config{{Not: &Config{Not: &yes}}}, true},
		"not of all":                     {[]Config{{Not: &Config{All: []Config{yes, no}}}}, true},
		"not of any":                     {[]Config{{Not: &Config{Any: []Config{yes, no}}}}, false},
		"not of one there, one missing":  {[]Config{{Not: &Config{Exact: map[string]string{"id": "1", "nosuch": "x"}}}}, true},
		"list is AND":                    {[]Config{yes, no}, false},
		"all":                            {[]Config{{All: []Config{yes, yes}}}, true},
		"all, one not":                   {[]Config{{All: []Config{yes, no}}}, false},
		"any":                            {[]Config{{Any: []Config{no, yes}}}, true},
		"any, none":                      {[]Config{{Any: []Config{no, no}}}, false},
		"not":                            {[]Config{{Not: &no}}, true},
		"not of a missing attribute":     {[]Config{{Not: &Config{Exact: map[string]string{"nosuch": "x"}}}}, true},
		"cesql":                          {[]Config{{CESQL: "type = 'com.example.created' AND EXISTS subject"}}, true},
		"cesql, no":                      {[]Config{{CESQL: "LENGTH(subject) < 3"}}, false},
		"not of cesql":                   {[]Config{{Not: &Config{CESQL: "id = '2'"}}}, true},
		"intersects, no place":           {[]Config{{Intersects: &IntersectsConfig{BBox: []float64{0, 0, 1, 1}}}}, false},
		"not of intersects, no place":    {[]Config{{Not: &Config{Intersects: &IntersectsConfig{BBox: []float64{0, 0, 1, 1}}}}}, true},
		"not of prefix of what is there": {[]Config{{Not: &Config{Prefix: map[string]string{"id": "1"}}}}, false},
	} {
		event := sampleEvent()
		for i := range c.filters {
			if problems := c.filters[i].Validate(); len(problems) > 0 {
				t.Errorf("%s: %v", name, problems)
			}
		}
		if got, err := compiled(c.filters).Matches(&event, ""); got != c.want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// compiled compiles filters that are valid.
func compiled(filters []Config) *Filter {
	f, err := Compile(filters, nil)
	if err != nil {
		panic(err) // a fault of the test
	}
	return f
}

// TestFilterErrors: an expression that cannot be evaluated is false, so that not over it is true, as the Subscriptions
// API has it; and the error is told unless something else has decided.
func TestFilterErrors(t *testing.T) {
	t.Parallel()
	failing := Config{CESQL: "INT(nosuch) = 1"}
	yes, no := exact("id", "1"), exact("id", "2")
	event := sampleEvent()
	for name, c := range map[string]struct {
		filter      Config
		ok, isError bool
	}{
		"alone":                    {failing, false, true},
		"not":                      {Config{Not: &failing}, true, true},
		"not in all":               {Config{All: []Config{{Not: &failing}, yes}}, true, true},
		"not in any":               {Config{Any: []Config{no, {Not: &failing}}}, true, true},
		"not over any":             {Config{Not: &Config{Any: []Config{failing, no}}}, true, true},
		"not over all":             {Config{Not: &Config{All: []Config{yes, failing}}}, true, true},
		"not not":                  {Config{Not: &Config{Not: &failing}}, false, true},
		"any with what matches":    {Config{Any: []Config{failing, yes}}, true, false},
		"any with what does not":   {Config{Any: []Config{failing, no}}, false, true},
		"all with what matches":    {Config{All: []Config{yes, failing}}, false, true},
		"all behind what does not": {Config{All: []Config{no, failing}}, false, false},
	} {
		if problems := c.filter.Validate(); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
		if ok, err := compiled([]Config{c.filter}).Matches(&event, ""); ok != c.ok || (err != nil) != c.isError {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
}

// TestNotNegates, and all and any are what logic says, whatever the filters are.
func TestNotNegates(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := randomFilter(t, 3), randomFilter(t, 3)
		event := sampleEvent()
		matches := func(f Config) bool {
			ok, err := compiled([]Config{f}).Matches(&event, "")
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		if problems := a.Validate(); len(problems) > 0 {
			t.Fatal(problems)
		}
		if matches(Config{Not: &a}) == matches(a) {
			t.Fatal("not does not negate")
		}
		both, either := Config{All: []Config{a, b}}, Config{Any: []Config{a, b}}
		if matches(both) != (matches(a) && matches(b)) || matches(either) != (matches(a) || matches(b)) {
			t.Fatal("all or any is not what logic says")
		}
	})
}

func randomFilter(t *rapid.T, depth int) Config {
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	if depth == 0 {
		kind %= 3
	}
	values := map[string]string{
		rapid.SampledFrom([]string{"type", "source", "subject", "id", "nosuch"}).Draw(t, "name"): rapid.SampledFrom([]string{"1", "com.", "_L2A", "https://example.com/s", "x"}).Draw(t, "value"),
	}
	switch kind {
	case 0:
		return Config{Exact: values}
	case 1:
		return Config{Prefix: values}
	case 2:
		return Config{Suffix: values}
	case 3:
		return Config{All: []Config{randomFilter(t, depth-1)}}
	case 4:
		return Config{Any: []Config{randomFilter(t, depth-1), randomFilter(t, depth-1)}}
	default:
		inner := randomFilter(t, depth-1)
		return Config{Not: &inner}
	}
}

// TestFilterRules: what is no filter is refused, with the path of what is wrong.
func TestFilterRules(t *testing.T) {
	t.Parallel()
	type (
		filter = Config
		values = map[string]string
	)
	yes := exact("type", "a")
	for name, c := range map[string]struct {
		filter filter
		want   []string
	}{
		"exact":                        {yes, nil},
		"prefix of two attributes":     {filter{Prefix: values{"type": "a", "partitionkey": "b"}}, nil},
		"suffix of a digit":            {filter{Suffix: values{"2nd": "a"}}, nil},
		"nothing":                      {filter{}, []string{""}},
		"two dialects":                 {filter{Exact: values{"type": "a"}, Prefix: values{"type": "a"}}, []string{""}},
		"three, of them lists":         {filter{All: []filter{yes}, Any: []filter{yes}, Not: &yes}, []string{""}},
		"exact of nothing":             {filter{Exact: values{}}, []string{"exact"}},
		"prefix of nothing":            {filter{Prefix: values{}}, []string{"prefix"}},
		"suffix of nothing":            {filter{Suffix: values{}}, []string{"suffix"}},
		"an empty value":               {exact("type", ""), []string{"exact.type"}},
		"upper case":                   {exact("Type", "a"), []string{"exact.Type"}},
		"no name":                      {exact("", "a"), []string{"exact"}},
		"a name with a dash":           {filter{Suffix: values{"my-attr": "a"}}, []string{"suffix.my-attr"}},
		"a name that is not ASCII":     {exact("typé", "a"), []string{"exact.typé"}},
		"data is no attribute":         {exact("data", "a"), []string{"exact.data"}},
		"several at once, sorted":      {filter{Prefix: values{"B": "a", "a": "", "A": "a"}}, []string{"prefix.A", "prefix.B", "prefix.a"}},
		"all of nothing":               {filter{All: []filter{}}, []string{"all"}},
		"any of nothing":               {filter{Any: []filter{}}, []string{"any"}},
		"one in a list":                {filter{All: []filter{yes, {}}}, []string{"all[1]"}},
		"deep in lists":                {filter{Any: []filter{yes, {Not: &filter{All: []filter{exact("type", "")}}}}}, []string{"any[1].not.all[0].exact.type"}},
		"not of nothing":               {filter{Not: &filter{}}, []string{"not"}},
		"two dialects, and a bad name": {filter{Exact: values{"X": "a"}, Not: &yes}, []string{"", "exact.X"}},
	} {
		var got []string
		for _, p := range c.filter.Validate() {
			got = append(got, p.Path)
			if p.Message == "" || p.Remedy == "" {
				t.Errorf("%s: %+v", name, p)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: problems at %q, want %q", name, got, c.want)
		}
	}
}

// TestDeepFiltersAreRefused: the deepest that is allowed, and one more level of each dialect that nests.
func TestDeepFiltersAreRefused(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(f Config) Config{
		"not": func(f Config) Config { return Config{Not: &f} },
		"all": func(f Config) Config { return Config{All: []Config{f}} },
		"any": func(f Config) Config { return Config{Any: []Config{f}} },
	} {
		f := exact("type", "x")
		for range maxFilterDepth - 1 {
			f = wrap(f)
		}
		if problems := f.Validate(); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
		f = wrap(f)
		if problems := f.Validate(); len(problems) != 1 || !strings.Contains(problems.Error(), "deeper") {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

// sampleFilters uses every dialect.
func sampleFilters() []Config {
	other := exact("type", "other")
	return []Config{
		exact("type", "com.example.created", "datacontenttype", "application/json"),
		{Any: []Config{{Suffix: map[string]string{"subject": "_L1C"}}, {Prefix: map[string]string{"source": "https://"}}}},
		{CESQL: "subject LIKE 'items/%' AND type IN ('com.example.created', 'com.example.deleted')"},
		{All: []Config{{Not: &other}, {Not: &Config{Exact: map[string]string{"nosuch": "x"}}}}},
	}
}

//nolint:paralleltest // AllocsPerRun counts the allocations of the whole process
func TestFiltersDoNotAllocate(t *testing.T) {
	match, event := compiled(sampleFilters()), sampleEvent()
	matched := true
	if n := testing.AllocsPerRun(1000, func() {
		ok, err := match.Matches(&event, "")
		matched = ok && err == nil && matched
	}); n != 0 || !matched {
		t.Errorf("%v allocations an event, matched %v", n, matched)
	}
}

func BenchmarkFilters(b *testing.B) {
	match, event := compiled(sampleFilters()), sampleEvent()
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := match.Matches(&event, ""); !ok || err != nil {
			b.Fatal("no match")
		}
	}
}

// BenchmarkThousandSubscriptions is the cost of the filters of 1,000 subscriptions for one event, by dialect, beside
// what each of them does with an event before and anyway: decode its entry, and validate it.
func BenchmarkThousandSubscriptions(b *testing.B) {
	const n = 1000
	e := sampleEvent()
	entry := redisstreams.Entry{Stream: "s", ID: "1-0", Fields: []string{
		"ce_specversion", "1.0", "ce_id", "1", "ce_source", "https://example.com/s", "ce_type", "com.example.created",
		"ce_subject", "items/S2B_L2A", "content-type", "application/json", "data", `{"n":1}`,
	}}
	run := func(name string, one func(i int) Config) {
		b.Run(name, func(b *testing.B) {
			filters := make([]*Filter, n)
			for i := range filters {
				filters[i] = compiled([]Config{one(i)})
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, f := range filters {
					_, _ = f.Matches(&e, "")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/subscription")
		})
	}
	run("exactType", func(i int) Config {
		return Config{Exact: map[string]string{"type": fmt.Sprintf("com.example.type%04d", i)}}
	})
	run("prefixSource", func(i int) Config {
		return Config{Prefix: map[string]string{"source": fmt.Sprintf("https://example.com/%d", i)}}
	})
	run("cesql", func(i int) Config {
		return Config{CESQL: fmt.Sprintf("type = 'com.example.type%04d' AND subject LIKE 'items/%%'", i)}
	})
	b.Run("prefilterOfType", func(b *testing.B) {
		prefilters := make([]prefilter, n)
		for i := range prefilters {
			prefilters[i] = newPrefilter([]Config{{Exact: map[string]string{"type": fmt.Sprintf("com.example.type%04d", i)}}})
		}
		b.ReportAllocs()
		for b.Loop() {
			for _, s := range prefilters {
				if s.passes(&entry) {
					b.Fatal("passes")
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/subscription")
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for range n {
				event, err := entry.Event()
				if err == nil {
					err = event.Validate()
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/subscription")
	})
}

// TestSieve: what it holds back, the filters would hold back, whatever the filters and the entry.
func TestSieve(t *testing.T) {
	t.Parallel()
	names := rapid.SampledFrom([]string{"type", "source", "subject", "region", "time", "datacontenttype", "id", "specversion"})
	values := rapid.SampledFrom([]string{"a", "ab", "b", "/s", "2026-01-02t03:04:05z", "2026-01-02T03:04:05Z", "text/a", "1.0"})
	var filter func(depth int) *rapid.Generator[Config]
	filter = func(depth int) *rapid.Generator[Config] {
		return rapid.Custom(func(t *rapid.T) (f Config) {
			matches := rapid.MapOfN(names, values, 1, 2)
			switch kind := rapid.IntRange(0, 3+3*depth).Draw(t, "kind"); kind {
			case 0:
				f.Exact = matches.Draw(t, "exact")
			case 1:
				f.Prefix = matches.Draw(t, "prefix")
			case 2:
				f.Suffix = matches.Draw(t, "suffix")
			case 3:
				f.CESQL = "type = 'a'"
			case 4:
				f.All = rapid.SliceOfN(filter(depth-1), 1, 3).Draw(t, "all")
			case 5:
				f.Any = rapid.SliceOfN(filter(depth-1), 1, 3).Draw(t, "any")
			case 6:
				not := filter(depth-1).Draw(t, "not")
				f.Not = &not
			}
			return f
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		filters := rapid.SliceOfN(filter(1), 0, 3).Draw(t, "filters")
		entry := redisstreams.Entry{Stream: "s", ID: "1-0", Fields: []string{"ce_specversion", "1.0", "ce_id", "1"}}
		add := func(field string) {
			entry.Fields = append(entry.Fields, field, values.Draw(t, field))
		}
		add("ce_source")
		add("ce_type")
		for _, field := range rapid.SliceOfN(rapid.SampledFrom([]string{"ce_time", "ce_subject", "ce_region", "content-type", "region", "ce_type"}), 0, 4).Draw(t, "fields") {
			add(field)
		}
		if rapid.Bool().Draw(t, "structured") {
			text := `{"specversion":"1.0","id":"1","source":"/s","type":"a","subject":"b"}`
			entry.Fields = []string{"content-type", rawevent.MediaTypeJSON, "data", text, "ce_type", "other"}
		}
		event, err := entry.Event()
		if err != nil || event.Validate() != nil || newPrefilter(filters).passes(&entry) {
			return
		}
		if ok, _ := compiled(filters).Matches(&event, ""); ok {
			t.Fatalf("%v is held back by %+v", entry.Fields, filters)
		}
	})
}

// TestAreaBoard agrees with a look at each area, while areas come and go.
func TestAreaBoard(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		board := NewBoard()
		var together, alone []*Filter
		for step := range rapid.IntRange(1, 60).Draw(t, "steps") {
			x := float64(rapid.IntRange(0, 20).Draw(t, "x"))
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				f := Config{Intersects: &IntersectsConfig{BBox: []float64{x, 0, x + 3, 3}}}
				one, err := Compile([]Config{f}, board)
				if err != nil {
					t.Fatal(err)
				}
				together, alone = append(together, one), append(alone, compiled([]Config{f}))
			case 1:
				if len(together) > 0 {
					together[0].Close()
					together, alone = together[1:], alone[1:]
				}
			default:
				e := sampleEvent()
				e.Data = fmt.Appendf(nil, `{"bbox":[%g,1,%g,2]}`, x, x+1)
				for i := range together {
					for range 2 {
						got, err := together[i].Matches(&e, fmt.Sprint(step))
						want, err2 := alone[i].Matches(&e, "")
						if got != want || err != nil || err2 != nil {
							t.Fatalf("%v, want %v (%v, %v)", got, want, err, err2)
						}
					}
				}
			}
		}
	})
}

// BenchmarkAreas is the cost of the filters of 1,000 subscriptions with an area each, for one event.
func BenchmarkAreas(b *testing.B) {
	const n = 1000
	e := sampleEvent()
	e.Data = []byte(`{"type":"Feature","properties":{"pad":"` + strings.Repeat("x", 800) + `"},"geometry":{"type":"Polygon","coordinates":[[[10,10],[11,10],[11,11],[10,11],[10,10]]]}}`)
	for name, board := range map[string]*Board{"board": NewBoard(), "each": nil} {
		b.Run(name, func(b *testing.B) {
			filters := make([]*Filter, n)
			for i := range filters {
				x, y := float64(i%360-180), float64(i%170-85)
				box := Config{Intersects: &IntersectsConfig{BBox: []float64{x, y, x + 1, y + 1}}}
				var err error
				if filters[i], err = Compile([]Config{box}, board); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for i := range b.N {
				entry := strconv.Itoa(i)
				for _, f := range filters {
					_, _ = f.Matches(&e, entry)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/area")
		})
	}
}
