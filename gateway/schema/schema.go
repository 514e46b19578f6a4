// Package schema validates the data of events against JSON Schemas, drafts 4 to 2020-12.
//
// A schema can refer to the other schemas of its [Set] and to the meta-schemas by their addresses. Nothing is ever
// loaded from the network or from a file: a schema cannot make the gateway open connections or read files.
package schema

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Limits.
const (
	MaxText       = 1 << 20 // bytes of one schema
	maxExponent   = 400     // of a number in data: comparing with 1e1000000 takes a megabyte of digits
	maxViolations = 10      // reported for one event
)

// Source is a schema and the events that it applies to: those that meet both conditions, where an empty condition
// always holds. Without any condition, the schema only serves as a target of references.
type Source struct {
	Text       []byte // in JSON
	DataSchema string // the attribute dataschema of the event; also an address for references to this schema
	Type       string // the attribute type of the event; "com.example.*" matches every type with that prefix
}

// Set is a set of compiled schemas. It is immutable and safe for concurrent use. A nil *Set accepts every event.
type Set struct{ rules []rule }

type rule struct {
	dataSchema, eventType string
	isPrefix              bool
	schema                *jsonschema.Schema
}

// Error says which source does not compile, and why.
type Error struct {
	Index int // into the sources that Compile was given
	Err   error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("schema %d: %v", e.Index, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// notLoaded is a loader that refuses every address. The default loader of the library would read files.
type notLoaded struct{}

func (notLoaded) Load(address string) (any, error) {
	return nil, fmt.Errorf("the schema %s is not configured; add it with this address as its $id or dataschema",
		address)
}

// Compile compiles the sources into a set. A non-nil error is an *[Error].
func Compile(sources []Source) (*Set, error) {
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(notLoaded{})
	addresses, known := make([]string, len(sources)), map[string]any{}
	for i := range sources {
		var err error
		if addresses[i], err = add(compiler, known, i, &sources[i]); err != nil {
			return nil, &Error{i, err}
		}
	}
	s := &Set{}
	for i := range sources {
		compiled, err := compiler.Compile(addresses[i])
		if err != nil {
			return nil, &Error{i, errors.New(strings.Join(strings.Fields(err.Error()), " "))}
		}
		if sources[i].DataSchema == "" && sources[i].Type == "" {
			continue
		}
		eventType, isPrefix := strings.CutSuffix(sources[i].Type, "*")
		s.rules = append(s.rules, rule{sources[i].DataSchema, eventType, isPrefix, compiled})
	}
	return s, nil
}

// add registers a schema under its addresses and returns one of them. An equal schema may be registered already;
// another one under the same address is an error.
func add(compiler *jsonschema.Compiler, known map[string]any, n int, source *Source) (address string, err error) {
	if len(source.Text) > MaxText {
		return "", fmt.Errorf("the schema is larger than %d bytes", MaxText)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(source.Text))
	if err != nil {
		return "", fmt.Errorf("the schema is not valid JSON: %w", err)
	}
	var addresses []string
	if object, ok := document.(map[string]any); ok {
		for _, member := range []string{"$id", "id"} {
			if id, ok := object[member].(string); ok {
				addresses = appendAbsolute(addresses, strings.TrimSuffix(id, "#"))
			}
		}
	}
	addresses = appendAbsolute(addresses, source.DataSchema)
	if len(addresses) == 0 {
		addresses = []string{"streamgate:///schemas/" + strconv.Itoa(n)}
	}
	slices.Sort(addresses)
	for _, address := range slices.Compact(addresses) {
		if other, exists := known[address]; exists {
			if !reflect.DeepEqual(other, document) {
				return "", fmt.Errorf("another schema has the same address, %s; give each its own $id or "+
					"dataschema", address)
			}
			continue // the same schema, for other events
		}
		if err := compiler.AddResource(address, document); err != nil {
			return "", err
		}
		known[address] = document
	}
	return addresses[0], nil
}

// appendAbsolute appends an absolute address in the form that references resolve to, with its scheme in lower case.
func appendAbsolute(addresses []string, address string) []string {
	if u, err := url.Parse(address); err == nil && u.IsAbs() {
		return append(addresses, u.String())
	}
	return addresses
}

// Violation is a place where data does not conform to its schema.
type Violation struct {
	Path   string `json:"path"`   // JSON Pointer into the data; empty for the data as a whole
	Schema string `json:"schema"` // address of the keyword in the schema, or another reason
}

// String describes the violation for people.
func (v Violation) String() string {
	if v.Path == "" {
		return "the data violates its schema: " + v.Schema
	}
	return fmt.Sprintf("the data at %q violates its schema: %s", v.Path, v.Schema)
}

// Check returns at most ten violations of the first schema that applies to the event and that its data does not
// conform to. It returns none if the data is valid or if no schema applies. The result contains member names of the
// data, but no values, and is safe to log.
func (s *Set) Check(e *rawevent.Event) []Violation {
	if s == nil {
		return nil
	}
	var data any
	isRead := false
	for i := range s.rules {
		r := &s.rules[i]
		if !r.isFor(e) {
			continue
		}
		if !isRead {
			var problem string
			if data, problem = read(e); problem != "" {
				return []Violation{{Schema: problem}}
			}
			isRead = true
		}
		if invalid, ok := errors.AsType[*jsonschema.ValidationError](r.schema.Validate(data)); ok {
			return violations(invalid, nil)
		}
	}
	return nil
}

func (r *rule) isFor(e *rawevent.Event) bool {
	if r.dataSchema != "" {
		if have, _ := e.Attribute(rawevent.AttrDataSchema); have != r.dataSchema {
			return false
		}
	}
	if r.isPrefix {
		return strings.HasPrefix(e.Type(), r.eventType)
	}
	return r.eventType == "" || e.Type() == r.eventType
}

func read(e *rawevent.Event) (data any, problem string) {
	if !rawevent.IsJSON(e.DataContentType) {
		return nil, "the data is not JSON by its datacontenttype, but a schema applies to it"
	}
	data, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.Data))
	if err != nil {
		return nil, "the data is not valid JSON"
	}
	if !hasBoundedNumbers(data) {
		return nil, fmt.Sprintf("a number in the data has an exponent beyond %d", maxExponent)
	}
	return data, ""
}

func hasBoundedNumbers(value any) bool {
	switch value := value.(type) {
	case map[string]any:
		for _, member := range value {
			if !hasBoundedNumbers(member) {
				return false
			}
		}
	case []any:
		return !slices.ContainsFunc(value, func(element any) bool { return !hasBoundedNumbers(element) })
	case fmt.Stringer: // json.Number
		text := value.String()
		at := strings.IndexAny(text, "eE")
		if at < 0 {
			return true
		}
		exponent, err := strconv.Atoi(text[at+1:])
		return err == nil && exponent >= -maxExponent && exponent <= maxExponent
	}
	return true
}

// violations appends the innermost causes.
func violations(e *jsonschema.ValidationError, list []Violation) []Violation {
	if len(e.Causes) == 0 && len(list) < maxViolations {
		var path strings.Builder
		for _, step := range e.InstanceLocation {
			path.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
		}
		keyword := strings.TrimSuffix(e.SchemaURL, "#")
		if !strings.Contains(keyword, "#") {
			keyword += "#"
		}
		for _, step := range e.ErrorKind.KeywordPath() {
			keyword += "/" + step
		}
		list = append(list, Violation{path.String(), keyword})
	}
	for _, cause := range e.Causes {
		list = violations(cause, list)
	}
	return list
}
