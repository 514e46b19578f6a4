package config_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgate/streamgate/config"
	"github.com/streamgate/streamgate/gateway/source/builtin"
)

var update = flag.Bool("update", false, "write the golden files")

// env returns a lookup in an environment that contains only these variables.
func env(pairs ...string) config.Options {
	return config.Options{Types: builtin.Types(), LookupEnv: func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}}
}

// TestCorpus: the good files of testdata load, and the bad ones give exactly the findings in the golden file beside
// them.
func TestCorpus(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			if !regexp.MustCompile(`\.(good|bad)\.yaml$`).MatchString(file) {
				t.Fatal("the name contains neither good nor bad")
			}
			_, err := config.Load(file, env("HOST", "redis.example.com", "EMPTY", "", "N", "262144"))
			if strings.HasSuffix(file, ".good.yaml") {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var wrong *config.Error
			if !errors.As(err, &wrong) {
				t.Fatalf("error %v, want findings", err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			got := strings.ReplaceAll(wrong.Error(), file, filepath.Base(file)) + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(filepath.Clean(golden))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
			for _, f := range wrong.Findings {
				if f.Problem == "" || f.Remedy == "" || f.Line == 0 || strings.Contains(f.String(), "\n") ||
					strings.Contains(f.Problem, "decoded") {
					t.Errorf("a finding without problem, remedy or position, with several lines, or from the decoder "+
						"alone: %+v", f)
				}
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := config.Default(env())
	if err != nil {
		t.Fatal(err)
	}
	if c.Redis.URL != config.Embedded || c.Gateway.Server.Address != "127.0.0.1:8080" ||
		c.Admin.Address != "127.0.0.1:8081" ||
		len(c.Gateway.Streams) != 1 || c.Gateway.Streams[0].Name != "events" {
		t.Errorf("%+v", c)
	}
}

// FuzzParse: no input panics, and every refusal tells where and why.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "../config.example.yaml") {
		text, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		variables := env("A", "1", "HOST", "h", "EMPTY", "")
		c, err := config.Parse("fuzz", text, variables)
		if err == nil {
			if problems := append(c.Gateway.Validate(), c.Redis.Validate()...); len(problems) > 0 {
				t.Errorf("%q: a configuration was accepted that is not valid: %v", text, problems)
			}
			return
		}
		var wrong *config.Error
		if !errors.As(err, &wrong) || len(wrong.Findings) == 0 {
			t.Fatalf("%q: %v", text, err)
		}
		for _, f := range wrong.Findings {
			if f.Problem == "" || f.Remedy == "" || strings.Contains(f.String(), "\n") ||
				strings.Contains(f.Problem, "the value cannot be decoded") {
				t.Errorf("%q: %+v", text, f)
			}
		}
		if _, again := config.Parse("fuzz", text, variables); again == nil || again.Error() != err.Error() {
			t.Errorf("%q gives first\n%v\nand then\n%v", text, err, again)
		}
	})
}

// TestFindingParts: a value with "; " in it does not change where the problem ends and the remedy begins.
func TestFindingParts(t *testing.T) {
	t.Parallel()
	_, err := config.Parse("f", []byte("server: { shutdownTimeout: 'a; b' }"), env())
	want := []config.Finding{{
		File: "f", Line: 1, Column: 28, Key: "server.shutdownTimeout", Problem: `"a; b" is not a valid duration`,
		Remedy: "write a number with a unit, like 30s, 5m, 168h or PT30S",
	}}
	var wrong *config.Error
	if !errors.As(err, &wrong) || cmp.Diff(want, wrong.Findings) != "" {
		t.Errorf("%+v", err)
	}
}

// TestDeepAndWide: deeply nested or often repeated content does not take long, and is refused or accepted as usual.
func TestDeepAndWide(t *testing.T) {
	t.Parallel()
	subscription := func(filter string) string {
		return "streams: [{ name: events }]\nsubscriptions: [{ name: a, stream: events, sink: { uri: 'http://x' }, " +
			"filters: [" + filter + "] }]"
	}
	for name, c := range map[string]struct{ text, want string }{
		"deep": {subscription(strings.Repeat("{ not: ", 500) + "{ exact: { type: a } }" +
			strings.Repeat(" }", 500)), "nested deeper than"},
		"deeper":         {subscription(strings.Repeat("{ all: [", 20_000)), "not valid YAML"},
		"many streams":   {"streams: [" + strings.Repeat("{ name: S },", 3000) + "]", "there are two streams"},
		"many variables": {"streams: [" + strings.Repeat("$x,", 3000) + "]", "a single $"},
		"aliases": {"x-0: &x0 [x, x, x, x, x, x, x, x, x, x]\n" + bomb(9) + "streams: *x9",
			"the aliases stand for more than 20000 values"},
		"merges": {strings.ReplaceAll("x-0: &x0 { a: 1 }\n"+bomb(9), ": [", ": [&y { <<: *x0 }, ") + "streams: *x9",
			"the aliases stand for more than 20000 values"},
	} {
		if _, err := config.Parse("f", []byte(c.text), env()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}

// bomb returns lists of aliases, each of which stands for ten times as many values as the one before.
func bomb(levels int) string {
	var b strings.Builder
	for i := 1; i <= levels; i++ {
		fmt.Fprintf(&b, "x-%d: &x%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*x%d, ", i-1), 10), ", "))
	}
	return b.String()
}

