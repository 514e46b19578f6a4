package redistest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// requireServers is the environment variable with which tests fail, rather than skip, if a server is missing; CI sets
// it to 1.
const requireServers = "STREAMGATE_REQUIRE_SERVERS"

// Flavor is one server program to test with.
type Flavor struct {
	// Name is the program and version that it reports, such as "redis-7.0.15" or "valkey-9.1.2".
	Name string
	// Binary is the path of the program, for WithBinary.
	Binary string
}

// wantedFlavors are the wrappers that internal/tools/install-redis-versions.sh puts into bin/servers.
func wantedFlavors() []string { return []string{"redis-8", "valkey"} }

// Flavors returns the installed servers: first the default of [Start], then those that `make test-deps` has put into
// bin/servers, each version once. If one of these is missing and STREAMGATE_REQUIRE_SERVERS is 1, the test fails. It
// must be called from the goroutine of t.
func Flavors(t testing.TB) []Flavor {
	t.Helper()
	var here []Flavor
	for _, c := range candidates(t) {
		if c.err == nil {
			here = append(here, c.flavor)
		} else if os.Getenv(requireServers) == "1" {
			t.Fatal(c.err)
		}
	}
	return here
}

// EachFlavor runs f as a parallel subtest with each server that [Flavors] looks for. The subtest of a missing server is
// skipped, so that the output shows what was not tested, or fails if STREAMGATE_REQUIRE_SERVERS is 1.
func EachFlavor(t *testing.T, f func(t *testing.T, flavor Flavor)) {
	t.Helper()
	for _, c := range candidates(t) {
		t.Run(c.flavor.Name, func(t *testing.T) {
			t.Parallel()
			if c.err != nil {
				missingServer(t, c.err)
			}
			f(t, c.flavor)
		})
	}
}

// missingServer ends a test whose server is missing.
func missingServer(t testing.TB, err error) {
	t.Helper()
	if os.Getenv(requireServers) == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// candidate is an installed flavor or, with the name of its wrapper, the reason why it is missing.
type candidate struct {
	flavor Flavor
	err    error
}

func candidates(t testing.TB) []candidate {
	t.Helper()
	standard, err := standardBinary()
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	root, err := moduleRoot()
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	return examine(standard, filepath.Join(root, "bin", "servers"))
}

// examine returns the server at standard and the wanted ones in dir, with the names that they report.
func examine(standard, dir string) []candidate {
	first := inspect(filepath.Base(standard), standard)
	list := []candidate{first}
	seen := map[string]bool{first.flavor.Name: true}
	for _, name := range wantedFlavors() {
		c := inspect(name, filepath.Join(dir, name))
		if !seen[c.flavor.Name] {
			list = append(list, c)
		}
		seen[c.flavor.Name] = true
	}
	return list
}

func inspect(name, binary string) candidate {
	output, err := exec.Command(binary, "--version").Output()
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s is missing: install it with `make test-deps`", binary)
	} else if err != nil {
		err = fmt.Errorf("%s does not run: %w; reinstall it with `rm -r bin/servers && make test-deps`", binary, err)
	}
	if err != nil {
		return candidate{flavor: Flavor{Name: name}, err: err}
	}
	reported, err := flavorName(binary, string(output))
	if err != nil {
		return candidate{flavor: Flavor{Name: name}, err: err}
	}
	return candidate{flavor: Flavor{Name: reported, Binary: binary}}
}

// flavorName returns "redis-8.6.3" for "Redis server v=8.6.3 sha=00000000:0 ...".
func flavorName(binary, version string) (string, error) {
	match := regexp.MustCompile(`^(\w*) *[Ss]erver v=(\S+)`).FindStringSubmatch(version)
	if match == nil {
		return "", fmt.Errorf("%s --version prints %q, which does not name a server", binary,
			strings.TrimSpace(version))
	}
	product := strings.ToLower(match[1])
	if product == "" {
		product = "valkey" // Valkey 7.2 does not print its name
	}
	return product + "-" + match[2], nil
}

// moduleRoot searches the parent directories for go.mod, because tests run in the directories of their packages.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the module: no go.mod above the working directory")
		}
		dir = parent
	}
}
