package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/streamgate/streamgate/config"
	"github.com/streamgate/streamgate/gateway/source/builtin"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/internal/redistest"
)

const root = "../.."

// documents returns the text of README.md and of everything under docs.
func documents(t *testing.T) map[string]string {
	t.Helper()
	files := []string{filepath.Join(root, "README.md")}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, _ os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") && !strings.Contains(path, "interop") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(text)
	}
	return texts
}

// TestEveryYAMLBlockIsAConfiguration: every YAML block of the documents is a complete, valid configuration.
func TestEveryYAMLBlockIsAConfiguration(t *testing.T) {
	t.Parallel()
	blocks := 0
	for file, text := range documents(t) {
		for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1) {
			blocks++
			_, err := config.Parse(file, []byte(m[1]), config.Options{
				Types: builtin.Types(), LookupEnv: func(string) (string, bool) { return "", false },
			})
			if err != nil {
				t.Errorf("a block of %s is not a valid configuration:\n%v\n%s", file, err, m[1])
			}
		}
	}
	if blocks < 4 {
		t.Errorf("found only %d blocks", blocks)
	}
}

// TestEveryCommandOfTheDocsWorks runs the blocks marked "run: client" against a gateway started as "run: server" says,
// in the order of the documents, with this program instead of bin/streamgate and free ports instead of the default
// ones.
func TestEveryCommandOfTheDocsWorks(t *testing.T) {
	t.Parallel()
	texts := documents(t)
	readme := texts[filepath.Join(root, "README.md")]
	server := block(readme, "server")
	if len(server) != 1 || !strings.Contains(server[0], "bin/streamgate serve\n") {
		t.Fatalf("the README starts the gateway with %q", server)
	}
	gateway := startProcess(t, "serve", "--config", writeFile(t, freePorts))
	events, operators := gateway.addresses()
	awaitReady(t, operators)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range texts {
		for _, commands := range block(text, "client") {
			script := strings.NewReplacer("http://127.0.0.1:8080", events, "http://127.0.0.1:8081", operators,
				"bin/streamgate send", "bin/streamgate send --url "+events).Replace(commands)
			script = strings.ReplaceAll(script, "bin/streamgate", "'"+self+"'")
			shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
			shell.Dir, shell.Env = gateway.cmd.Dir, append(os.Environ(), asProgram+"=1")
			output, err := shell.CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v\n%s\n%s", file, err, script, output)
			}
			if strings.Contains(file, "README") && (!strings.Contains(string(output), " 202 ") ||
				!strings.Contains(string(output), `"status":"ready"`) ||
				strings.Count(string(output), "example.com/items/S2B_10TFK") == 0) {
				t.Errorf("%s: the commands did not print what is expected:\n%s", file, output)
			}
		}
	}
	if code := gateway.end(syscall.SIGTERM); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

// TestCommandsForDeadLettersOfTheDocs runs the blocks marked "run: dead letters" against a gateway with the
// configuration above them, whose sink rejects every event that is neither redriven nor replayed.
func TestCommandsForDeadLettersOfTheDocs(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var mu sync.Mutex
	counts := map[string]int{}
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case r.Header.Get("Ce-Redrive") != "":
			counts["redriven"]++
		case r.Header.Get("Ce-Replay") != "":
			counts["replayed"]++
		default:
			counts["refused"]++
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
	}))
	t.Cleanup(sink.Close)
	text := documents(t)[filepath.Join(root, "docs/operations.md")]
	file := regexp.MustCompile("(?s)<!-- config: dead letters -->\n```yaml\n(.*?)```").FindStringSubmatch(text)
	blocks := block(text, "dead letters")
	if file == nil || len(blocks) != 4 {
		t.Fatalf("%d blocks, configuration %q", len(blocks), file)
	}
	p := startProcess(t, "serve", "--config", writeFile(t, strings.ReplaceAll(file[1], "http://localhost:9000/",
		sink.URL)+
		"redis: { url: '"+server.URL()+"' }\n"+freePorts))
	events, operators := p.addresses()
	awaitReady(t, operators)
	for _, id := range []string{"1", "2", "3"} {
		if code := postEvent(events, id); code != http.StatusAccepted {
			t.Fatalf("status %d", code)
		}
	}
	redistest.Eventually(t, "the dead letters are stored", func() bool {
		return server.Client().XLen(t.Context(), state.DeadLetterStream("events")).Val() == 3
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer("http://127.0.0.1:8081", operators, "bin/streamgate",
		"'"+self+"'").Replace(strings.Join(blocks, ""))
	shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	shell.Dir, shell.Env = p.cmd.Dir, append(os.Environ(), asProgram+"=1", "STREAMGATE_REDIS_URL="+server.URL())
	output, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, part := range []string{"1 discarded", "2 would be redriven", "2 redriven", "3 events replayed",
		"moved to 0: 3 entries", `"deadLetters":[`, `"dryRun":true`} {
		if !strings.Contains(string(output), part) {
			t.Errorf("the commands do not print %q:\n%s", part, output)
		}
	}
	redistest.Eventually(t, "all events are delivered", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return counts["redriven"] == 2 && counts["replayed"] == 3 && counts["refused"] == 6
	})
}

// block returns the shell blocks that have this mark.
func block(text, mark string) []string {
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)<!-- run: "+mark+" -->\n```sh\n(.*?)```").FindAllStringSubmatch(text,
		-1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// TestEveryMakeTargetOfTheDocsExists: every make target that the documents name is in the Makefile.
func TestEveryMakeTargetOfTheDocsExists(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range documents(t) {
		for _, m := range regexp.MustCompile("(?m)(?:^|`)make ([a-z-]+)").FindAllStringSubmatch(text, -1) {
			if !strings.Contains(string(makefile), "\n"+m[1]+":") {
				t.Errorf("%s names make %s, which does not exist", file, m[1])
			}
		}
	}
}

// TestLinksOfTheDocsLeadSomewhere: the target of every relative link in the documents exists.
func TestLinksOfTheDocsLeadSomewhere(t *testing.T) {
	t.Parallel()
	for file, text := range documents(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}
