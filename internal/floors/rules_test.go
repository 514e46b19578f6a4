package floors

import (
	"strings"
	"testing"
)

// TestCheckImports shows on made-up packages that each rule about imports fails when it is broken, and only then.
func TestCheckImports(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		from, to string
		test     bool
		want     string // a part of the violation; "" means allowed
	}{
		"std":                                 {from: "protocol/rawevent", to: "net/http"},
		"rawevent, foreign":                   {from: "protocol/rawevent", to: uuid, want: "few modules"},
		"rawevent, foreign in a test":         {from: "protocol/rawevent", to: "pgregory.net/rapid", test: true},
		"rawevent, up":                        {from: "protocol/rawevent", to: module + "/protocol/redisstreams", want: "from floor 0 to floor 1"},
		"rawevent, up in a test":              {from: "protocol/rawevent", to: module + "/gateway", test: true, want: "from floor 0 to floor 8"},
		"its own test package":                {from: "protocol/rawevent", to: module + "/protocol/rawevent", test: true},
		"binding, down":                       {from: "protocol/redisstreams", to: module + "/protocol/rawevent"},
		"binding, sdk":                        {from: "protocol/redisstreams", to: sdkGo + "/event"},
		"binding, go-redis":                   {from: "protocol/redisstreams", to: goRedis + "/v9"},
		"binding, uuid":                       {from: "protocol/redisstreams", to: uuid},
		"binding, foreign":                    {from: "protocol/redisstreams", to: "golang.org/x/time/rate", want: "few modules"},
		"binding, similar name":               {from: "protocol/redisstreams", to: uuid + "-extra", want: "few modules"},
		"layout, binding":                     {from: "protocol/redisstreams/layout", to: module + "/protocol/redisstreams"},
		"binding, layout":                     {from: "protocol/redisstreams", to: module + "/protocol/redisstreams/layout", want: "from floor 1 to floor 2"},
		"gateway, down":                       {from: "gateway", to: module + "/gateway/delivery"},
		"gateway, foreign":                    {from: "gateway", to: "golang.org/x/time/rate"},
		"gateway, up":                         {from: "gateway", to: module + "/gateway/admin", want: "from floor 8 to floor 9"},
		"gateway, config":                     {from: "gateway", to: module + "/config", want: "from floor 8 to floor 10"},
		"setting, anything":                   {from: "gateway/setting", to: module + "/gateway/backoff", want: "from floor 2 to floor 2"},
		"setting, foreign":                    {from: "gateway/setting", to: goRedis + "/v9", want: "public face"},
		"sink, down":                          {from: "gateway/sink", to: module + "/gateway/guard"},
		"sink, delivery":                      {from: "gateway/sink", to: module + "/gateway/delivery", want: "from floor 4 to floor 6"},
		"filter, transform":                   {from: "gateway/filter", to: module + "/gateway/transform", want: "from floor 4 to floor 4"},
		"stream, delivery":                    {from: "gateway/stream", to: module + "/gateway/delivery", want: "from floor 5 to floor 6"},
		"delivery, stream":                    {from: "gateway/delivery", to: module + "/gateway/stream"},
		"delivery, ingress":                   {from: "gateway/delivery", to: module + "/gateway/ingress", want: "from floor 6 to floor 6"},
		"delivery, gateway":                   {from: "gateway/delivery", to: module + "/gateway", want: "from floor 6 to floor 8"},
		"source, delivery":                    {from: "gateway/source", to: module + "/gateway/delivery", want: "from floor 5 to floor 6"},
		"source, ingress":                     {from: "gateway/source", to: module + "/gateway/ingress", want: "from floor 5 to floor 6"},
		"source, metrics":                     {from: "gateway/source", to: prometheus + "/prometheus", want: "few modules"},
		"source, list of sources":             {from: "gateway/source", to: module + "/gateway/source/builtin", want: "from floor 5 to floor 7"},
		"list of sources, a big one":          {from: "gateway/source/builtin", to: module + "/gateway/source/stac"},
		"a big source, list of sources":       {from: "gateway/source/stac", to: module + "/gateway/source/builtin", want: "from floor 6 to floor 7"},
		"a big source, contract":              {from: "gateway/source/stac", to: module + "/gateway/source"},
		"a big source, go-redis":              {from: "gateway/source/stac", to: goRedis + "/v9", want: "public face"},
		"a big source, go-redis in a test":    {from: "gateway/source/stac", to: goRedis + "/v9", test: true},
		"stac client, foreign":                {from: "gateway/source/stacapi", to: goRedis + "/v9", want: "public face"},
		"stac client, limiter":                {from: "gateway/source/stacapi", to: rate + "/rate"},
		"stac client, ours":                   {from: "gateway/source/stacapi", to: module + "/gateway/setting", want: "from floor 2 to floor 2"},
		"stac, its client":                    {from: "gateway/source/stac", to: module + "/gateway/source/stacapi"},
		"admin, gateway":                      {from: "gateway/admin", to: module + "/gateway"},
		"admin, its folders":                  {from: "gateway/admin", to: module + "/gateway/admin/console"},
		"admin, subscriptions":                {from: "gateway/admin", to: module + "/gateway/subscriptions", want: "from floor 9 to floor 9"},
		"admin, go-redis":                     {from: "gateway/admin", to: goRedis + "/v9", want: "public face"},
		"admin, go-redis in a test":           {from: "gateway/admin", to: goRedis + "/v9", test: true},
		"builtin, go-redis":                   {from: "gateway/source/builtin", to: goRedis + "/v9"},
		"config, viper":                       {from: "config", to: viper},
		"config, sources":                     {from: "config", to: module + "/gateway/source"},
		"gateway, viper":                      {from: "gateway", to: viper, want: "config alone"},
		"gateway, viper in a test":            {from: "gateway", to: viper, test: true, want: "config alone"},
		"cmd, viper":                          {from: "cmd/streamgate", to: viper, want: "config alone"},
		"cmd, viper in a test":                {from: "cmd/streamgate", to: viper, test: true, want: "config alone"},
		"config, viper in a test":             {from: "config", to: viper, test: true},
		"gateway, test helper":                {from: "gateway", to: "go.uber.org/goleak", want: "only tests use it"},
		"gateway, test helper in a test":      {from: "gateway", to: "go.uber.org/goleak", test: true},
		"binding, test kit of the sdk":        {from: "protocol/redisstreams", to: sdkGo + "/binding/test", want: "only tests use it"},
		"redistest, test helper":              {from: "internal/redistest", to: "go.uber.org/goleak"},
		"gateway, miniredis":                  {from: "gateway", to: miniredis + "/v2", want: "no proof"},
		"embedded redis, miniredis":           {from: "internal/embeddedredis", to: miniredis + "/v2"},
		"cmd, all":                            {from: "cmd/streamgate", to: module + "/config"},
		"config, cmd":                         {from: "config", to: module + "/cmd/streamgate", want: "from floor 10 to floor 11"},
		"cmd, embedded redis":                 {from: "cmd/streamgate", to: module + "/internal/embeddedredis"},
		"gateway, embedded redis":             {from: "gateway", to: module + "/internal/embeddedredis", want: "not on that list"},
		"gateway, embedded redis in a test":   {from: "gateway", to: module + "/internal/embeddedredis", test: true, want: "not on that list"},
		"cmd, sample":                         {from: "cmd/streamgate", to: module + "/internal/stacsample"},
		"source, sample":                      {from: "gateway/source/stac", to: module + "/internal/stacsample", want: "not on that list"},
		"source, sample in a test":            {from: "gateway/source/stac", to: module + "/internal/stacsample", test: true},
		"cmd, test servers":                   {from: "cmd/streamgate", to: module + "/internal/redistest", want: "not on that list"},
		"binding, test servers in a test":     {from: "protocol/redisstreams", to: module + "/internal/redistest", test: true},
		"internal, gateway":                   {from: "internal/embeddedredis", to: module + "/gateway", want: "from floor -1 to floor 8"},
		"internal, test servers in a test":    {from: "internal/embeddedredis", to: module + "/internal/redistest", test: true},
		"import of a package without a floor": {from: "gateway", to: module + "/util", want: "has no floor"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := listed{ImportPath: module + "/" + tt.from, Imports: []string{tt.to}}
			if tt.test {
				p = listed{ImportPath: p.ImportPath, XTestImports: p.Imports}
			}
			expect(t, checkImports([]listed{p}), tt.want)
		})
	}
}

