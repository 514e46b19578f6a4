package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/streamgate/streamgate/gateway/admin"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/ingress"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/stream"
	"github.com/streamgate/streamgate/gateway/transform"
)

// file is the shape of the file, as far as it does not depend on the types of sources.
type file struct {
	Redis         RedisConfig       `mapstructure:"redis"`
	Server        ingress.Config    `mapstructure:"server"`
	Admin         admin.Config      `mapstructure:"admin"`
	Streams       []stream.Config   `mapstructure:"streams"`
	Sources       []sourceHead      `mapstructure:"sources"`
	Subscriptions []delivery.Config `mapstructure:"subscriptions"`
}

// sourceHead is what every source has; the keys of its type stand beside it.
type sourceHead struct {
	Name   string `mapstructure:"name"`
	Type   string `mapstructure:"type"`
	Stream string `mapstructure:"stream"`

	Transform *transform.Config `mapstructure:"transform"`
}

// parse returns the top-level mapping, with variables expanded, or nil for an empty file.
func (d *document) parse(data []byte) *yaml.Node {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		d.syntaxError(err)
		return nil
	}
	var second yaml.Node
	switch err := decoder.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntaxError(err)
		return nil
	default:
		d.note(&second, "", "the file holds a second YAML document", "put everything into one document")
		return nil
	}
	top := root.Content[0]
	if top.Kind == yaml.ScalarNode && top.Tag == "!!null" {
		return nil
	}
	if top.Kind != yaml.MappingNode {
		d.note(top, "", "the file is no mapping of keys to values", "begin with a key like streams:")
		return nil
	}
	d.expand(top, "")
	return top
}

// syntaxError turns the message of the YAML parser into a finding with its line.
func (d *document) syntaxError(err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	f := Finding{File: d.file, Problem: "this is no valid YAML: " + text, Remedy: "check indentation, colons and quotes"}
	if m := regexp.MustCompile(`line (\d+): (.*)`).FindStringSubmatch(text); m != nil {
		f.Line, _ = strconv.Atoi(m[1]) // digits by the pattern
		f.Column = 1
		f.Problem = "this is no valid YAML: " + m[2]
	}
	d.findings = append(d.findings, f)
}

// join appends a name from the file to the key of its mapping; one that could be taken for a path stands in quotes.
func join(key, name string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
	}
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) {
		name = strconv.Quote(shorten(name))
	}
	if key == "" {
		return name
	}
	return key + "." + name
}

// checkTree checks keys and types of the whole file, and takes out what is wrong, so that the rest can be checked too.
func (d *document) checkTree() {
	if d.root != nil {
		d.check(d.root, reflect.TypeFor[file](), "")
	}
}

// check walks a node along a type, and makes text of what has to be text. It reports false when the node is not of that
// type; of a mapping, the wrong members have been removed then.
func (d *document) check(node *yaml.Node, t reflect.Type, key string) bool {
	switch {
	case d.broken[node]:
		return false
	case node.Kind == yaml.AliasNode:
		return d.refuse(node, key, "this is a YAML alias", "write the value out")
	case isNull(node) && (t.Kind() != reflect.String || !d.fromVariable[node]):
		return d.refuse(node, key, "there is no value", "give one, or remove the key to use its default")
	}
	if t.Kind() == reflect.Pointer {
		if node.Kind == yaml.MappingNode && len(node.Content) == 0 { // viper would drop it
			return d.refuse(node, key, "the mapping is empty", "give its keys, or remove it")
		}
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return d.checkText(node, t, key)
	}
	switch t.Kind() {
	case reflect.Struct:
		return d.checkStruct(node, t, key)
	case reflect.Slice:
		return d.checkList(node, t, key)
	case reflect.Map:
		return d.checkMap(node, t, key)
	case reflect.String:
		if !d.isText(node) {
			return d.wrong(node, key, "text", "a value in quotes")
		}
		node.Tag = "!!str"
		return true
	case reflect.Bool:
		return d.checkScalar(node, key, scalar{new(bool), "!!bool", "true or false", "true or false"})
	case reflect.Int:
		return d.checkScalar(node, key, scalar{new(int), "!!int", "a whole number", "a number like 10"})
	default: // float64
		return d.checkScalar(node, key, scalar{new(float64), "!!float", "a number", "a number like 1.5"})
	}
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }

// isText reports whether a node can be text. What a variable holds can, also where YAML would read it as a number: keys and
// passwords may look like one.
func (d *document) isText(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && (d.fromVariable[node] || slices.Contains([]string{"!!str", "!!timestamp"}, node.ShortTag()))
}

// refuse notes a finding and remembers the key, about which nothing more is to be said.
func (d *document) refuse(node *yaml.Node, key, problem, remedy string) bool {
	d.note(node, key, problem, remedy)
	d.refused = append(d.refused, key)
	return false
}

// checkList leaves an empty mapping in the place of an element that is none, so that the others keep theirs.
func (d *document) checkList(node *yaml.Node, t reflect.Type, key string) bool {
	if node.Kind != yaml.SequenceNode {
		return d.wrong(node, key, "a list", "[a, b]")
	}
	ok := true
	for i, element := range node.Content {
		if d.check(element, t.Elem(), fmt.Sprintf("%s[%d]", key, i)) {
			continue
		}
		if t.Elem().Kind() != reflect.Struct {
			ok = false
			continue
		}
		node.Content[i] = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: element.Line, Column: element.Column}
	}
	return ok
}

