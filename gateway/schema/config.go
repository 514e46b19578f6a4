package schema

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/streamgate/streamgate/gateway/setting"
)

// Config is a JSON Schema for the data of events, and says of which: those that meet all the conditions that are given.
// One without conditions is there to be referred to by others, by its $id.
type Config struct {
	// File is where the schema is; it is read when the configuration is.
	File string `mapstructure:"file"`
	// Schema is the schema itself, as JSON text, in place of file.
	Schema string `mapstructure:"schema"`
	// DataSchema is the event's dataschema. Others may refer to the schema by it, too.
	DataSchema string `mapstructure:"dataschema"`
	// Type is the event's type, or com.example.* for all that begin with com.example.
	Type string `mapstructure:"type"`
}

// CompileConfigs reads and compiles schemas; nil if there are none.
func CompileConfigs(configs []Config) (*Set, setting.Problems) {
	const remedy = "write a JSON Schema of draft 4 to 2020-12 that refers to configured ones only; patterns are those of RE2"
	var p setting.Problems
	sources := make([]Source, len(configs))
	for i := range configs {
		text, err := configs[i].text()
		if err != nil {
			p.Add(fmt.Sprintf("schemas[%d]", i), err.Error(), "give the schema as file or as schema")
		}
		sources[i] = Source{Text: text, DataSchema: configs[i].DataSchema, Type: configs[i].Type}
	}
	if len(p) > 0 || len(configs) == 0 {
		return nil, p
	}
	set, err := Compile(sources)
	if wrong, ok := errors.AsType[*Error](err); ok {
		p.Add(fmt.Sprintf("schemas[%d]", wrong.Index), wrong.Err.Error(), remedy)
	}
	return set, p
}

func (c *Config) text() ([]byte, error) {
	if (c.File == "") == (c.Schema == "") {
		return nil, errors.New("there must be one of file and schema")
	}
	if c.File == "" {
		return []byte(c.Schema), nil
	}
	f, err := os.Open(filepath.Clean(c.File))
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, MaxText+1))
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	return text, nil
}
