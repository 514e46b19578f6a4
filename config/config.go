package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/streamgate/streamgate/gateway"
)

const (
	maxFileBytes      = 1 << 20
	defaultStreamName = "events"
)

// Config is a valid configuration.
type Config struct {
	Redis   RedisConfig
	Admin   gateway.AdminConfig
	Gateway gateway.Config
}

// Options says what a configuration may hold and where variables come from.
type Options struct {
	Types     []gateway.SourceType
	LookupEnv func(name string) (string, bool) // nil means os.LookupEnv
}

func (o *Options) lookup(name string) (string, bool) {
	if o.LookupEnv != nil {
		return o.LookupEnv(name)
	}
	return os.LookupEnv(name)
}

// Load reads a file. An error about its content is an *[Error].
func Load(path string, o Options) (*Config, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("read the configuration: %s is larger than %d bytes", path, maxFileBytes)
	}
	data, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return Parse(path, data, o)
}

// Default returns the configuration without a file: embedded Redis, one stream, HTTP in.
func Default(o Options) (*Config, error) { return Parse("no file", nil, o) }

// Parse reads the content of a file; name stands in its findings. A non-nil error is an *[Error].
func Parse(name string, data []byte, o Options) (*Config, error) {
	d := &document{file: name, options: &o}
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

// validate checks the values, and finds the place in the file that each problem is about.
func (d *document) validate(c *Config) {
	var p gateway.Problems
	p.AddAll("redis", c.Redis.Validate())
	p.AddAll("admin", c.Admin.Validate())
	p = append(p, c.Gateway.Validate()...)
	for _, problem := range p {
		if d.isRefused(problem.Path) {
			continue
		}
		node := d.find(problem.Path)
		f := Finding{File: d.file, Key: problem.Path, Problem: problem.Message, Remedy: problem.Remedy}
		if name := d.fromEnv[problem.Path]; name != "" {
			f.File, f.Key = "environment", name
		} else if node != nil {
			f.Line, f.Column = node.Line, node.Column
		}
		d.findings = append(d.findings, f)
	}
}

// isRefused reports whether a key, something above it or something in it has been found wrong already.
func (d *document) isRefused(path string) bool {
	within := func(inner, outer string) bool {
		rest, found := strings.CutPrefix(inner, outer)
		return found && (rest == "" || rest[0] == '.' || rest[0] == '[')
	}
	return slices.ContainsFunc(d.refused, func(key string) bool { return within(path, key) || within(key, path) })
}

// document is one file on its way to a configuration.
type document struct {
	file     string
	options  *Options
	root     *yaml.Node        // the top-level mapping; nil if the file is empty
	fromEnv  map[string]string // keys whose value a variable has set, with its name
	findings []Finding
	refused  []string // keys that were found wrong and taken out
}

// note records a finding at a node.
func (d *document) note(node *yaml.Node, key, problem, remedy string) {
	f := Finding{File: d.file, Key: key, Problem: problem, Remedy: remedy}
	if node != nil {
		f.Line, f.Column = node.Line, node.Column
	}
	d.findings = append(d.findings, f)
}
