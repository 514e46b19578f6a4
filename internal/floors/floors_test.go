// Package floors holds the rules of the house that a compiler cannot: which package may import which, and a few things
// that no file may do. It has tests only; docs/architecture.md and CONTRIBUTING.md tell the reasons.
package floors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/streamgate/streamgate"

const (
	sdkGo   = "github.com/cloudevents/sdk-go/v2"
	goRedis = "github.com/redis/go-redis"
	uuid    = "github.com/google/uuid"
	viper   = "github.com/spf13/viper"

	cron       = "github.com/adhocore/gronx"
	httpGuts   = "golang.org/x/net/http/httpguts"
	jsonSchema = "github.com/santhosh-tekuri/jsonschema"
	prometheus = "github.com/prometheus/client_golang"
	rate       = "golang.org/x/time"

	miniredis = "github.com/alicebob/miniredis"
)

// floor places a package (and its subfolders, where subtree says so): it may import packages of lower floors, and of
// its own floor only its own subfolders. Paths are relative to the module.
type floor struct {
	path      string
	subtree   bool
	level     int
	onlyThese []string // modules outside the standard library that it may import; nil means any, empty means none
	testsAlso []string // packages of higher floors that its tests may import, to try it as a part of the whole
}

// house lists every package outside internal/. A new package gets its floor here.
func house() []floor {
	return []floor{
		{path: "protocol/rawevent", level: 0, onlyThese: []string{}},
		{path: "protocol/redisstreams", level: 1, onlyThese: []string{sdkGo, goRedis, uuid}},
		{path: "protocol/redisstreams/layout", level: 2, onlyThese: []string{}},
		// What several share.
		{path: "gateway/foreign", level: 0, onlyThese: []string{}},
		{path: "gateway/peer", level: 1, onlyThese: []string{}},
		{path: "gateway/backoff", level: 2, onlyThese: []string{}},
		{path: "gateway/guard", level: 2, onlyThese: []string{}},
		{path: "gateway/setting", level: 2, onlyThese: []string{}},
		{path: "gateway/state", level: 3, onlyThese: []string{goRedis, uuid}},
		// What is done with one event.
		{path: "gateway/area", level: 3, onlyThese: []string{}},
		{path: "gateway/cesql", level: 3, onlyThese: []string{}},
		{path: "gateway/schema", level: 3, onlyThese: []string{jsonSchema}},
		{path: "gateway/template", level: 3, onlyThese: []string{}},
		{path: "gateway/webhook", level: 3, onlyThese: []string{rate}},
		{path: "gateway/filter", level: 4, onlyThese: []string{}},
		{path: "gateway/sink", level: 4, onlyThese: []string{goRedis}},
		{path: "gateway/transform", level: 4, onlyThese: []string{}},
		// What moves events.
		{path: "gateway/deadletter", level: 5, onlyThese: []string{goRedis}},
		{path: "gateway/replay", level: 5, onlyThese: []string{goRedis, rate}},
		{path: "gateway/source", level: 5, onlyThese: []string{goRedis, uuid}},
		{path: "gateway/stream", level: 5, onlyThese: []string{goRedis, prometheus}},
		{path: "gateway/delivery", level: 6, onlyThese: []string{goRedis, prometheus, rate}},
		{path: "gateway/ingress", level: 6, onlyThese: []string{prometheus}},
		{path: "gateway/source/stacapi", level: 2, onlyThese: []string{httpGuts, rate}}, // a client to be imported alone
		{path: "gateway/source/stac", level: 6, onlyThese: []string{uuid, httpGuts, rate}, testsAlso: []string{"gateway"}},
		{
			path: "gateway/source/builtin", level: 7, onlyThese: []string{goRedis, uuid, cron, httpGuts, rate},
			testsAlso: []string{"gateway"},
		},
		// What an operator sees.
		{path: "gateway", level: 8},
		{path: "gateway/admin", level: 9, subtree: true},
		{path: "gateway/asyncapi", level: 9, onlyThese: []string{}},
		{path: "gateway/subscriptions", level: 9},
		{path: "config", level: 10},
		{path: "cmd", level: 11, subtree: true},
		{path: "docs/interop", level: 11, subtree: true}, // programs of `make interop`
	}
}

// room is a package under internal/: it imports no other package of the module, and only its users import it; tests
// says whether any test may, too. In lists of users "a/..." stands for a and its subfolders.
type room struct {
	path  string
	users []string
	tests bool
}

func rooms() []room {
	return []room{
		{path: "internal/charset", users: []string{"protocol/rawevent", "gateway/foreign"}},
		{path: "internal/embeddedredis", users: []string{"cmd/..."}},
		{path: "internal/floors"},
		{path: "internal/redistest", tests: true},
		{path: "internal/stacsample", users: []string{"cmd/..."}, tests: true},
	}
}