// scalar is a kind of value that is no text.
type scalar struct {
	target             any // points to a value of it
	tag, what, example string
}

func (d *document) checkScalar(node *yaml.Node, key string, s scalar) bool {
	tag := node.ShortTag()
	if _, isFloat := s.target.(*float64); isFloat && tag == "!!int" {
		tag = s.tag
	}
	if node.Kind != yaml.ScalarNode || tag != s.tag || node.Decode(s.target) != nil {
		return d.wrong(node, key, s.what, s.example)
	}
	if f, isFloat := s.target.(*float64); isFloat && (math.IsNaN(*f) || math.IsInf(*f, 0)) {
		return d.wrong(node, key, s.what, s.example)
	}
	return true
}

func (d *document) wrong(node *yaml.Node, key, want, example string) bool {
	have := "a list"
	switch node.Kind {
	case yaml.MappingNode:
		have = "a mapping"
	case yaml.ScalarNode:
		have = fmt.Sprintf("%q", shorten(node.Value))
	}
	return d.refuse(node, key, fmt.Sprintf("%s stands where %s has to be", have, want), "write "+example)
}

func shorten(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "..."
	}
	return s
}

func (d *document) checkText(node *yaml.Node, t reflect.Type, key string) bool {
	if node.Kind != yaml.ScalarNode {
		return d.wrong(node, key, "a single value", "a duration like 30s")
	}
	value, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler)
	if !ok {
		return true
	}
	if err := value.UnmarshalText([]byte(node.Value)); err != nil {
		problem, remedy := err.Error(), "write another value"
		if at := strings.LastIndex(problem, "; "); at >= 0 {
			problem, remedy = problem[:at], problem[at+2:]
		}
		return d.refuse(node, key, problem, remedy)
	}
	node.Tag = "!!str"
	return true
}

// checkMap checks a mapping from attribute names to values. viper folds the case of keys, so upper case is refused here.
func (d *document) checkMap(node *yaml.Node, t reflect.Type, key string) bool {
	if node.Kind != yaml.MappingNode {
		return d.wrong(node, key, "a mapping", "{ name: value }")
	}
	ok := true
	d.eachMember(node, key, func(nameNode, value *yaml.Node, memberKey string) bool {
		if nameNode.Value != strings.ToLower(nameNode.Value) {
			ok = d.refuse(nameNode, memberKey, fmt.Sprintf("%q has upper-case letters", nameNode.Value), "attribute names are lower-case letters and digits")
			return false
		}
		kept := d.check(value, t.Elem(), memberKey)
		ok = ok && kept
		return kept
	})
	return ok
}

// eachMember calls f for each member of a mapping, and keeps those for which it reports true, each once.
func (d *document) eachMember(node *yaml.Node, key string, f func(name, value *yaml.Node, key string) bool) {
	seen := map[string]bool{}
	var kept []*yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		memberKey := join(key, name.Value)
		if name.Kind != yaml.ScalarNode {
			d.refuse(name, memberKey, "the key is no plain text", "write a name")
			continue
		}
		name.Tag = "!!str" // 012 is a name here, not the number 10
		if seen[name.Value] {
			d.refuse(name, memberKey, "the key is there twice", "remove one of them")
			continue
		}
		seen[name.Value] = true
		if f(name, value, memberKey) {
			kept = append(kept, name, value)
		}
	}
	node.Content = kept
}

func (d *document) checkStruct(node *yaml.Node, t reflect.Type, key string) bool {
	if node.Kind != yaml.MappingNode {
		return d.wrong(node, key, "a mapping of keys to values", "key: value lines")
	}
	fields := fieldsOf(t)
	allKnown := t != reflect.TypeFor[sourceHead]() || d.addTypeFields(fields, node, key)
	d.eachMember(node, key, func(name, value *yaml.Node, memberKey string) bool {
		fieldType, known := fields[name.Value]
		switch {
		case known:
			return d.check(value, fieldType, memberKey)
		case allKnown:
			return d.refuse(name, memberKey, "unknown key", suggestion(name.Value, fields))
		}
		return false // what a source of an unknown type may have is not known
	})
	return true
}

// fieldsOf returns the keys of a configuration struct and the types of their values.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("mapstructure"); name != "" && name != "-" {
			fields[name] = t.Field(i).Type
		}
	}
	return fields
}

// addTypeFields adds the keys of the source's type. It reports false when that is not known, and notes why.
func (d *document) addTypeFields(fields map[string]reflect.Type, node *yaml.Node, key string) bool {
	names := make([]string, len(d.options.Types))
	for i, t := range d.options.Types {
		names[i] = t.Name
	}
	choose := "write one of " + strings.Join(names, ", ")
	typeNode := child(node, "type")
	switch {
	case typeNode == nil:
		return d.refuse(node, join(key, "type"), "the source has no type", choose)
	case d.broken[typeNode] || !d.isText(typeNode):
		return false // its own check says so
	}
	for _, t := range d.options.Types {
		if t.Name == typeNode.Value {
			for name, fieldType := range fieldsOf(reflect.TypeOf(t.NewConfig(source.Defaults{})).Elem()) {
				fields[name] = fieldType
			}
			return true
		}
	}
	return d.refuse(typeNode, join(key, "type"), fmt.Sprintf("there is no source type %q", shorten(typeNode.Value)), choose)
}
