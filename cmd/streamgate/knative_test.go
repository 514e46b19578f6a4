package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/streamgate/streamgate/internal/redistest"
)

// TestServeUnderKnative: with K_SINK and without a file, events arrive at that sink, with the overrides.
func TestServeUnderKnative(t *testing.T) {
	t.Parallel()
	got := make(chan string, 10)
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Ce-Id") + " " + r.Header.Get("Ce-Team")
	}))
	t.Cleanup(sink.Close)
	p := startProcessWith(t, []string{
		"K_SINK=" + sink.URL, `K_CE_OVERRIDES={"extensions":{"team":"a"}}`, "PORT=0",
		"STREAMGATE_ADMIN_ADDRESS=127.0.0.1:0",
		"STREAMGATE_REDIS_URL=" + redistest.Start(t).URL(),
	}, "serve")
	address := p.await(`events in +POST (http://\S+)/\{stream\}`)
	port := regexp.MustCompile(`^http://\[::\]:(\d+)$|^http://0\.0\.0\.0:(\d+)$`).FindStringSubmatch(address)
	if port == nil {
		t.Fatalf("the gateway listens on %s", address)
	}
	events, operators := "http://127.0.0.1:"+port[1]+port[2], p.await(`operators +(http://\S+)/healthz`)
	awaitReady(t, operators)
	if code := postEvent(events, "1"); code != http.StatusAccepted {
		t.Fatalf("status %d", code)
	}
	if event := <-got; event != "1 a" {
		t.Errorf("the sink got %q", event)
	}
	if code := p.end(syscall.SIGTERM); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

// TestImportOfTheDocs: the import prints what docs/knative.md shows, and its result is valid.
func TestImportOfTheDocs(t *testing.T) {
	t.Parallel()
	text := documents(t)[filepath.Join(root, "docs/knative.md")]
	shown := regexp.MustCompile("(?s)```text\n(.*?)```").FindStringSubmatch(text)
	if commands := block(text, "import"); shown == nil || len(commands) != 1 || strings.Count(commands[0], "\n") != 2 {
		t.Fatalf("%q %q", commands, shown)
	}
	yamlText, notes, code := call(t, "", "import", "knative", filepath.Join(root, "docs/examples/knative/broker.yaml"))
	if code != exitDone {
		t.Fatalf("exit code %d: %s", code, notes)
	}
	file := writeFile(t, yamlText)
	verdict, talk, code := call(t, "", "validate", file)
	if got := notes + strings.ReplaceAll(verdict, file, "streamgate.yaml"); got != shown[1] || code != exitDone {
		t.Errorf("%d %s\n%s\nwant\n%s", code, talk, got, shown[1])
	}
}

func TestImportKnativeErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		stdin, file, want string
		code              int
	}{
		{"apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: { name: b }\n", "-", "", exitDone},
		{"a: [", "-", "streamgate: read -: not valid YAML", exitUsage},
		{"", "no-such-file", "streamgate: read the manifests: open no-such-file", exitUsage},
	} {
		stdout, stderr, code := call(t, c.stdin, "import", "knative", c.file)
		if code != c.code || !strings.HasPrefix(stderr, c.want) || (code == exitDone) != strings.Contains(stdout,
			"path: /default/b\n") {
			t.Errorf("%s: %d %q %q", c.file, code, stdout, stderr)
		}
	}
}

// TestImportStrict: the result is written all the same, and the exit code tells scripts that it is not complete.
func TestImportStrict(t *testing.T) {
	t.Parallel()
	complete := "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: { name: b }\n"
	for manifests, want := range map[string]int{
		complete: exitDone,
		complete + "---\napiVersion: v1\nkind: Service\nmetadata: { name: s }\n":                                    exitFailed,
		"apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: { name: b }\nspec: { config: { kind: x } }\n": exitFailed,
	} {
		stdout, stderr, code := call(t, manifests, "import", "knative", "--strict", "-")
		if code != want || !strings.Contains(stdout, "path: /default/b\n") || (want == exitFailed) != strings.Contains(stderr, "(--strict)") {
			t.Errorf("%s: %d, want %d: %s", manifests, code, want, stderr)
		}
		if _, _, code := call(t, manifests, "import", "knative", "-"); code != exitDone {
			t.Errorf("without --strict: %d", code)
		}
	}
}

// workload is the part of a manifest with containers that the test checks.
type workload struct {
	APIVersion string                `yaml:"apiVersion"`
	Kind       string                `yaml:"kind"`
	Metadata   struct{ Name string } `yaml:"metadata"`
	Spec       struct {
		Template struct {
			Spec struct {
				Containers []struct {
					Args []string
					Env  []map[string]string
				}
			}
		}
	} `yaml:"spec"`
}

// TestKnativeManifestsOfTheDocs: the manifests have the documented kinds, and run this program without a file.
func TestKnativeManifestsOfTheDocs(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][]string{
		"container-source.yaml": {"ContainerSource"}, "sink-binding.yaml": {"SinkBinding", "Deployment"},
	} {
		text, err := os.ReadFile(filepath.Join(root, "docs/examples/knative", file))
		if err != nil {
			t.Fatal(err)
		}
		decoder := yaml.NewDecoder(strings.NewReader(string(text)))
		containers := 0
		for _, kind := range want {
			var m workload
			if err := decoder.Decode(&m); err != nil || m.Kind != kind || m.APIVersion == "" ||
				m.Metadata.Name != "streamgate" {
				t.Errorf("%s: %+v, %v", file, m, err)
			}
			for _, c := range m.Spec.Template.Spec.Containers {
				containers++
				if len(c.Args) != 1 || c.Args[0] != "serve" || len(c.Env) == 0 || c.Env[0]["name"] != "PORT" {
					t.Errorf("%s: %+v", file, c)
				}
			}
		}
		if containers != 1 {
			t.Errorf("%s: %d containers", file, containers)
		}
	}
}

// TestKnativePointsAreTested: every test that docs/knative.md cites exists.
func TestKnativePointsAreTested(t *testing.T) {
	t.Parallel()
	var files []string
	for _, pattern := range []string{"gateway/*_test.go", "gateway/*/*_test.go"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	var tests strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(text)
	}
	names := regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(documents(t)[filepath.Join(root,
		"docs/knative.md")], -1)
	if len(names) < 15 {
		t.Fatalf("found only %d cited tests", len(names))
	}
	for _, name := range names {
		if !strings.Contains(tests.String(), "\nfunc "+name[1]+"(t *testing.T)") {
			t.Errorf("the test %s does not exist", name[1])
		}
	}
}
