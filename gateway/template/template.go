// Package template expands text with placeholders. Configurations use it to compose values from what is known about an
// event.
//
// A placeholder is a name in braces, like {collection}. A missing value is an error, unless a question mark follows the
// name, like {datetime?}; the placeholder expands to nothing then. Filters may follow, like {id|lower|urlpath}. Two
// opening braces stand for one literal brace; a closing brace outside of a placeholder stands for itself.
//
// There are no conditions and no loops, and a template cannot access anything but the values of the lookup function.
// Its cost is bounded by its length and by [MaxResult].
package template

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Limits of a template and of its result.
const (
	MaxText         = 4 << 10  // bytes of a template
	MaxPlaceholders = 64       // in one template
	MaxResult       = 16 << 10 // bytes that one expansion appends
)

// ErrMissing is wrapped by the error of [Template.Expand] if a placeholder has no value.
var ErrMissing = errors.New("the event has no such value")

// Template is a parsed template. The zero value expands to nothing. It is immutable and safe for concurrent use. Create
// one with [Parse].
type Template struct {
	text  string
	parts []part
}

// part is literal text, optionally followed by a placeholder.
type part struct {
	literal  string
	name     string // "" without a placeholder
	optional bool
	filters  []filter
}

type filter func(string) string

// filterNames lists the filters that filterNamed knows.
func filterNames() []string { return []string{"lower", "urlquery", "urlpath"} }

func filterNamed(name string) filter {
	switch name {
	case "lower":
		return strings.ToLower
	case "urlquery":
		return url.QueryEscape
	case "urlpath":
		return url.PathEscape
	}
	return nil
}

// Parse parses a template whose placeholders must be among names. A name that ends in a colon takes an argument:
// "property:" allows {property:eo:cloud_cover}, which is looked up under the whole name. An argument must not contain a
// brace or a bar, nor end in a question mark.
func Parse(text string, names ...string) (Template, error) {
	if len(text) > MaxText {
		return Template{}, fmt.Errorf("the template has %d bytes, more than the limit of %d; shorten it",
			len(text), MaxText)
	}
	t := Template{text: text}
	var literal strings.Builder
	for rest := text; rest != ""; {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			literal.WriteString(rest)
			break
		}
		literal.WriteString(rest[:open])
		rest = rest[open+1:]
		if strings.HasPrefix(rest, "{") {
			literal.WriteByte('{')
			rest = rest[1:]
			continue
		}
		inside, after, found := strings.Cut(rest, "}")
		if !found {
			return Template{}, fmt.Errorf("the brace before %q is not closed; write {name}, or {{ for a literal brace",
				clip(rest))
		}
		p, err := parsePlaceholder(inside, names)
		if err != nil {
			return Template{}, err
		}
		p.literal = literal.String()
		literal.Reset()
		if t.parts = append(t.parts, p); len(t.parts) > MaxPlaceholders {
			return Template{}, fmt.Errorf("the template has more than %d placeholders; use fewer", MaxPlaceholders)
		}
		rest = after
	}
	if literal.Len() > 0 {
		t.parts = append(t.parts, part{literal: literal.String()})
	}
	return t, nil
}

func parsePlaceholder(inside string, names []string) (part, error) {
	name, filters, filtered := strings.Cut(inside, "|")
	var p part
	p.name, p.optional = strings.CutSuffix(name, "?")
	if err := checkName(p.name, names); err != nil {
		return part{}, err
	}
	if !filtered {
		return p, nil
	}
	for _, name := range strings.Split(filters, "|") {
		f := filterNamed(name)
		if f == nil {
			return part{}, fmt.Errorf("{%s} uses the unknown filter %q; use one of %s",
				clip(inside), clip(name), strings.Join(filterNames(), ", "))
		}
		p.filters = append(p.filters, f)
	}
	return p, nil
}

func checkName(name string, names []string) error {
	if !strings.ContainsRune(name, '{') {
		if slices.Contains(names, name) && !strings.HasSuffix(name, ":") {
			return nil
		}
		for _, known := range names {
			if strings.HasSuffix(known, ":") && len(name) > len(known) && strings.HasPrefix(name, known) {
				return nil
			}
		}
	}
	shown := make([]string, len(names))
	for i, known := range names {
		shown[i] = "{" + known + "}"
		if strings.HasSuffix(known, ":") {
			shown[i] = "{" + known + "NAME}"
		}
	}
	if len(shown) == 0 {
		return fmt.Errorf("{%s} is not a known placeholder; none are available here: write plain text, or {{ for a "+
			"literal brace", clip(name))
	}
	return fmt.Errorf("{%s} is not a known placeholder; use one of %s, or {{ for a literal brace",
		clip(name), strings.Join(shown, ", "))
}

// clip shortens user text for error messages.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// String returns the text that was parsed.
func (t Template) String() string { return t.text }

// Uses reports whether the template contains the placeholder.
func (t Template) Uses(name string) bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.name != "" && p.name == name })
}

// Expand appends the text to dst with each placeholder replaced by its value, and returns the extended slice. lookup
// returns the value of a name and whether it exists. A missing value is an error that wraps [ErrMissing], unless the
// placeholder is optional. A text of more than [MaxResult] bytes is an error, too. With an error, Expand returns dst
// unchanged.
func (t Template) Expand(dst []byte, lookup func(name string) (string, bool)) ([]byte, error) {
	result := dst
	for i := range t.parts {
		p := &t.parts[i]
		value, err := p.value(lookup)
		if err != nil {
			return dst, err
		}
		if len(result)-len(dst)+len(p.literal)+len(value) > MaxResult {
			return dst, fmt.Errorf("the result of %q is longer than %d bytes; use shorter values",
				clip(t.text), MaxResult)
		}
		result = append(append(result, p.literal...), value...)
	}
	return result, nil
}

func (p *part) value(lookup func(string) (string, bool)) (string, error) {
	if p.name == "" {
		return "", nil
	}
	value, found := lookup(p.name)
	if !found {
		if p.optional {
			return "", nil
		}
		return "", fmt.Errorf("fill in {%s}: %w; write {%s?} if it may be missing", p.name, ErrMissing, p.name)
	}
	if len(value) > MaxResult { // before a filter makes it even longer
		return "", fmt.Errorf("the value of {%s} has %d bytes, more than the limit of %d; use a shorter value",
			p.name, len(value), MaxResult)
	}
	for _, f := range p.filters {
		// A filter can triple the length; the bound keeps a chain of them from growing the value exponentially.
		if value = f(value); len(value) > 3*MaxResult {
			return "", fmt.Errorf("the value of {%s} grows to %d bytes; use fewer filters", p.name, len(value))
		}
	}
	return value, nil
}
