package stacsample

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const descending = "desc"

// sortTerm is an element of sortby.
type sortTerm struct {
	Field     string `json:"field"`
	Direction string `json:"direction,omitempty"`
}

func (t sortTerm) desc() bool { return t.Direction == descending }

func direction(desc bool) string {
	if desc {
		return descending
	}
	return "asc"
}

// order is a total order of items: its last terms are id and collection.
type order struct {
	terms []orderTerm
	own   int // how many terms paging compares with the quirk SortTieBug
}

type orderTerm struct {
	field field
	desc  bool
}

// order returns the order of the query; the default is newest first.
func (q *query) order(quirks *Quirks) (order, error) {
	asked := q.SortBy
	if len(asked) == 0 || quirks.IgnoreSort {
		asked = []sortTerm{{Field: "datetime", Direction: descending}}
	}
	var o order
	for _, term := range asked {
		known, ok := fields()[strings.TrimPrefix(term.Field, "properties.")]
		if !ok {
			return o, fmt.Errorf("sortby: field %q is not sortable", term.Field)
		}
		if term.Direction != "" && term.Direction != direction(term.desc()) {
			return o, fmt.Errorf("sortby: direction %q is neither asc nor desc", term.Direction)
		}
		o.terms = append(o.terms, orderTerm{known, term.desc()})
	}
	desc := o.terms[0].desc
	o.own = len(o.terms)
	if desc {
		o.own++ // the page key of a descending sort also contains the id
	}
	o.terms = append(o.terms, orderTerm{fields()["id"], desc}, orderTerm{fields()["collection"], desc})
	return o, nil
}

// key returns the values of the item that the order compares.
func (o order) key(item *Item) []*string {
	key := make([]*string, len(o.terms))
	for i, term := range o.terms {
		key[i] = term.field.value(item)
	}
	return key
}

// compare compares the first n values of two keys. A missing value is greater than all others.
func (o order) compare(a, b []*string, n int) int {
	for i, term := range o.terms[:n] {
		c := compareValues(a[i], b[i])
		if term.desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

func compareValues(a, b *string) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return cmp.Compare(*a, *b)
}

func (o order) sort(items []*Item) {
	slices.SortFunc(items, func(a, b *Item) int { return o.compare(o.key(a), o.key(b), len(o.terms)) })
}

// after returns the sorted items behind the key.
func (o order) after(items []*Item, key []*string, quirks *Quirks) []*Item {
	n := len(o.terms)
	if quirks.SortTieBug {
		n = o.own
	}
	first := len(items)
	if i := slices.IndexFunc(items, func(item *Item) bool { return o.compare(o.key(item), key, n) > 0 }); i >= 0 {
		first = i
	}
	if quirks.SortTieBug && o.repeats(items, first, key) {
		first--
	}
	return items[first:]
}

// repeats reports whether the key belongs to the last of several items that SortTieBug considers equal, with more items
// after it.
func (o order) repeats(items []*Item, first int, key []*string) bool {
	if first < 2 || first == len(items) || o.compare(o.key(items[first-1]), key, len(o.terms)) != 0 {
		return false
	}
	return o.compare(o.key(items[first-2]), key, o.own) == 0
}
