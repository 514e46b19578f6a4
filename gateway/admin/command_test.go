package admin

import "testing"

// FuzzCommand: a command from any query or body is within the limits, or it is refused.
func FuzzCommand(f *testing.F) {
	for _, seed := range []string{
		"stream=events&code=5xx&dryRun=true", "entries=1-0&entries=2-0&rate=0.5&limit=7",
		"since=2026-11-23T00:00:00Z&until=2026-11-24T00:00:00Z",
		"rate=NaN", "limit=-1", "%zz", `{"stream":"events","entries":["1-0"],"rate":10}`,
		`{"since":"2026-11-23T00:00:00Z"}`, `{"limit":1e3}`, `null`, `{}{}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fromQuery, errQuery := readQuery(text)
		fromBody, errBody := parseCommand([]byte(text))
		for _, c := range []struct {
			command command
			err     error
		}{{fromQuery, errQuery}, {fromBody, errBody}} {
			if c.err != nil {
				if c.err.Error() == "" {
					t.Error("an error has no text")
				}
				continue
			}
			o := c.command
			if o.Limit < 1 || o.Limit > maxLimit || len(o.IDs) > maxEntries || !(o.Rate >= 0) || len(o.Validate()) > 0 {
				t.Errorf("%q became %+v", text, o)
			}
		}
	})
}
