package knative_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgate/streamgate/cmd/streamgate/knative"
	"github.com/streamgate/streamgate/config"
	"github.com/streamgate/streamgate/gateway/source/builtin"
)

var update = flag.Bool("update", false, "write the golden files")

func load(text []byte) (*config.Config, error) {
	return config.Parse("result", text, config.Options{Types: builtin.Types(), LookupEnv: func(string) (string, bool) {
		return "", false
	}})
}

// TestImport: each file of testdata gives the configuration in the golden file beside it, which is valid.
func TestImport(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(filepath.Clean(file))
			if err != nil {
				t.Fatal(err)
			}
			result, err := knative.Import([]knative.File{{Name: file, Data: data}})
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, result.YAML, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(filepath.Clean(golden))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(result.YAML)); diff != "" {
				t.Error(diff)
			}
			if _, err := load(result.YAML); err != nil {
				t.Error(err)
			}
			for _, note := range result.Notes {
				if !strings.Contains(string(result.YAML), "\n# "+note+"\n") {
					t.Errorf("the result does not contain the note: %s", note)
				}
			}
		})
	}
}

// TestReferencesAcrossFiles: a manifest can refer to one in another file, in either order.
func TestReferencesAcrossFiles(t *testing.T) {
	t.Parallel()
	trigger := knative.File{Name: "a", Data: []byte(`{apiVersion: eventing.knative.dev/v1, kind: Trigger, metadata: {name: t}, spec: {broker: b, subscriber: {uri: "http://x"}}}`)}
	broker := knative.File{Name: "b", Data: []byte(`{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: b}, spec: {delivery: {retry: 7}}}`)}
	for _, files := range [][]knative.File{{trigger, broker}, {broker, trigger}} {
		result, err := knative.Import(files)
		if err != nil || len(result.Notes) != 0 {
			t.Fatal(result, err)
		}
		c, err := load(result.YAML)
		if err != nil || len(c.Gateway.Subscriptions) != 1 || c.Gateway.Subscriptions[0].Delivery.Retry != 7 {
			t.Errorf("%v\n%s", err, result.YAML)
		}
	}
}

// TestNoManifests: a file without manifests is an error that names the file and the problem.
func TestNoManifests(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a: [": "read f: not valid YAML: ",
		"streams: []": "read f: the document at line 1 is not a manifest: apiVersion or kind is " +
			"missing",
		"--- x":                          "read f: the document at line 1 is not a manifest: ",
		"kind: [a]":                      "read f: the document at line 1 is not a manifest: ",
		"kind: Broker":                   "apiVersion or kind is missing",
		list(list(list(list(list(""))))): "lists within lists",
	} {
		if _, err := knative.Import([]knative.File{{Name: "f", Data: []byte(text)}}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func list(items string) string { return "{apiVersion: v1, kind: List, items: [" + items + "]}" }

// FuzzImport: no input panics, and every result is valid.
func FuzzImport(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{
		"{apiVersion: eventing.knative.dev/v1, kind: Trigger, metadata: {name: t}, spec: {subscriber: {uri: !!binary " +
			"/w==}, filters: [{exact: {? [a] : b}}]}}",
		"{apiVersion: eventing.knative.dev/v1, kind: \"a\\e\\x85b\", metadata: {name: t}}",
		list("&a {apiVersion: v1, kind: List, items: [*a]}"),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		result, err := knative.Import([]knative.File{{Name: "f", Data: text}})
		if err != nil {
			return
		}
		if _, err := load(result.YAML); err != nil {
			t.Errorf("%q becomes\n%s\nwhich is refused: %v", text, result.YAML, err)
		}
	})
}
