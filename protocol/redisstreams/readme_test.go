package redisstreams_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeNamesTheAPI keeps the API list complete: every exported name of the package and of package layout is listed
// with a reason, and no other name is.
func TestReadmeNamesTheAPI(t *testing.T) {
	t.Parallel()
	_, list, _ := strings.Cut(readFile(t, "README.md"), "\n## API\n")
	named := map[string]bool{}
	for row := range strings.Lines(list) {
		names, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), "|")
		for _, match := range regexp.MustCompile("`((layout\\.)?[A-Z][A-Za-z]*)`").FindAllStringSubmatch(names, -1) {
			named[match[1]] = true
		}
	}
	for _, name := range append(exported(t, ".", ""), exported(t, "layout", "layout.")...) {
		if !named[name] {
			t.Errorf("README.md does not say why %s is exported", name)
		}
		delete(named, name)
	}
	for name := range named {
		t.Errorf("README.md names %s, which is not exported", name)
	}
}

// exported returns the exported names of the package in dir, each after prefix, without methods and fields.
func exported(t *testing.T, dir, prefix string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	add := func(name *ast.Ident) {
		if name.IsExported() {
			names = append(names, prefix+name.Name)
		}
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range syntax.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					add(d.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						add(s.Name)
					case *ast.ValueSpec:
						for _, name := range s.Names {
							add(name)
						}
					}
				}
			}
		}
	}
	return names
}

// TestReadmeShowsTheExamples: what README.md shows is what runs as an example, but for the names of server and stream.
func TestReadmeShowsTheExamples(t *testing.T) {
	t.Parallel()
	var examples strings.Builder
	for _, file := range []string{"example_test.go", "example_batch_test.go"} {
		examples.WriteString(readFile(t, file))
	}
	running := plainCode(strings.NewReplacer(
		"exampleRedis()", `"localhost:6379"`, `exampleStream("orders")`, `"orders"`).Replace(examples.String()))
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readFile(t, "README.md"), -1)
	if len(blocks) < 3 {
		t.Fatalf("only %d examples found", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(running, plainCode(block[1])) {
			t.Errorf("no example runs this:\n%s", block[1])
		}
	}
}

// plainCode takes indentation away.
func plainCode(text string) string {
	var plain strings.Builder
	for line := range strings.Lines(text) {
		plain.WriteString(strings.TrimSpace(line) + "\n")
	}
	return plain.String()
}
