package setting_test

import (
	"testing"

	"github.com/streamgate/streamgate/gateway/setting"
)

func TestPorts(t *testing.T) {
	t.Parallel()
	for port, want := range map[string]bool{"": true, "1": true, "65535": true, "0": false, "65536": false, "-1": false, "x": false} {
		if setting.ValidPort(port) != want {
			t.Errorf("%q: %v", port, !want)
		}
	}
}
