package redistest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestEachFlavor(t *testing.T) {
	t.Parallel()
	EachFlavor(t, func(t *testing.T, flavor Flavor) {
		s := Start(t, WithBinary(flavor.Binary))
		version := s.field("server", "valkey_version")
		if version == "" {
			version = s.field("server", "redis_version")
		}
		if !strings.HasSuffix(flavor.Name, "-"+version) {
			t.Errorf("flavor %s runs version %s", flavor.Name, version)
		}
		set(t, s, "k", "v")
	})
}

func TestFlavors(t *testing.T) {
	t.Parallel()
	flavors := Flavors(t)
	if len(flavors) == 0 {
		t.Fatal("no flavors")
	}
	seen := make(map[string]bool)
	for _, f := range flavors {
		if seen[f.Name] || f.Binary == "" {
			t.Errorf("flavor %+v", f)
		}
		seen[f.Name] = true
	}
}

func TestExamineServers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program(t, filepath.Join(dir, "standard"), "echo 'Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0'")
	program(t, filepath.Join(dir, "valkey"), "echo 'Server v=7.2.8 sha=00000000:0'")
	list := examine(filepath.Join(dir, "standard"), dir)
	if len(list) != 3 || list[0].flavor.Name != "redis-7.0.15" || list[2].flavor.Name != "valkey-7.2.8" {
		t.Errorf("candidates %+v", list)
	}
	if err := list[1].err; list[1].flavor.Name != "redis-8" || err == nil ||
		!strings.Contains(err.Error(), "make test-deps") {
		t.Errorf("missing server: %+v, want the remedy", list[1])
	}

	program(t, filepath.Join(dir, "redis-8"), "echo 'Redis server v=7.0.15 sha=00000000:0'")
	program(t, filepath.Join(dir, "valkey"), "exit 127")
	list = examine(filepath.Join(dir, "standard"), dir)
	if len(list) != 2 || list[1].err == nil || !strings.Contains(list[1].err.Error(), "does not run") {
		t.Errorf("candidates %+v, want the same version once and a broken server", list)
	}

	if name, err := flavorName("x", "bash 5.2"); err == nil {
		t.Errorf("flavorName = %q, want an error", name)
	}
}

// program writes a shell script. A shell writes it, because a child that another test forks would inherit the open file
// of this process, and the script could not be executed until that child calls exec ("text file busy").
func program(t *testing.T, path, script string) {
	t.Helper()
	write := `printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod +x "$1"`
	if output, err := exec.Command("sh", "-c", write, "sh", path, script).CombinedOutput(); err != nil {
		t.Fatalf("write %s: %v\n%s", path, err, output)
	}
}
