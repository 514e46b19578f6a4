package stream

import (
	"testing"
)

func TestStreamNamesAreHashTagsOrNone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"{}x", "{open", "a}b", "}{"} {
		c := NewConfig()
		c.Name = name
		if len(c.Validate()) == 0 {
			t.Errorf("the name %q is accepted, though no key can be in its slot", name)
		}
	}
}