// guarded is a module outside of ours that only its users import.
type guarded struct {
	module    string
	users     []string
	testUsers []string // whose tests may, too; nil means any
	why       string
}

func guards() []guarded {
	found := []guarded{
		{module: viper, users: []string{"config"}, testUsers: []string{"config"}, why: "config alone knows the YAML"},
		{module: miniredis, users: []string{"internal/embeddedredis"}, why: "it is no proof in tests and no store in production"},
		{
			module: goRedis, why: "the others use the gateway's public face",
			users: []string{
				"protocol/redisstreams/...", "gateway", "gateway/state", "gateway/sink", "gateway/deadletter", "gateway/replay",
				"gateway/source", "gateway/source/builtin", "gateway/stream", "gateway/delivery", "gateway/subscriptions", "config",
				"cmd/...", "docs/interop/...", "internal/...",
			},
		},
	}
	for _, helper := range testHelpers() {
		found = append(found, guarded{module: helper, users: []string{"internal/redistest"}, why: "only tests use it"})
	}
	return found
}

// testHelpers lists what must not be linked into the program.
func testHelpers() []string {
	return []string{
		"go.uber.org/goleak", "github.com/google/go-cmp", "pgregory.net/rapid", "github.com/rogpeppe/go-internal",
		sdkGo + "/test", sdkGo + "/binding/test", sdkGo + "/client/test", sdkGo + "/protocol/test",
	}
}

// listed is what `go list -json` tells about a package.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func TestFloors(t *testing.T) {
	t.Parallel()
	packages, err := list("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range checkImports(packages) {
		t.Error(v)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	err = walk(root, func(name string, text []byte) error {
		violations, err := checkFile(name, text)
		for _, v := range violations {
			t.Error(v)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func list(dir string) ([]listed, error) {
	var out, problems bytes.Buffer
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &problems
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, problems.String())
	}
	var packages []listed
	for in := json.NewDecoder(&out); ; {
		var p listed
		switch err := in.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages, nil
		case err != nil:
			return nil, fmt.Errorf("read go list: %w", err)
		}
		packages = append(packages, p)
	}
}

// walk visits the module's Go files. It goes by folder and not by package, so that files of other systems count, and so
// that the test cache sees every change, which it does not where only `go list` looks.
func walk(root string, visit func(name string, text []byte) error) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enter(root, path, d.Name())
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return visit(filepath.ToSlash(name), text)
	})
}

// enter leaves out what `go list ./...` leaves out.
func enter(root, path, name string) error {
	if path == root {
		return nil
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	if err == nil || name == "testdata" || name == "bin" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return filepath.SkipDir
	}
	return nil
}

// checkImports returns what is wrong with the imports of the packages.
func checkImports(packages []listed) []string {
	var found []string
	for _, p := range packages {
		path := relative(p.ImportPath)
		if _, known := place(path); !known {
			found = append(found, path+": the package has no floor; give it one in internal/floors/floors_test.go, "+
				"in .golangci.yml and in docs/architecture.md")
			continue
		}
		for _, imported := range p.Imports {
			found = appendIf(found, checkImport(path, imported, false))
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			found = appendIf(found, checkImport(path, imported, true))
		}
	}
	return found
}

func appendIf(found []string, violation string) []string {
	if violation == "" {
		return found
	}
	return append(found, violation)
}

// checkImport returns what is wrong when the package at path (or its test) imports another, "" when nothing is.
func checkImport(path, imported string, test bool) string {
	who := path
	if test {
		who = "tests of " + path
	}
	if ours(imported) {
		if why := checkOurs(path, relative(imported), test); why != "" {
			return fmt.Sprintf("%s: must not import %s: %s", who, relative(imported), why)
		}
		return ""
	}
	if why := checkForeign(path, imported, test); why != "" {
		return fmt.Sprintf("%s: must not import %s: %s", who, imported, why)
	}
	return ""
}

func checkOurs(path, imported string, test bool) string {
	if path == imported { // a test in a package of its own
		return ""
	}
	if r, ok := roomOf(imported); ok {
		if (test && r.tests) || within(path, r.users) {
			return ""
		}
		return "internal/floors says who may, and it is not on that list"
	}
	from, known := place(path)
	to, target := place(imported)
	switch {
	case !known || !target:
		return "it has no floor"
	case to.level < from.level, test && slices.Contains(from.testsAlso, imported):
		return ""
	case to.level == from.level && (test || strings.HasPrefix(imported, path+"/")):
		return ""
	}
	return fmt.Sprintf("imports go down only, and this one goes from floor %d to floor %d", from.level, to.level)
}

