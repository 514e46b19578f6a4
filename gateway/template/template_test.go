package template_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/gateway/template"
)

func names() []string { return []string{"id", "collection", "empty", "absent", "property:"} }

func lookup(name string) (string, bool) {
	value, found := map[string]string{
		"id": "A b/ü", "collection": "c", "empty": "", "property:eo:cloud_cover": "3.5", "property:x?y": "q",
	}[name]
	return value, found
}

func TestExpand(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                           "",
		"plain}text}}":               "plain}text}}",
		"{id}":                       "A b/ü",
		"x{collection}y{collection}": "xcyc",
		"{{id}":                      "{id}",
		"{{{id}}":                    "{A b/ü}",
		"{id|lower}":                 "a b/ü",
		"{id|urlpath}":               "A%20b%2F%C3%BC",
		"{id|urlquery}":              "A+b%2F%C3%BC",
		"{id|lower|urlpath}":         "a%20b%2F%C3%BC",
		"{empty}":                    "",
		"a{absent?}b":                "ab",
		"a{absent?|lower}b":          "ab",
		"{property:eo:cloud_cover}":  "3.5",
		"{property:x?y}":             "q",
		"{property:none?}.":          ".",
	} {
		parsed, err := template.Parse(text, names()...)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		got, err := parsed.Expand([]byte("before "), lookup)
		if err != nil || string(got) != "before "+want || parsed.String() != text {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const known = "{id}, {collection}, {empty}, {absent}, {property:NAME}"
	for text, want := range map[string]string{
		"{":                                     "is not closed",
		"a{id":                                  `before "id" is not closed`,
		"{}":                                    known,
		"{ID}":                                  known,
		"{id }":                                 known,
		"{other}":                               "{other} is not a known placeholder; use one of " + known + ", or {{ for a literal brace",
		"{property:}":                           known,
		"{property:?}":                          known,
		"{property}":                            known,
		"{id??}":                                known,
		"{property:{}":                          known,
		"{id|}":                                 `uses the unknown filter ""; use one of lower, urlquery, urlpath`,
		"{id|upper}":                            `the unknown filter "upper"`,
		"{id|lower?}":                           `the unknown filter "lower?"`,
		strings.Repeat("x", template.MaxText+1): "more than the limit of 4096",
		strings.Repeat("{id}", template.MaxPlaceholders+1): "more than 64 placeholders",
		"{" + strings.Repeat("long", 100) + "}":            "{longlonglonglonglonglonglonglonglonglong...}",
	} {
		if _, err := template.Parse(text, names()...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want ...%s...", text, err, want)
		}
	}
	if _, err := template.Parse("{id}"); err == nil || !strings.Contains(err.Error(), "none are available here") {
		t.Errorf("no names: %v", err)
	}
}

func TestExpandRefuses(t *testing.T) {
	t.Parallel()
	long := func(string) (string, bool) { return strings.Repeat("/", template.MaxResult), true }
	for text, c := range map[string]struct {
		lookup func(string) (string, bool)
		want   string
	}{
		"x{absent}":                            {lookup, "{absent}: the event has no such value; write {absent?} if it may be missing"},
		"{property:none}":                      {lookup, "{property:none}: the event has no such value"},
		"x{id}":                                {long, "longer than 16384 bytes"},
		"{id|urlpath}":                         {long, "longer than 16384 bytes"},
		"{id}{collection}":                     {long, "longer than 16384 bytes"},
		"{id|urlpath|urlpath|urlpath|urlpath}": {long, "use fewer filters"},
		"{absent|lower}":                       {func(string) (string, bool) { return strings.Repeat("x", template.MaxResult+1), true }, "has 16385 bytes"},
	} {
		parsed, err := template.Parse(text, names()...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parsed.Expand([]byte("before"), c.lookup)
		if err == nil || !strings.Contains(err.Error(), c.want) || string(got) != "before" {
			t.Errorf("%s: %q, %v, want ...%s...", text, got, err, c.want)
		}
		if missing := errors.Is(err, template.ErrMissing); missing != strings.Contains(c.want, "no such value") {
			t.Errorf("%s: missing is %t", text, missing)
		}
	}
	fits, err := template.Parse("{id}", names()...)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fits.Expand(nil, long); err != nil || len(got) != template.MaxResult {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestUses(t *testing.T) {
	t.Parallel()
	parsed, err := template.Parse("{id|lower}{{collection}{property:a}", names()...)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"id": true, "collection": false, "property:a": true, "property:": false, "": false} {
		if parsed.Uses(name) != want {
			t.Errorf("%q: want %t", name, want)
		}
	}
	if got, err := (template.Template{}).Expand(nil, nil); err != nil || len(got) != 0 {
		t.Errorf("zero value: %q, %v", got, err)
	}
}

// FuzzParse: whatever the text and the value, nothing panics, bounds hold, and plain text stands for itself.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "plain", "{id}", "{{{id?|lower|urlpath}}", "{property:eo:x}", "{", "{id|", "é{id}"} {
		f.Add(text, "Value /ü")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		parsed, err := template.Parse(text, names()...)
		if err != nil {
			return
		}
		got, err := parsed.Expand(nil, func(string) (string, bool) { return value, true })
		if err == nil && len(got) > template.MaxResult {
			t.Errorf("%q: %d bytes", text, len(got))
		}
		if !strings.Contains(text, "{") && string(got) != text {
			t.Errorf("%q became %q", text, got)
		}
		escaped, err := template.Parse(strings.ReplaceAll(text, "{", "{{"))
		if err != nil {
			if len(text)+strings.Count(text, "{") > template.MaxText {
				return
			}
			t.Fatalf("%q escaped: %v", text, err)
		}
		if got, err := escaped.Expand(nil, nil); err != nil || string(got) != text {
			t.Errorf("%q escaped became %q, %v", text, got, err)
		}
	})
}
