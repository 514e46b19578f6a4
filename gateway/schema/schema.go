// Package schema checks the data of events against JSON Schemas, drafts 4 to 2020-12. A schema refers to those that it is
// given together with, and to the meta-schemas, by their addresses: nothing is ever loaded, neither from the network nor from
// a file.
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

// Bounds.
const (
	MaxText       = 1 << 20 // bytes of one schema
	maxExponent   = 400     // of a number in data: comparing with 1e1000000 takes a megabyte of digits
	maxViolations = 10      // that are told
)

// Source is one schema, and what it is for: events that meet all the conditions that are given. Without any it is there to
// be referred to.
type Source struct {
	Text       []byte // in JSON
	DataSchema string // the event's dataschema; also an address by which others refer to it
	Type       string // the event's type; "com.example.*" for all that begin with com.example.
}

// Set is a list of compiled schemas. It is immutable and safe for concurrent use. A nil one accepts everything.
type Set struct{ rules []rule }

type rule struct {
	dataSchema, eventType string
	isPrefix              bool
	schema                *jsonschema.Schema
}

// Error tells which of the sources is wrong.
type Error struct {
	Index int
	Err   error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("schema %d: %v", e.Index, e.Err) }

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// notLoaded is a loader that has nothing. The library's own would read files.
type notLoaded struct{}

func (notLoaded) Load(address string) (any, error) {
	return nil, fmt.Errorf("%s is not among the schemas; add it, with this as its $id or dataschema", address)
}

// Compile returns the set of sources. An error is an *[Error].
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

// add makes a schema known by its addresses, where the same may be known already, and returns one of them.
func add(compiler *jsonschema.Compiler, known map[string]any, n int, source *Source) (address string, err error) {
	if len(source.Text) > MaxText {
		return "", fmt.Errorf("it is larger than %d bytes", MaxText)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(source.Text))
	if err != nil {
		return "", fmt.Errorf("it is not JSON: %w", err)
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
				return "", fmt.Errorf("another schema has its address, %s", address)
			}
			continue // for other events
		}
		if err := compiler.AddResource(address, document); err != nil {
			return "", err
		}
		known[address] = document
	}
	return addresses[0], nil
}

// appendAbsolute appends an address, if it is one, as references resolve to it: with its scheme in lower case.
func appendAbsolute(addresses []string, address string) []string {
	if u, err := url.Parse(address); err == nil && u.IsAbs() {
		return append(addresses, u.String())
	}
	return addresses
}

// Violation is where data does not follow its schema.
type Violation struct {
	Path   string `json:"path"`   // JSON Pointer into the data
	Schema string `json:"schema"` // address of the keyword in the schema, or what else is wrong
}

// String returns a sentence.
func (v Violation) String() string {
	if v.Path == "" {
		return "the data violates its schema: " + v.Schema
	}
	return fmt.Sprintf("the data at %q violates its schema: %s", v.Path, v.Schema)
}

// Check returns where the event's data violates a schema that is for it, at most ten places; none where it is valid, or no
// schema is for it. What it returns has nothing of the data but names.
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
		return nil, "the data is not JSON (datacontenttype), which its schema is for"
	}
	data, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.Data))
	if err != nil {
		return nil, "the data is not JSON"
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

// violations lists the innermost causes.
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
