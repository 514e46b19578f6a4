package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/config"
)

// TestOperatorsReferenceIsComplete: docs/operations.md names every address that the operators' listener serves, every
// flag of serve, and every environment variable that overrides a key.
func TestOperatorsReferenceIsComplete(t *testing.T) {
	t.Parallel()
	operations := documents(t)[filepath.Join(root, "docs/operations.md")]
	route, routes := regexp.MustCompile(`"((?:GET|POST|PUT|PATCH|DELETE) /[^"\s]*)"`), 0
	for _, dir := range []string{"gateway/admin", "gateway/subscriptions"} {
		for file, text := range filesBelow(t, filepath.Join(root, dir), ".go") {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, m := range route.FindAllStringSubmatch(text, -1) {
				routes++
				if !strings.Contains(operations, "`"+m[1]+"`") {
					t.Errorf("docs/operations.md has no row for %s, which %s serves", m[1], file)
				}
			}
		}
	}
	if routes < 10 {
		t.Errorf("found only %d routes", routes)
	}
	for _, m := range regexp.MustCompile(`--[a-z-]+`).FindAllString(newServe().Flags().FlagUsages(), -1) {
		if !strings.Contains(operations, "`"+m) {
			t.Errorf("docs/operations.md does not describe %s", m)
		}
	}
	for _, name := range config.EnvNames() {
		if !strings.Contains(operations, "`"+name+"`") {
			t.Errorf("docs/operations.md does not name %s", name)
		}
	}
}
