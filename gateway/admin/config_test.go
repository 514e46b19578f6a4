package admin_test

import (
	"testing"

	"github.com/streamgate/streamgate/gateway/admin"
)

func TestAddress(t *testing.T) {
	t.Parallel()
	for address, isRefused := range map[string]bool{"127.0.0.1:0": false, "10.0.0.1:80": true, "80": true} {
		c := admin.Config{Address: address}
		problems := c.Validate()
		if isRefused && (len(problems) != 1 || problems[0].Path != "address") || !isRefused && len(problems) > 0 {
			t.Errorf("%s: %v", address, problems)
		}
	}
	open := admin.Config{Address: "10.0.0.1:80", AllowAnonymous: true}
	if problems := open.Validate(); len(problems) > 0 {
		t.Error(problems)
	}
}