// TestAliases: an alias stands for the value of its anchor, << merges, and the keys of a mapping itself take
// precedence.
func TestAliases(t *testing.T) {
	t.Parallel()
	c, err := config.Load("testdata/alias.good.yaml", env())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range c.Gateway.Subscriptions {
		s := &c.Gateway.Subscriptions[i]
		got = append(got, fmt.Sprint(s.Name, s.Stream, s.Sink.URI, s.Delivery.Retry, s.Delivery.Timeout,
			s.Delivery.BackoffDelay, s.Delivery.Deadline))
	}
	want := []string{
		"aeventshttp://127.0.0.1:9/3 3s 5s 36h0m0s", "beventshttp://127.0.0.1:9/3 3s 5s 36h0m0s",
		"ceventshttp://127.0.0.1:9/7 3s 5s 36h0m0s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestSyntaxErrors: each error of the YAML library has the line, and where it is clear the column, of the mistake.
func TestSyntaxErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a: 1\nb: x\x01\n": "f:2:5: not valid YAML: the control character U+0001", "a: b: c\n": "f:1:1: ",
		"a: 1\n\nb: *nosuch\n": "f:3:1: ", "a: 1\n\tb: 2\n": "f:2:1: not valid YAML: the line is indented with a tab",
		"a:\n  - 'x'\n  - 'y\nb: c\n":             "f:3:3: not valid YAML: a quoted text that begins here is not closed",
		"a: 1\nb: 2\n c: 3\n":                     "f:3:2: ",
		"- a\nb: c\n":                             "f:2:1: ",
		"a: 1\nb: ]\nc: 3\n":                      "f:2:1: ",
		"streams:\n- a: b\n  c: d\n e: f\ng: h\n": "f:4:2: ",
		"a: {b: c\n":                              "f:1:1: ", "%FOO x\n---\na: 1\n": "f:1:1: ", "a: @x\n": "f:1:4: ",
		"é: caf\xe9\n":  "f:1:7: not valid YAML: the byte 0xE9 is not valid UTF-8",
		"a: 1\nb: \xe9": "f:2:4: ", "a: x\ufeffy\n": "f:1:5: ", "a: 1\n---\nb: [\n": "f:3:1: ",
	} {
		_, err := config.Parse("f", []byte(text), env())
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v; want %s", text, err, want)
		}
	}
}

// TestSuggestions: only a key that is almost the one written is suggested.
func TestSuggestions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"streams: [{ auth: x }]": "the keys here are", "straems: []": "did you mean streams?", "redsi: {}": "did you mean redis?",
		"server: { max_event_bytes: 1 }": "did you mean maxEventBytes?",
	} {
		if _, err := config.Parse("f", []byte(text), env()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %s", text, err, want)
		}
	}
}

// TestLoad: files that are empty, too large or missing.
func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	large := filepath.Join(dir, "large.yaml")
	if err := os.WriteFile(large, []byte(strings.Repeat("# comment\n", 1<<17)), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{large: "is larger than 1048576 bytes", dir: "directory",
		filepath.Join(dir, "nosuch"): "no such file"} {
		if _, err := config.Load(file, env()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
