package cesql

import (
	"strings"
	"sync"
	"testing"
)

// common lists expressions as people write them; Match must not allocate on them.
func common() map[string]string {
	types := make([]string, 0, 100)
	for i := range 100 {
		types = append(types, "'com.example.type"+strings.Repeat("x", i)+"'")
	}
	return map[string]string{
		"equal":         "type = 'com.example.created'",
		"integer":       "hop = 5",
		"boolean":       "flag = TRUE",
		"less":          "hop < ttl AND INT(hop) < 1000",
		"sum":           "hop + 1 < ttl * 2",
		"like prefix":   "type LIKE 'com.example.%'",
		"like middle":   "source LIKE '%amera%'",
		"like any":      "source LIKE '/c_m%s/_'",
		"and":           "type = 'com.example.created' AND source = '/cameras/7' AND NOT (hop = 4)",
		"or":            "type = 'a' OR type = 'b' OR type = 'com.example.created'",
		"xor":           "on XOR hop = 4",
		"in":            "type IN ('a', 'b', 'com.example.created')",
		"in, hundred":   "type IN (" + strings.Join(types, ",") + ", 'com.example.created')",
		"not in":        "hop NOT IN (1, 2, 3)",
		"exists":        "EXISTS hop AND NOT EXISTS subject",
		"characters":    "LENGTH(name) = 3 AND LEFT(name, 1) = 'Z' AND SUBSTRING(name, -1) = 'ë'",
		"no match":      "type = 'other'",
		"missing":       "subject = 'x'",
		"cast":          "nodigits < 5",
		"no function":   "NOSUCH(hop) = 5",
		"no evaluation": "LEFT(name, -1) = 'x'",
	}
}

func TestMatchDoesNotAllocate(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts what runs beside it, too
	e := sample()
	for name, expression := range common() {
		x, err := Compile(expression)
		if err != nil {
			t.Fatal(err)
		}
		if allocs := testing.AllocsPerRun(100, func() { _, _ = x.Match(&e) }); allocs != 0 {
			t.Errorf("%s: %v allocations an event for %s", name, allocs, expression)
		}
		want := name != "no match" && name != "missing" && name != "cast" && !strings.HasPrefix(name, "no ")
		if match, err := x.Match(&e); match != want {
			t.Errorf("%s: %s = %v, %v", name, expression, match, err)
		}
	}
}

// The race detector looks on.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	e := sample()
	var group sync.WaitGroup
	for _, expression := range common() {
		x, err := Compile(expression)
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			group.Go(func() { checkConsistent(t, x, &e) })
		}
	}
	group.Wait()
}

func BenchmarkMatch(b *testing.B) {
	e := sample()
	for name, expression := range common() {
		x, err := Compile(expression)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = x.Match(&e)
			}
		})
	}
}

func BenchmarkExplain(b *testing.B) {
	e := sample()
	x, err := Compile("1=1" + strings.Repeat("=1", MaxLength/2-2))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		x.Explain(&e)
	}
}

func BenchmarkCompile(b *testing.B) {
	for name, expression := range map[string]string{
		"usual":   "type IN ('a', 'b') AND subject LIKE '%sentinel-2%' AND hop < 10",
		"longest": "hop" + strings.Repeat("+hop", MaxLength/4-1),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Compile(expression); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
