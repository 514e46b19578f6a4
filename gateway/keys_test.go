package gateway

import "testing"

func TestHashTagsKeepAStreamsKeysTogether(t *testing.T) {
	t.Parallel()
	for stream, want := range map[string]string{"STREAM": "{STREAM}", "{orders}:1": "{orders}", "a{b}c": "{b}", "{a}{b}": "{a}"} {
		if got := hashTag(stream); got != want {
			t.Errorf("%q: %q, want %q", stream, got, want)
		}
	}
	for _, name := range []string{"{}x", "{open", "a}b", "}{"} {
		c := NewStreamConfig()
		c.Name = name
		if len(c.Validate()) == 0 {
			t.Errorf("the name %q is accepted, though no key can be in its slot", name)
		}
	}
}
