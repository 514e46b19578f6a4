package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestConfigAsyncAPI: the document is the same in both formats, and an invalid configuration is an error.
func TestConfigAsyncAPI(t *testing.T) {
	t.Parallel()
	example := filepath.Join(root, "config.example.yaml")
	var fromYAML, fromJSON map[string]any
	stdout, stderr, code := call(t, "", "config", "asyncapi", example)
	if err := yaml.Unmarshal([]byte(stdout), &fromYAML); err != nil || code != exitDone {
		t.Fatalf("exit code %d, %v\n%s", code, err, stderr)
	}
	stdout, stderr, code = call(t, "", "config", "asyncapi", "-o", "json", example)
	if err := json.Unmarshal([]byte(stdout), &fromJSON); err != nil || code != exitDone {
		t.Fatalf("exit code %d, %v\n%s", code, err, stderr)
	}
	a, errA := json.Marshal(fromYAML)
	b, errB := json.Marshal(fromJSON)
	if errA != nil || errB != nil || string(a) != string(b) || fromYAML["asyncapi"] != "3.0.0" {
		t.Errorf("YAML: %v\n%s\nJSON: %v\n%s", errA, a, errB, b)
	}
	for remedy, args := range map[string][]string{
		"write yaml or json": {"config", "asyncapi", "-o", "xml", example},
		"strem":              {"config", "asyncapi", writeFile(t, "strem: []\n")},
	} {
		if stdout, stderr, code := call(t, "", args...); code != exitUsage || stdout != "" ||
			!strings.Contains(stderr, remedy) {
			t.Errorf("%v: exit code %d, %q, %q", args, code, stdout, stderr)
		}
	}
}
