package gateway

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Warnings returns what is valid in a valid configuration, and yet cannot be meant: filters that can never match what
// the sources of their stream publish. Producers may send other events to the stream, so this is not an error.
func (c *Config) Warnings() []string {
	var warnings []string
	for i := range c.Subscriptions {
		s := &c.Subscriptions[i]
		kinds, names := c.kindsOf(s.Stream)
		if len(kinds) == 0 {
			continue
		}
		if reason := neverMatches(s, kinds); reason != "" {
			warnings = append(warnings, fmt.Sprintf("subscriptions[%d].filters: subscription %q never gets an event of source %s: %s",
				i, s.Name, strings.Join(names, ", "), reason))
		}
	}
	return warnings
}

// kindsOf returns the kinds of events of the sources that publish to a stream; none if one of them does not know its
// own.
func (c *Config) kindsOf(stream string) (kinds []source.EventKind, names []string) {
	for i := range c.Sources {
		b := &c.Sources[i]
		if b.Stream != stream {
			continue
		}
		of, err := b.EventKinds()
		if err != nil || len(of) == 0 {
			return nil, nil
		}
		kinds, names = append(kinds, of...), append(names, b.Name)
	}
	return kinds, names
}

// neverMatches says why no event of the kinds passes the filters; "" if one may.
func neverMatches(s *delivery.Config, kinds []source.EventKind) string {
	hasArea := func(k source.EventKind) bool { return k.Data == nil || isLocated(&k.Example) }
	for i := range s.Filters {
		f := &s.Filters[i]
		if needsArea(f) && !slices.ContainsFunc(kinds, hasArea) {
			return "intersects needs a geometry or a bbox in the data, which their data does not have; " +
				"set event.profile: summary on the source"
		}
		isPossible := func(k source.EventKind) bool { return k.AnyType || mayBeOfType(f, k.Example.Type()) }
		if !slices.ContainsFunc(kinds, isPossible) {
			return "none of their events is of a type that the filter asks for"
		}
	}
	return ""
}

// isLocated reports whether the data of an event has a geometry or a bounding box at its top.
func isLocated(e *rawevent.Event) bool {
	var data struct {
		Geometry json.RawMessage `json:"geometry"`
		BBox     json.RawMessage `json:"bbox"`
	}
	return json.Unmarshal(e.Data, &data) == nil && (data.Geometry != nil || data.BBox != nil)
}

// needsArea reports whether a filter cannot match without a place.
func needsArea(f *filter.Config) bool {
	needs := func(one filter.Config) bool { return needsArea(&one) }
	return f.Intersects != nil || slices.ContainsFunc(f.All, needs) ||
		len(f.Any) > 0 && !slices.ContainsFunc(f.Any, func(one filter.Config) bool { return !needsArea(&one) })
}

// mayBeOfType reports whether a filter may match an event of a type.
func mayBeOfType(f *filter.Config, eventType string) bool {
	may := func(one filter.Config) bool { return mayBeOfType(&one, eventType) }
	if want, found := f.Exact[rawevent.AttrType]; found && want != eventType {
		return false
	}
	if want, found := f.Prefix[rawevent.AttrType]; found && !strings.HasPrefix(eventType, want) {
		return false
	}
	if want, found := f.Suffix[rawevent.AttrType]; found && !strings.HasSuffix(eventType, want) {
		return false
	}
	return !slices.ContainsFunc(f.All, func(one filter.Config) bool { return !mayBeOfType(&one, eventType) }) &&
		(len(f.Any) == 0 || slices.ContainsFunc(f.Any, may))
}
