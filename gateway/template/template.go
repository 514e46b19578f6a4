// Package template is text with placeholders, for values that a configuration composes of what an event knows.
//
// A placeholder is a name in braces, {collection}. After the name may stand a question mark, {datetime?}: where the value is
// missing, nothing takes its place; without it that is an error. Then may follow filters, {id|lower|urlpath}. Two opening
// braces are a literal one; a closing brace outside of a placeholder stands for itself.
//
// There is nothing else: no condition, no loop, no way to reach what the lookup does not give. What a template costs is
// bounded by its length and by [MaxResult].
package template

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Bounds of a template and of what it makes.
const (
	MaxText         = 4 << 10  // bytes of a template
	MaxPlaceholders = 64       // in one template
	MaxResult       = 16 << 10 // bytes that one expansion appends
)

// ErrMissing is wrapped by the error of [Template.Expand] when a placeholder has no value.
var ErrMissing = errors.New("there is no value")

// Template is a parsed text. The zero value expands to nothing. It is immutable and safe for concurrent use.
type Template struct {
	text  string
	parts []part
}

// part is literal text, then maybe a placeholder.
type part struct {
	literal  string
	name     string // "" for none
	optional bool
	filters  []filter
}

type filter func(string) string

// filterNames lists what filterNamed knows.
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

// Parse returns the template of a text, whose placeholders must be among names. A name that ends in a colon takes an
// argument: "property:" allows {property:eo:cloud_cover}, which is looked up under that whole name. An argument holds
// neither a brace nor a bar, and does not end in a question mark.
func Parse(text string, names ...string) (Template, error) {
	if len(text) > MaxText {
		return Template{}, fmt.Errorf("the template has %d bytes: write at most %d", len(text), MaxText)
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
			return Template{}, fmt.Errorf("the brace before %q is not closed: write {name}, or {{ for a literal brace", clip(rest))
		}
		p, err := parsePlaceholder(inside, names)
		if err != nil {
			return Template{}, err
		}
		p.literal = literal.String()
		literal.Reset()
		if t.parts = append(t.parts, p); len(t.parts) > MaxPlaceholders {
			return Template{}, fmt.Errorf("the template has more than %d placeholders: use fewer", MaxPlaceholders)
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
			return part{}, fmt.Errorf("{%s} has the filter %q, which does not exist: use one of %s", clip(inside), clip(name), strings.Join(filterNames(), ", "))
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
		return fmt.Errorf("{%s} is no placeholder, and there is none here: write plain text, or {{ for a literal brace", clip(name))
	}
	return fmt.Errorf("{%s} is no placeholder: use one of %s, or {{ for a literal brace", clip(name), strings.Join(shown, ", "))
}

// clip keeps messages short.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// String returns the text that was parsed.
func (t Template) String() string { return t.text }

// Uses reports whether the template has the placeholder.
func (t Template) Uses(name string) bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.name != "" && p.name == name })
}

// Expand appends the text to dst, with each placeholder replaced by its value, and returns the longer slice. Lookup tells
// the value of a name, and whether there is one. A value that is missing is an error that wraps [ErrMissing], unless the
// placeholder is optional; so is a text of more than [MaxResult] bytes. After an error the result is dst as it was.
func (t Template) Expand(dst []byte, lookup func(name string) (string, bool)) ([]byte, error) {
	result := dst
	for i := range t.parts {
		p := &t.parts[i]
		value, err := p.value(lookup)
		if err != nil {
			return dst, err
		}
		if len(result)-len(dst)+len(p.literal)+len(value) > MaxResult {
			return dst, fmt.Errorf("the text of %q is longer than %d bytes: use shorter values", clip(t.text), MaxResult)
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
		return "", fmt.Errorf("fill in {%s}: %w; write {%s?} where it may be missing", p.name, ErrMissing, p.name)
	}
	if len(value) > MaxResult { // before a filter makes it longer
		return "", fmt.Errorf("the value of {%s} has %d bytes, more than %d: use a shorter one", p.name, len(value), MaxResult)
	}
	for _, f := range p.filters {
		// Each urlpath can triple the length; a chain of them must not.
		if value = f(value); len(value) > 3*MaxResult {
			return "", fmt.Errorf("the value of {%s} grows to %d bytes: use fewer filters", p.name, len(value))
		}
	}
	return value, nil
}