func TestEveryPackageHasAFloor(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"util", "gateway/helpers", "internal/other", "protocol", "docs/other"} {
		expect(t, checkImports([]listed{{ImportPath: module + "/" + path}}), path+": the package has no floor; give it one")
	}
	expect(t, checkImports([]listed{{ImportPath: module + "/gateway/source/stac"}}), "")
}

// TestCheckFile shows on made-up files that each rule about files fails when it is broken, and only then.
func TestCheckFile(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ name, text, want string }{
		"init":                        {"gateway/a.go", "func init() {}", "a.go:2: no func init"},
		"init in a test":              {"gateway/a_test.go", "func init() {}", "no func init"},
		"init as a method":            {"gateway/a.go", "type t int\nfunc (t) init() {}", ""},
		"blank import":                {"gateway/a.go", `import _ "image/png"`, "no blank imports"},
		"blank import, embed":         {"gateway/a.go", `import _ "embed"`, ""},
		"blank import in a test":      {"gateway/a_test.go", `import _ "image/png"`, ""},
		"exit":                        {"gateway/a.go", `import "os"` + "\nfunc f() { os.Exit(1) }", "only programs end the process"},
		"exit, other name":            {"gateway/a.go", `import sys "os"` + "\nfunc f() { sys.Exit(1) }", "only programs end the process"},
		"exit as a value":             {"gateway/a.go", `import "os"` + "\nvar f = os.Exit", "only programs end the process"},
		"exit in a test":              {"gateway/a_test.go", `import "os"` + "\nfunc f() { os.Exit(1) }", "redistest.Main"},
		"exit in cmd":                 {"cmd/streamgate/a.go", `import "os"` + "\nfunc f() { os.Exit(1) }", ""},
		"exit in redistest":           {"internal/redistest/a.go", `import "os"` + "\nfunc f() { os.Exit(1) }", ""},
		"another Exit":                {"gateway/a.go", "func f(os struct{ Exit func() }) { os.Exit() }", ""},
		"fatal":                       {"gateway/a.go", `import "log"` + "\nfunc f() { log.Fatalf(``) }", "log.Fatal"},
		"signals":                     {"gateway/a.go", `import "os/signal"`, "only cmd handles signals"},
		"signals in cmd":              {"cmd/streamgate/a.go", `import "os/signal"`, ""},
		"sleep":                       {"gateway/a.go", `import "time"` + "\nfunc f() { time.Sleep(1) }", ""},
		"sleep in a test":             {"gateway/a_test.go", `import "time"` + "\nfunc f() { time.Sleep(1) }", "no time.Sleep"},
		"sleep in redistest":          {"internal/redistest/a.go", `import "time"` + "\nfunc f() { time.Sleep(1) }", "no time.Sleep"},
		"sleep in a bubble":           {"gateway/a_test.go", bubble + "\nfunc f() { synctest.Test(nil, func() { time.Sleep(1) }) }", ""},
		"sleep in a bubble, and none": {"gateway/a_test.go", bubble + "\nfunc f() { synctest.Wait(time.Sleep) }", "no time.Sleep"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := checkFile(tt.name, []byte("package p\n"+tt.text+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			expect(t, found, tt.want)
		})
	}
	if _, err := checkFile("a.go", []byte("packet")); err == nil {
		t.Error("a file that cannot be parsed passes")
	}
}

const bubble = `import ("testing/synctest"; "time")`

// expect wants one violation with the text, or none for "".
func expect(t *testing.T, found []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(found) != 0:
		t.Errorf("found %q, want nothing", found)
	case want != "" && (len(found) != 1 || !strings.Contains(found[0], want)):
		t.Errorf("found %q, want one with %q", found, want)
	}
}
