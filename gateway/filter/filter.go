package filter

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/streamgate/streamgate/gateway/area"
	"github.com/streamgate/streamgate/gateway/cesql"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Config is one filter in the dialects of the CloudEvents Subscriptions API: exactly one of its members is set.
// The maps go from an attribute's name to a value; several attributes of one map must all match.
type Config struct {
	// Exact matches when the attribute equals the value.
	Exact map[string]string `mapstructure:"exact"`
	// Prefix matches when the attribute begins with the value.
	Prefix map[string]string `mapstructure:"prefix"`
	// Suffix matches when the attribute ends with the value.
	Suffix map[string]string `mapstructure:"suffix"`
	// CESQL matches when the expression in the CloudEvents SQL Expression Language (CESQL 1.0.0) is true, and there is
	// no error; see docs/filters.md.
	CESQL string `mapstructure:"cesql"`
	// Intersects matches when the event's data, a STAC item or anything else with a GeoJSON geometry or a bbox at its
	// top, meets an area. An event without a place does not.
	Intersects *IntersectsConfig `mapstructure:"intersects"`
	// All matches when every filter of the list does.
	All []Config `mapstructure:"all"`
	// Any matches when one filter of the list does.
	Any []Config `mapstructure:"any"`
	// Not matches when its filter does not.
	Not *Config `mapstructure:"not"`
}

// maxFilterDepth bounds how deep all, any and not may be nested.
const maxFilterDepth = 16

// Validate returns everything that is wrong with the filter. A wrong filter is an error, never skipped: it would let
// through what it should hold back, or the other way round.
func (f *Config) Validate() setting.Problems { return f.validate(1) }

func (f *Config) validate(depth int) setting.Problems {
	var p setting.Problems
	if depth > maxFilterDepth {
		p.Add("", fmt.Sprintf("filters are nested deeper than %d levels", maxFilterDepth), "write it flatter")
		return p
	}
	dialects := 0
	for name, values := range map[string]map[string]string{"exact": f.Exact, "prefix": f.Prefix, "suffix": f.Suffix} {
		if values != nil {
			dialects++
			p.AddAll(name, validateMatch(values))
		}
	}
	for name, list := range map[string][]Config{"all": f.All, "any": f.Any} {
		if list == nil {
			continue
		}
		dialects++
		if len(list) == 0 {
			p.Add(name, "the list is empty", "give at least one filter")
		}
		for i := range list {
			p.AddAll(fmt.Sprintf("%s[%d]", name, i), list[i].validate(depth+1))
		}
	}
	if f.CESQL != "" {
		dialects++
		if err := checkCESQL(f.CESQL); err != nil {
			p.Add("cesql", err.Error(), "write an expression like type LIKE 'com.example.%' AND subject = 'x'; try it with: streamgate filter test")
		}
	}
	if f.Intersects != nil {
		dialects++
		if _, err := f.Intersects.area(); err != nil {
			p.Add("intersects", err.Error(), "write { bbox: [west, south, east, north] } or { geometry: '{\"type\":\"Polygon\",\"coordinates\":[...]}' }")
		}
	}
	if f.Not != nil {
		dialects++
		p.AddAll("not", f.Not.validate(depth+1))
	}
	if dialects != 1 {
		p.Add("", fmt.Sprintf("a filter must have exactly one dialect, this one has %d", dialects),
			"write one of exact, prefix, suffix, cesql, intersects, all, any, not; put several filters into a list")
	}
	sort.SliceStable(p, func(i, j int) bool { return p[i].Path < p[j].Path })
	return p
}

func validateMatch(values map[string]string) setting.Problems {
	var p setting.Problems
	if len(values) == 0 {
		p.Add("", "no attribute is given", "write an attribute and its value, like { type: com.example.created }")
	}
	for name, value := range values {
		switch {
		case !rawevent.ValidName(name) || name == "data":
			p.Add(name, fmt.Sprintf("%q is not a valid attribute name", name), "use lower-case letters and digits, like type or partitionkey")
		case value == "":
			p.Add(name, "the value is empty", "give the value to compare with")
		}
	}
	return p
}

// checkCESQL returns what is wrong with an expression as a filter: also what can never be true.
func checkCESQL(text string) error {
	expression, err := cesql.Compile(text)
	if err != nil {
		return err
	}
	return expression.CheckFilter()
}

// predicate says whether the event of an entry matches. An error says that an expression in it could not be evaluated,
// and was therefore false (Subscriptions API, dialect sql), so that not over it is true; the error is for counting, and
// does not change the result. A predicate does not allocate, but for some expressions, and for areas once for each
// entry.
type predicate func(e *rawevent.Event, entry string) (bool, error)

// Filter is a compiled list of filters, all of which must match; an empty list matches everything. It is safe for
// concurrent use.
type Filter struct {
	matches   predicate
	prefilter prefilter
	board     *Board
	areas     []*area.Area // that are on the board
}

