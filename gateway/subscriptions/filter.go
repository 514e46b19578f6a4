package subscriptions

import (
	"encoding/json"
	"fmt"

	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/setting"
)

// parseFilter reads a filter: an object with exactly one member, which names the dialect (section 3.2.4). An unknown
// dialect is refused. left counts down the filters that an object may have.
func parseFilter(raw json.RawMessage, depth int, left *int) (f filter.Config, p setting.Problems) {
	if *left--; *left < 0 || depth == 0 {
		p.Add("", fmt.Sprintf("the subscription has more than %d filters, or more than %d levels", maxFilters,
			maxDepth), "use fewer filters")
		return f, p
	}
	var dialects map[string]json.RawMessage
	if err := json.Unmarshal(raw, &dialects); err != nil || len(dialects) != 1 {
		p.Add("", "a filter must be an object with one member, the dialect",
			`write one like {"exact": {"type": "com.example.created"}}`)
		return f, p
	}
	for dialect, value := range dialects {
		var err error
		switch dialect {
		case "exact":
			err = json.Unmarshal(value, &f.Exact)
		case "prefix":
			err = json.Unmarshal(value, &f.Prefix)
		case "suffix":
			err = json.Unmarshal(value, &f.Suffix)
		case "sql", "cesql":
			err = json.Unmarshal(value, &f.CESQL)
		case "intersects":
			f.Intersects, err = parseArea(value)
		case "all":
			f.All, err = parseList(dialect, value, depth, left, &p)
		case "any":
			f.Any, err = parseList(dialect, value, depth, left, &p)
		case "not":
			inner, problems := parseFilter(value, depth-1, left)
			p.AddAll(dialect, problems)
			f.Not = &inner
		default:
			p.Add("", fmt.Sprintf("the dialect %q is not supported", dialect),
				"write exact, prefix, suffix, sql, intersects, all, any or not")
		}
		if err != nil {
			p.Add(dialect, "the value does not have the form of this dialect",
				"write a map of attributes and values or, for all and any, a list of filters")
		}
	}
	return f, p
}

// parseArea reads {"bbox": [west, south, east, north]}, a GeoJSON object, or {"geometry": GeoJSON}.
func parseArea(raw json.RawMessage) (*filter.IntersectsConfig, error) {
	var members struct {
		Type     string          `json:"type"`
		BBox     []float64       `json:"bbox"`
		Geometry json.RawMessage `json:"geometry"`
	}
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, err
	}
	c := &filter.IntersectsConfig{BBox: members.BBox}
	switch {
	case members.Type != "":
		c.BBox, c.Geometry = nil, string(raw)
	case members.Geometry != nil:
		c.Geometry = string(members.Geometry)
	}
	return c, nil
}

// parseList reads the filters of all or any.
func parseList(
	dialect string, raw json.RawMessage, depth int, left *int, p *setting.Problems,
) ([]filter.Config, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, err
	}
	list := make([]filter.Config, len(items))
	for i, item := range items {
		var problems setting.Problems
		list[i], problems = parseFilter(item, depth-1, left)
		p.AddAll(fmt.Sprintf("%s[%d]", dialect, i), problems)
	}
	return list, nil
}

// encodeFilter is the reverse of parseFilter, to show the subscriptions of the configuration.
func encodeFilter(f *filter.Config) map[string]any {
	list := func(filters []filter.Config) []any {
		encoded := make([]any, len(filters))
		for i := range filters {
			encoded[i] = encodeFilter(&filters[i])
		}
		return encoded
	}
	switch {
	case f.Exact != nil:
		return map[string]any{"exact": f.Exact}
	case f.Prefix != nil:
		return map[string]any{"prefix": f.Prefix}
	case f.Suffix != nil:
		return map[string]any{"suffix": f.Suffix}
	case f.CESQL != "":
		return map[string]any{"sql": f.CESQL}
	case f.Intersects != nil && f.Intersects.BBox != nil:
		return map[string]any{"intersects": map[string]any{"bbox": f.Intersects.BBox}}
	case f.Intersects != nil:
		return map[string]any{"intersects": json.RawMessage(f.Intersects.Geometry)}
	case f.All != nil:
		return map[string]any{"all": list(f.All)}
	case f.Any != nil:
		return map[string]any{"any": list(f.Any)}
	default:
		return map[string]any{"not": encodeFilter(f.Not)}
	}
}
