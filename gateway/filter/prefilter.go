package filter

import (
	"strings"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// prefilter holds what of a subscription's filters an entry itself can answer: comparisons of attributes that all have
// to match. Where a thousand subscriptions want one type each, nearly every entry is not for nearly every one of them,
// and to decode and validate it costs eighteen times what it costs to look at its fields
// (BenchmarkThousandSubscriptions). An index of subscriptions by type would save nothing beside that: each reads and
// acknowledges by itself, and a look into an index costs more than the comparison.
type prefilter []fieldTest

type fieldTest struct {
	field, want string
	compare     func(have, want string) bool
}

func newPrefilter(filters []Config) (p prefilter) {
	for i := range filters {
		f := &filters[i]
		p = p.with(f.Exact, equal)
		p = p.with(f.Prefix, strings.HasPrefix)
		p = p.with(f.Suffix, strings.HasSuffix)
		p = append(p, newPrefilter(f.All)...)
	}
	return p
}

func equal(have, want string) bool { return have == want }

func (p prefilter) with(values map[string]string, compare func(have, want string) bool) prefilter {
	for name, want := range values {
		if name != rawevent.AttrDataContentType && name != rawevent.AttrTime { // whose fields are not what the attribute is
			p = append(p, fieldTest{redisstreams.FieldPrefix + name, want, compare})
		}
	}
	return p
}

// passes reports false where the event of an entry, if it holds a valid one, does not match the filters.
func (p prefilter) passes(e *redisstreams.Entry) bool {
	if len(p) == 0 {
		return true
	}
	if mode, ok := e.Mode(); !ok || mode != rawevent.Binary {
		return true
	}
	for i := range p {
		if !p[i].passes(e.Fields) {
			return false
		}
	}
	return true
}

func (t *fieldTest) passes(fields []string) bool {
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == t.field {
			return t.compare(fields[i+1], t.want)
		}
	}
	return false // an attribute that is not there does not match
}
