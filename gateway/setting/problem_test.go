package setting_test

import (
	"testing"

	"github.com/streamgate/streamgate/gateway/setting"
)

func TestProblems(t *testing.T) {
	t.Parallel()
	var part, whole setting.Problems
	part.Add("", "itself", "a")
	part.Add("key", "a member", "b")
	part.Add("[1]", "an element", "c")
	part.Add("[1].key.key", "deeper", "d")
	whole.AddAll("outer", part)
	whole.AddAll("unused", nil)
	const want = "outer: itself; a\nouter.key: a member; b\nouter[1]: an element; c\nouter[1].key.key: deeper; d"
	if got := whole.Error(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if part[1].Path != "key" {
		t.Error("the part has been changed")
	}
	if got := setting.Problems(nil).Error(); got != "" {
		t.Errorf("%q", got)
	}
}