// Compile compiles a list of valid filters. Areas go onto the board of the stream, until Close takes them off again;
// with a nil board each area is compared by itself.
func Compile(filters []Config, board *Board) (*Filter, error) {
	c := filterCompiler{board: board}
	matches, err := c.all(filters)
	f := &Filter{matches: matches, prefilter: newPrefilter(filters), board: board, areas: c.areas}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// MayMatch reports false where the event of an entry, if the entry holds a valid one, does not match; see [prefilter].
func (f *Filter) MayMatch(entry *redisstreams.Entry) bool { return f.prefilter.passes(entry) }

// Matches reports whether the event of an entry matches. An expression that cannot be evaluated on the event is false,
// and not over it true; the error tells of the first one, whatever the result is.
func (f *Filter) Matches(event *rawevent.Event, entry string) (bool, error) {
	return f.matches(event, entry)
}

// Close takes the areas off the board. A nil Filter has none.
func (f *Filter) Close() {
	if f == nil {
		return
	}
	for _, a := range f.areas {
		f.board.remove(a)
	}
	f.areas = nil
}

// filterCompiler makes predicates of filters, which must be valid.
type filterCompiler struct {
	board *Board       // nil: each area is compared by itself
	areas []*area.Area // that were added to the board
}

func (c *filterCompiler) all(filters []Config) (predicate, error) {
	compiled, err := c.each(filters)
	if err != nil {
		return nil, err
	}
	if len(compiled) == 1 {
		return compiled[0], nil
	}
	return func(e *rawevent.Event, entry string) (bool, error) {
		var failure error
		for _, p := range compiled {
			ok, err := p(e, entry)
			if !ok {
				return false, err
			}
			if failure == nil {
				failure = err
			}
		}
		return true, failure
	}, nil
}

func (c *filterCompiler) each(filters []Config) ([]predicate, error) {
	compiled := make([]predicate, len(filters))
	for i := range filters {
		p, err := c.compile(&filters[i])
		if err != nil {
			return nil, err
		}
		compiled[i] = p
	}
	return compiled, nil
}

func (c *filterCompiler) compile(f *Config) (predicate, error) {
	switch {
	case f.Exact != nil:
		return match(f.Exact, equal), nil
	case f.Prefix != nil:
		return match(f.Prefix, strings.HasPrefix), nil
	case f.Suffix != nil:
		return match(f.Suffix, strings.HasSuffix), nil
	case f.CESQL != "":
		expression, err := cesql.Compile(f.CESQL)
		if err != nil {
			return nil, fmt.Errorf("compile filter: %w", err)
		}
		return func(e *rawevent.Event, _ string) (bool, error) { return expression.Match(e) }, nil
	case f.Intersects != nil:
		return c.compileArea(f.Intersects)
	case f.All != nil:
		return c.all(f.All)
	case f.Any != nil:
		alternatives, err := c.each(f.Any)
		return anyOf(alternatives), err
	case f.Not != nil:
		return c.compileNot(f.Not)
	}
	return nil, errors.New("compile filter: it has no dialect")
}

func (c *filterCompiler) compileNot(f *Config) (predicate, error) {
	inner, err := c.compile(f)
	if err != nil {
		return nil, err
	}
	return func(e *rawevent.Event, entry string) (bool, error) {
		ok, err := inner(e, entry)
		return !ok, err
	}, nil
}

// compileArea returns the predicate of an area: by the board, or without one by itself.
func (c *filterCompiler) compileArea(config *IntersectsConfig) (predicate, error) {
	a, err := config.area()
	if err != nil {
		return nil, fmt.Errorf("compile filter: %w", err)
	}
	if c.board == nil {
		return func(e *rawevent.Event, _ string) (bool, error) {
			footprint := area.Read(e.Data)
			return footprint != nil && a.Intersects(footprint), nil
		}, nil
	}
	c.board.add(a)
	c.areas = append(c.areas, a)
	return func(e *rawevent.Event, entry string) (bool, error) { return c.board.meets(a, e, entry), nil }, nil
}

// anyOf matches when one does; an alternative that cannot be evaluated is an error only if no other matches.
func anyOf(alternatives []predicate) predicate {
	return func(e *rawevent.Event, entry string) (bool, error) {
		var failure error
		for _, alternative := range alternatives {
			ok, err := alternative(e, entry)
			if ok {
				return true, err
			}
			if failure == nil {
				failure = err
			}
		}
		return false, failure
	}
}

// match compares attributes; one that the event does not have does not match.
func match(values map[string]string, compare func(have, want string) bool) predicate {
	wanted := make([]rawevent.Attribute, 0, len(values))
	for name, value := range values {
		wanted = append(wanted, rawevent.Attribute{Name: name, Value: value})
	}
	return func(e *rawevent.Event, _ string) (bool, error) {
		for i := range wanted {
			have, found := e.Attribute(wanted[i].Name)
			if !found || !compare(have, wanted[i].Value) {
				return false, nil
			}
		}
		return true, nil
	}
}
