package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/admin"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
)

const (
	maxFileBytes      = 1 << 20
	defaultStreamName = "events"
	environment       = "environment" // the File of a finding about an environment variable
)

// Config is a valid configuration. [Load], [Parse] and [Default] return it; it is not changed afterwards.
type Config struct {
	Redis   RedisConfig
	Admin   admin.Config
	Gateway gateway.Config
}

// Options are the source types and the environment of a configuration.
type Options struct {
	Types     []source.Type                    // the types that sources may have
	LookupEnv func(name string) (string, bool) // nil means os.LookupEnv
	TokenFile string                           // where Knative mounts the token for K_SINK; "" means /oidc/token
}

func (o *Options) lookup(name string) (string, bool) {
	if o.LookupEnv != nil {
		return o.LookupEnv(name)
	}
	return os.LookupEnv(name)
}

// Load reads a file of at most 1 MiB. An error about its content is an *[Error].
func Load(path string, o Options) (*Config, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("read the configuration: %s is larger than %d bytes", path, maxFileBytes)
	}
	return Parse(path, data, o)
}

// Default returns the configuration without a file: an embedded Redis, one stream, and an HTTP listener. If Knative's
// K_SINK is set, one subscription delivers all events to it. An error is an *[Error].
func Default(o Options) (*Config, error) {
	d := newDocument("no file", o)
	d.withoutFile = true
	return d.load(nil)
}

// Parse reads the content of a file; its findings have this name as their File. An error is an *[Error].
func Parse(name string, data []byte, o Options) (*Config, error) {
	return newDocument(name, o).load(data)
}

func newDocument(name string, o Options) *document {
	return &document{
		file: name, options: &o, fromEnv: map[string]string{}, fromVariable: map[*yaml.Node]bool{},
		broken: map[*yaml.Node]bool{},
	}
}

func (d *document) load(data []byte) (*Config, error) {
	d.root = d.parse(data)
	if d.root == nil && len(d.findings) > 0 {
		return nil, asError(d.findings)
	}
	d.checkTree()
	c := d.decode()
	d.validate(c)
	if err := asError(d.findings); err != nil {
		return nil, err
	}
	return c, nil
}

// validate checks the values, and locates each problem in the file or the environment.
func (d *document) validate(c *Config) {
	var p setting.Problems
	p.AddAll("redis", c.Redis.Validate())
	p.AddAll("admin", c.Admin.Validate())
	p = append(p, c.Gateway.Validate()...)
	if address := c.Admin.Address; address == c.Gateway.Server.Address && !strings.HasSuffix(address, ":0") {
		p.Add("admin.address", fmt.Sprintf("%q is also server.address", address),
			"give each listener its own address, like 127.0.0.1:8081")
	}
	for _, problem := range p {
		f := Finding{File: d.file, Key: problem.Path, Problem: problem.Message, Remedy: problem.Remedy}
		node := d.find(problem.Path)
		switch name := d.fromEnv[problem.Path]; {
		case name != "":
			f.File, f.Key = environment, name
		case d.isRefused(problem.Path) || d.isConsequence(problem.Path, node):
			continue
		case node != nil:
			f.Line, f.Column = node.Line, node.Column
		}
		d.findings = append(d.findings, f)
	}
}

// isRefused reports whether a key, one above it or one below it already has a finding.
func (d *document) isRefused(path string) bool {
	within := func(inner, outer string) bool {
		rest, found := strings.CutPrefix(inner, outer)
		return found && (rest == "" || rest[0] == '.' || rest[0] == '[')
	}
	return slices.ContainsFunc(d.refused, func(key string) bool { return within(path, key) || within(key, path) })
}

// isConsequence reports whether an unknown stream of a source or a subscription may be one whose name was refused: then
// a second finding would only confuse.
func (d *document) isConsequence(path string, node *yaml.Node) bool {
	return strings.HasSuffix(path, "].stream") && node != nil && node.Value == "stream" &&
		slices.ContainsFunc(d.refused, regexp.MustCompile(`^streams(\[\d+\](\.name)?)?$`).MatchString)
}

// document is the state of reading one file.
type document struct {
	file        string
	withoutFile bool // there is no file; file only stands in findings
	options     *Options
	root        *yaml.Node        // the top-level mapping; nil if the file is empty
	fromEnv     map[string]string // key -> environment variable that has set its value
	findings    []Finding
	refused     []string // keys with a finding; their nodes are removed

	fromVariable map[*yaml.Node]bool // values that consist of one ${NAME}
	broken       map[*yaml.Node]bool // values with a variable that could not be expanded
}

// note records a finding at a node.
func (d *document) note(node *yaml.Node, key, problem, remedy string) {
	f := Finding{File: d.file, Key: key, Problem: problem, Remedy: remedy}
	if node != nil {
		f.Line, f.Column = node.Line, node.Column
	}
	d.findings = append(d.findings, f)
}
