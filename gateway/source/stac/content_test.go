package stac

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

func TestCanonicalNumbers(t *testing.T) {
	t.Parallel()
	for want, spellings := range map[string][]string{
		"0":                     {"0", "-0", "0.0", "0e5", "-0.00E-3", "0e99999999999999999999"},
		"1":                     {"1", "1.0", "1e0", "10e-1", "0.1e1", "1E+0", "1.000"},
		"-1":                    {"-1", "-1.0", "-1e0"},
		"1.1":                   {"1.1", "1.10", "11e-1", "0.11e1"},
		"100":                   {"100", "1e2", "100.0", "1.0e+2"},
		"0.001":                 {"0.001", "1e-3", "0.0010"},
		"0.000001":              {"1e-6", "0.000001"},
		"1e-7":                  {"1e-7", "0.0000001", "1.0E-07"},
		"-1.5e-9":               {"-1.5e-9", "-0.0000000015"},
		"100000000000000000000": {"1e20", "100000000000000000000", "100000000000000000000.0"},
		"1e21":                  {"1e21", "1000000000000000000000"},
		"9007199254740993":      {"9007199254740993", "9007199254740993.0"}, // which no double holds
		"9007199254740992":      {"9007199254740992"},
		"0.1":                   {"0.1", "0.1000000000000000055511151231257827"}, // the same double
		"1e400":                 {"1e400", "10e399"},
		"1e-400":                {"1e-400", "0.1e-399"},
		"1e99999999999":         {"1e99999999999"},
	} {
		for _, spelling := range spellings {
			if got := canonicalNumber(spelling); got != want || canonicalNumber(got) != got {
				t.Errorf("%s became %s, want %s", spelling, got, want)
			}
		}
	}
}

func TestUnsigned(t *testing.T) {
	t.Parallel()
	for href, want := range map[string]string{
		"https://e.com/a":                                            "https://e.com/a",
		"https://e.com/a?":                                           "https://e.com/a?",
		"https://e.com/a?b=%20+&a=1;2&c":                             "https://e.com/a?b=%20+&a=1;2&c",
		"a.tif?st=3&sp=x&se=1":                                       "a.tif?st=3&sp=x&se=1", // no signature
		"a.tif?se=1&sp=r&sv=2&sr=c&sig=x%3D&y=3":                     "a.tif?y=3",
		"a.tif?skoid=1&sktid=2&skt=3&ske=4&sks=b&skv=5&sig=x&skip=1": "a.tif?skip=1",
		"a.tif?z=1&X-Amz-Signature=2&x-amz-date=3&a=4#f":             "a.tif?z=1&a=4#f",
		"a.tif?X%2DAmz-Expires=2":                                    "a.tif",
		"a.tif?AWSAccessKeyId=1&Signature=2&Expires=3":               "a.tif",
		"a.tif?Expires=3&Policy=x":                                   "a.tif?Expires=3&Policy=x",
		"a.tif?X-Goog-Algorithm=3&v=1":                               "a.tif?v=1",
		"s3://bucket/a b?sig=1#?sig=2":                               "s3://bucket/a b#?sig=2",
		"http://[x?sig=1":                                            "http://[x",
	} {
		if got := unsigned(href); got != want {
			t.Errorf("%s became %s, want %s", href, got, want)
		}
	}
}

// TestContentHash: what is no change of an item does not change its hash, and every other thing does.
func TestContentHash(t *testing.T) {
	t.Parallel()
	const base = `{"id":"a","msft:expiry":"x","bbox":[1,2.50,3,4],"properties":{"updated":"2026-01-01T00:00:00Z","gsd":10},` +
		`"assets":{"a":{"href":"https://e.com/a?sig=1&se=2&y=3","alternate":{"s3":{"href":"https://e.com/b?X-Amz-Date=1"}}}},` +
		`"links":[{"rel":"self","href":"1"}]}`
	for name, c := range map[string]struct {
		old, new            string
		hashSame, versioned bool
	}{
		"touched":        {"2026-01-01", "2026-01-02", true, true},
		"link":           {`"href":"1"`, `"href":"2"`, true, false},
		"expiry":         {`"x"`, `"y"`, true, false},
		"signature":      {"sig=1&se=2", "sig=7&se=8&sp=r", true, false},
		"AWS":            {"X-Amz-Date=1", "X-Amz-Date=2&X-Amz-Signature=3", true, false},
		"numbers":        {"[1,2.50,3,4]", "[1.0, 25e-1, 3e0, 4.00]", true, false},
		"number":         {"2.50", "2.51", false, false},
		"text":           {`"gsd":10`, `"gsd":"10"`, false, false},
		"parameter":      {"y=3", "y=4", false, false},
		"other property": {`"gsd":10`, `"gsd":10,"x":null`, false, false},
	} {
		hash := func(raw string) (string, string) {
			i, err := stacapi.ParseItem(json.RawMessage(raw))
			if err != nil {
				t.Fatal(err)
			}
			h, err := contentHash(i)
			if err != nil {
				t.Fatal(err)
			}
			v, err := version(i)
			if err != nil {
				t.Fatal(err)
			}
			return h, v
		}
		h1, v1 := hash(base)
		h2, v2 := hash(strings.Replace(base, c.old, c.new, 1))
		if (h1 == h2) != c.hashSame || (v1 != v2) != c.versioned {
			t.Errorf("%s: content %s and %s, versions %s and %s", name, h1, h2, v1, v2)
		}
	}
}

// FuzzContentHash: encoding a document anew, with other white space, order, escapes and spelling of numbers, never
// changes its hash.
func FuzzContentHash(f *testing.F) {
	f.Add([]byte(sampleItem))
	f.Add([]byte(exampleItem))
	f.Add([]byte(`{"id":"a","x":[1,1.0,1e0,-0,1e400,9007199254740993,0.1000000000000000055],"y":{"é":"\ud800<"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		content, err := decodeObject(raw)
		if err != nil {
			return
		}
		want, err := collectionVersion(raw)
		if err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		e := json.NewEncoder(&again)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(respelled(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := collectionVersion(again.Bytes()); err != nil || got != want {
			t.Errorf("%s and %s: %s, %v, want %s", raw, again.Bytes(), got, err, want)
		}
	})
}

// respelled shifts the point of each number.
func respelled(in any) any {
	switch v := in.(type) {
	case json.Number:
		mantissa, exponent, _ := strings.Cut(strings.ToLower(v.String()), "e")
		power, ok := new(big.Int).SetString("0"+strings.TrimPrefix(exponent, "+"), 10)
		if strings.HasPrefix(exponent, "-") {
			power, ok = new(big.Int).SetString(exponent, 10)
		}
		if !ok || power.CmpAbs(big.NewInt(1e8)) > 0 {
			return v
		}
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		return json.Number(mantissa + "00E" + power.String())
	case []any:
		for i := range v {
			v[i] = respelled(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = respelled(v[name])
		}
	}
	return in
}