func checkForeign(path, imported string, test bool) string {
	if standard(imported) {
		return ""
	}
	for _, g := range guards() {
		allowed := within(path, g.users)
		if test {
			allowed = g.testUsers == nil || within(path, g.testUsers)
		}
		if under(imported, g.module) && !allowed {
			return g.why
		}
	}
	from, _ := place(path)
	if test || from.onlyThese == nil {
		return ""
	}
	if slices.ContainsFunc(from.onlyThese, func(m string) bool { return under(imported, m) }) {
		return ""
	}
	return "it must stay usable by itself, with few modules"
}

// place returns the floor of a package; a room of internal/ lies below all floors.
func place(path string) (floor, bool) {
	if _, ok := roomOf(path); ok {
		return floor{path: path, level: -1}, true
	}
	for _, f := range house() {
		if path == f.path || (f.subtree && under(path, f.path)) {
			return f, true
		}
	}
	return floor{}, false
}

func roomOf(path string) (room, bool) {
	for _, r := range rooms() {
		if r.path == path {
			return r, true
		}
	}
	return room{}, false
}

func ours(importPath string) bool       { return under(importPath, module) }
func relative(importPath string) string { return strings.TrimPrefix(importPath, module+"/") }
func under(path, folder string) bool    { return path == folder || strings.HasPrefix(path, folder+"/") }

// within reports whether path is in the list, where "a/..." stands for a and its subfolders.
func within(path string, list []string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		folder, deep := strings.CutSuffix(entry, "/...")
		return path == entry || (deep && under(path, folder))
	})
}

// standard reports whether an import path belongs to the standard library: its first element has no dot.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// file is a parsed file with what the rules ask about it.
type file struct {
	name    string // relative to the module
	test    bool   // only tests are built from it
	exits   bool   // it may end the process
	syntax  *ast.File
	places  *token.FileSet
	aliases map[string]string // the name of an imported package in the file -> its path
	found   []string
}

// checkFile returns what is wrong with one file.
func checkFile(name string, text []byte) ([]string, error) {
	places := token.NewFileSet()
	syntax, err := parser.ParseFile(places, name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	inRedistest := strings.HasPrefix(name, "internal/redistest/")
	f := &file{
		name: name, syntax: syntax, places: places, aliases: map[string]string{},
		test:  strings.HasSuffix(name, "_test.go") || inRedistest,
		exits: strings.HasPrefix(name, "cmd/") || strings.HasPrefix(name, "docs/interop/") || inRedistest,
	}
	f.checkImports()
	f.checkInit()
	ast.Inspect(syntax, f.checkCall)
	return f.found, nil
}

func (f *file) report(at token.Pos, rule string) {
	f.found = append(f.found, fmt.Sprintf("%s:%d: %s", f.name, f.places.Position(at).Line, rule))
}

func (f *file) checkImports() {
	for _, spec := range f.syntax.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			f.report(spec.Pos(), "unreadable import")
			continue
		}
		name := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		f.aliases[name] = path
		if name == "_" && path != "embed" && !f.test {
			f.report(spec.Pos(), "no blank imports: pass what is needed as a value")
		}
		if path == "os/signal" && !f.exits {
			f.report(spec.Pos(), "only cmd handles signals: everything else ends with its context")
		}
	}
}

func (f *file) checkInit() {
	for _, d := range f.syntax.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			f.report(fn.Pos(), "no func init: pass lists as values")
		}
	}
}

// checkCall looks at uses, not only at calls, because a function can be passed on.
func (f *file) checkCall(n ast.Node) bool {
	if call, ok := n.(*ast.CallExpr); ok && f.names(call.Fun, "testing/synctest", "Test") {
		return false // in there, time.Sleep waits for nothing
	}
	use, ok := n.(*ast.SelectorExpr)
	if !ok {
		return true
	}
	switch {
	case f.names(use, "os", "Exit") && !f.exits:
		f.report(use.Pos(), "only programs end the process: return an error (a TestMain: redistest.Main)")
	case f.names(use, "log", "Fatal", "Fatalf", "Fatalln") && !f.exits:
		f.report(use.Pos(), "log.Fatal ends the process: return an error")
	case f.names(use, "time", "Sleep") && f.test:
		f.report(use.Pos(), "no time.Sleep in tests: wait for the event itself, or use testing/synctest")
	}
	return true
}

// names reports whether an expression is one of the names of the package at path.
func (f *file) names(e ast.Expr, path string, names ...string) bool {
	use, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := use.X.(*ast.Ident)
	return ok && f.aliases[pkg.Name] == path && slices.Contains(names, use.Sel.Name)
}
