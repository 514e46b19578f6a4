package stacapi

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzSplit: of valid JSON, the members and elements are those that encoding/json finds.
func FuzzSplit(f *testing.F) {
	for _, text := range []string{
		`{"a":1,"b":[{"c":"}\"]"}],"d":{}}`, `[1,"x",[],{},null]`, `{"a":"\\"}`, "{\"a\" :\t1 , \"a\": 2}\n", `[]`, `{}`, `[[[]]`, `{"a"}`,
		`{"a":tru,"b":[}]}`, `[1,]`, "[\"\t\",\"b\"]", `{"a":1`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		found := map[string][]byte{}
		objectErr := splitObject(text, func(name string, value []byte) { found[name] = value })
		elements, arrayErr := splitArray(text)
		if !json.Valid(text) {
			return
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(text, &members) == nil && members != nil {
			if objectErr != nil || arrayErr == nil {
				t.Fatalf("%s: %v, %v", text, objectErr, arrayErr)
			}
			for name, value := range found {
				var plain string
				if json.Unmarshal([]byte(`"`+name+`"`), &plain) != nil {
					t.Fatalf("name %q", name)
				}
				if plain == name && !bytes.Equal(members[name], value) {
					t.Errorf("%q is %s, not %s", name, value, members[name])
				}
			}
		}
		var list []json.RawMessage
		if json.Unmarshal(text, &list) == nil && list != nil {
			if arrayErr != nil || len(elements) != len(list) {
				t.Fatalf("%s: %d elements, not %d, %v", text, len(elements), len(list), arrayErr)
			}
			for n := range list {
				if !bytes.Equal(list[n], elements[n]) {
					t.Errorf("element %d is %s, not %s", n, elements[n], list[n])
				}
			}
		}
	})
}
