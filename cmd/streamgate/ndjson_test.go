package main

import (
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// TestLinesOfNDJSON as programs write them.
func TestLinesOfNDJSON(t *testing.T) {
	t.Parallel()
	one := func(id string) string { return `{"specversion":"1.0","id":"` + id + `","source":"/s","type":"t"}` }
	wide := func(text string) string {
		bytes := []byte{0xff, 0xfe}
		for _, unit := range utf16.Encode([]rune(text)) {
			bytes = append(bytes, byte(unit), byte(unit>>8))
		}
		return string(bytes)
	}
	for name, c := range map[string]struct{ text, want, fails string }{
		"plain":                   {one("1") + "\n" + one("2") + "\n", "1 2", ""},
		"a byte order mark, CRLF": {"\ufeff" + one("1") + "\r\n" + one("2") + "\r\n", "1 2", ""},
		"UTF-16":                  {wide(one("é") + "\r\n" + one("2") + "\r\n"), "é 2", ""},
		"blank lines":             {"\n\r\n \t\n" + one("1") + "\n\n" + one("2") + "\n\n", "1 2", ""},
		"no end at the end":       {one("1") + "\n" + one("2"), "1 2", ""},
		"nothing":                 {"", "", ""},
		"a mark alone":            {"\ufeff", "", ""},
		"a broken line":           {one("1") + "\n\n{\"x\n" + one("2"), "1", "line 3:"},
		"not UTF-8":               {one("1") + "\n{\"x\":\"\xe9\"}\n", "1", "line 2: "},
		"a line too long":         {one("1") + "\n" + strings.Repeat("x", 9<<20), "1", "line 2 is longer than 8 MiB"},
	} {
		var ids []string
		err := eachLine(strings.NewReader(c.text), func(e *rawevent.Event) error {
			ids = append(ids, e.ID())
			return nil
		})
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if (err == nil) != (c.fails == "") || err != nil && (!strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error(), "invalid character")) {
			t.Errorf("%s: error %v, want %q", name, err, c.fails)
		}
	}
}
