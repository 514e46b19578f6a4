package stacsample

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const maxFilterDepth = 16

// predicate reports whether an item is selected.
type predicate func(*Item) bool

func every(parts []predicate) predicate {
	return func(item *Item) bool {
		for _, part := range parts {
			if !part(item) {
				return false
			}
		}
		return true
	}
}

// compileFilter implements and, =, >=, <=, > and < of CQL2-JSON, with a property on the left and a literal on the
// right.
func (q *query) compileFilter(quirks *Quirks) (predicate, error) {
	if q.Filter == nil || quirks.IgnoreFilter {
		return nil, nil
	}
	match, err := compileNode(q.Filter, quirks, maxFilterDepth)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	return match, nil
}

func compileNode(text json.RawMessage, quirks *Quirks, depth int) (predicate, error) {
	var node struct {
		Op   string
		Args []json.RawMessage
	}
	if err := json.Unmarshal(text, &node); err != nil {
		return nil, err
	}
	if node.Op != "and" {
		if len(node.Args) != 2 {
			return nil, fmt.Errorf("op %q has %d args, not 2", node.Op, len(node.Args))
		}
		var left struct{ Property string }
		if err := json.Unmarshal(node.Args[0], &left); err != nil || left.Property == "" {
			return nil, fmt.Errorf("the first arg of op %q is not a property", node.Op)
		}
		return comparison(left.Property, node.Op, node.Args[1], quirks)
	}
	if depth == 0 {
		return nil, errors.New("too deeply nested")
	}
	var parts []predicate
	for _, arg := range node.Args {
		part, err := compileNode(arg, quirks, depth-1)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return every(parts), nil
}

// compileQuery implements the query extension: {"updated": {"gte": "2026-01-01T00:00:00Z"}}.
func (q *query) compileQuery(quirks *Quirks) (predicate, error) {
	if q.Query == nil || quirks.IgnoreFilter {
		return nil, nil
	}
	var conditions map[string]map[string]json.RawMessage
	if err := json.Unmarshal(q.Query, &conditions); err != nil {
		return nil, fmt.Errorf("parse query: %w", err)
	}
	ops := map[string]string{"eq": "=", "gte": ">=", "lte": "<=", "gt": ">", "lt": "<"}
	var parts []predicate
	for property, condition := range conditions {
		for op, literal := range condition {
			part, err := comparison(property, ops[op], literal, quirks)
			if err != nil {
				return nil, fmt.Errorf("query: %s %s: %w", property, op, err)
			}
			parts = append(parts, part)
		}
	}
	return every(parts), nil
}

// comparison compares a property with a literal. It does not match items without the property.
func comparison(property, op string, literal json.RawMessage, quirks *Quirks) (predicate, error) {
	field, known := fields()[property]
	if !known {
		return nil, fmt.Errorf("property %q is not queryable", property)
	}
	holds, known := map[string]func(int) bool{
		"=":  func(order int) bool { return order == 0 },
		">=": func(order int) bool { return order >= 0 },
		"<=": func(order int) bool { return order <= 0 },
		">":  func(order int) bool { return order > 0 },
		"<":  func(order int) bool { return order < 0 },
	}[op]
	if !known {
		return nil, fmt.Errorf("op %q is not supported", op)
	}
	if property == "updated" && quirks.TextUpdated {
		field = updatedText()
	}
	bound, err := field.parse(literal)
	if err != nil {
		return nil, fmt.Errorf("property %q: %w", property, err)
	}
	return func(item *Item) bool {
		key, ok := field.key(item)
		return ok && holds(strings.Compare(key, bound))
	}, nil
}

// field is a property that can be compared and sorted. Its keys are strings with the same order as its values.
type field struct {
	key   func(*Item) (key string, ok bool)
	parse func(literal json.RawMessage) (key string, err error)
}

// value returns the key of the item, or nil if it does not have the property.
func (f field) value(item *Item) *string {
	if key, ok := f.key(item); ok {
		return &key
	}
	return nil
}

func fields() map[string]field {
	return map[string]field{
		"id":         {func(i *Item) (string, bool) { return i.ID, true }, parseText},
		"collection": {func(i *Item) (string, bool) { return i.Collection, true }, parseText},
		"datetime": {func(i *Item) (string, bool) {
			start, _, _ := i.span()
			return timeKey(start)
		}, parseTime},
		"created":        {func(i *Item) (string, bool) { return timeKey(i.Created) }, parseTime},
		"updated":        {func(i *Item) (string, bool) { return timeKey(i.Updated) }, parseTime},
		"eo:cloud_cover": {func(i *Item) (string, bool) { return numberKey(i.CloudCover), true }, parseNumber},
	}
}

// updatedText is the property updated with the quirk TextUpdated.
func updatedText() field {
	return field{func(i *Item) (string, bool) { return formatTime(i.Updated), !i.Updated.IsZero() }, parseText}
}

func timeKey(t time.Time) (string, bool) {
	return t.UTC().Format("2006-01-02T15:04:05.000000000Z"), !t.IsZero()
}

// numberKey has the order of the numbers, which must not be negative.
func numberKey(n float64) string { return fmt.Sprintf("%025.9f", max(n, 0)) }

func parseText(literal json.RawMessage) (text string, err error) {
	err = json.Unmarshal(literal, &text)
	return text, err
}

func parseNumber(literal json.RawMessage) (string, error) {
	var number float64
	err := json.Unmarshal(literal, &number)
	return numberKey(number), err
}

// parseTime accepts {"timestamp": "..."} and a plain string.
func parseTime(literal json.RawMessage) (string, error) {
	var wrapped struct{ Timestamp time.Time }
	err := json.Unmarshal(literal, &wrapped.Timestamp)
	if err != nil {
		err = json.Unmarshal(literal, &wrapped)
	}
	if err != nil || wrapped.Timestamp.IsZero() {
		return "", fmt.Errorf("%s is not a timestamp", literal)
	}
	key, _ := timeKey(wrapped.Timestamp)
	return key, nil
}
