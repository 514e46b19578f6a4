package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
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

// file is the structure of the file, without the keys that depend on the type of a source.
type file struct {
	Redis         RedisConfig       `mapstructure:"redis"`
	Server        ingress.Config    `mapstructure:"server"`
	Admin         admin.Config      `mapstructure:"admin"`
	Streams       []stream.Config   `mapstructure:"streams"`
	Sources       []sourceHead      `mapstructure:"sources"`
	Subscriptions []delivery.Config `mapstructure:"subscriptions"`
}

// sourceHead holds the keys that every source has, beside those of its type.
type sourceHead struct {
	Name   string `mapstructure:"name"`
	Type   string `mapstructure:"type"`
	Stream string `mapstructure:"stream"`

	Transform *transform.Config `mapstructure:"transform"`
}

// parse returns the top-level mapping, with aliases resolved and variables expanded, or nil for an empty file.
func (d *document) parse(data []byte) *yaml.Node {
	if !d.checkCharacters(data) {
		return nil
	}
	data = acceptVersion(data)
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		d.syntaxError(data, err)
		return nil
	}
	var second yaml.Node
	switch err := decoder.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntaxError(data, err)
		return nil
	default:
		d.note(&second, "", "the file has a second YAML document", "put everything into one document")
		return nil
	}
	top := root.Content[0]
	if top.Kind == yaml.ScalarNode && top.Tag == "!!null" {
		return nil
	}
	if top.Kind != yaml.MappingNode {
		d.note(top, "", "the file is not a mapping of keys to values", "begin with a key like streams:")
		return nil
	}
	if !d.resolve(top) {
		return nil
	}
	d.expand(top, "")
	return top
}

// join appends a name from the file to the key of its mapping, in quotes if the name could be mistaken for a path.
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

// checkTree checks the keys and types of the whole file, and removes what is wrong, so that one run finds all problems.
func (d *document) checkTree() {
	if d.root != nil {
		d.check(d.root, reflect.TypeFor[file](), "")
	}
}

// check compares a node with a type, and tags as a string what has to be one. It reports false if the node does not
// have that type; wrong members of a mapping are removed.
func (d *document) check(node *yaml.Node, t reflect.Type, key string) bool {
	switch {
	case d.broken[node]:
		return false
	case isNull(node) && (t.Kind() != reflect.String || !d.fromVariable[node]):
		return d.refuse(node, key, "the value is missing", "write one, or remove the key to use its default")
	}
	if t.Kind() == reflect.Pointer {
		if node.Kind == yaml.MappingNode && len(node.Content) == 0 { // viper would drop the key
			return d.refuse(node, key, "the mapping is empty", "add its keys, or remove it")
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
		return d.checkScalar(node, key, scalar{new(bool), "!!bool", "a boolean", "true or false"})
	case reflect.Int:
		return d.checkScalar(node, key, scalar{new(int), "!!int", "a whole number", "a number like 10"})
	default: // float64
		return d.checkScalar(node, key, scalar{new(float64), "!!float", "a number", "a number like 1.5"})
	}
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }

// isText reports whether a node can be text. The value of a variable always can, even if YAML would read it as a
// number, because keys and passwords may look like one.
func (d *document) isText(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && (d.fromVariable[node] ||
		slices.Contains([]string{"!!str", "!!timestamp"}, node.ShortTag()))
}

// refuse records a finding and its key, for which later findings are suppressed. It returns false.
func (d *document) refuse(node *yaml.Node, key, problem, remedy string) bool {
	d.note(node, key, problem, remedy)
	d.refused = append(d.refused, key)
	return false
}

// checkList checks the elements of a list. It replaces a wrong mapping by an empty one, so that the indexes of the
// others stay right.
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

// scalar is a type of value other than text.
type scalar struct {
	target             any // a pointer to decode into
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

// wrong records that a node does not have the type that its key requires.
func (d *document) wrong(node *yaml.Node, key, want, example string) bool {
	have := "a list"
	switch node.Kind {
	case yaml.MappingNode:
		have = "a mapping"
	case yaml.ScalarNode:
		have = fmt.Sprintf("%q", shorten(node.Value))
	}
	remedy := "write " + example
	if node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 { // the value alone may look right
		plain := yaml.Node{Kind: yaml.ScalarNode, Value: node.Value}
		if tag := plain.ShortTag(); (tag == "!!int" || tag == "!!float" || tag == "!!bool") && !d.fromVariable[node] {
			have = fmt.Sprintf("%q is in quotes, which make it text, and therefore", shorten(node.Value))
			return d.refuse(node, key, fmt.Sprintf("%s not %s", have, want), remedy+", without quotes")
		}
		remedy += ", without quotes"
	}
	return d.refuse(node, key, fmt.Sprintf("%s is not %s", have, want), remedy)
}

// shorten limits a value of the file for a message.
func shorten(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "..."
	}
	return s
}

// checkText checks a scalar by the UnmarshalText of its type. The text behind the last "; " of its error is the remedy.
func (d *document) checkText(node *yaml.Node, t reflect.Type, key string) bool {
	if node.Kind != yaml.ScalarNode {
		return d.wrong(node, key, "a single value", "a duration like 30s")
	}
	value, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler)
	if !ok {
		return true
	}
	if err := value.UnmarshalText([]byte(node.Value)); err != nil {
		problem, remedy := err.Error(), "write a valid value"
		if at := strings.LastIndex(problem, "; "); at >= 0 {
			problem, remedy = problem[:at], problem[at+2:]
		}
		return d.refuse(node, key, problem, remedy)
	}
	node.Tag = "!!str"
	return true
}

// checkMap checks a mapping from attribute names to values. It refuses upper case, because viper would fold it
// silently.
func (d *document) checkMap(node *yaml.Node, t reflect.Type, key string) bool {
	if node.Kind != yaml.MappingNode {
		return d.wrong(node, key, "a mapping", "{ name: value }")
	}
	ok := true
	d.eachMember(node, key, func(nameNode, value *yaml.Node, memberKey string) bool {
		if nameNode.Value != strings.ToLower(nameNode.Value) {
			ok = d.refuse(nameNode, memberKey, fmt.Sprintf("%q has upper-case letters", nameNode.Value),
				"use lower-case letters and digits")
			return false
		}
		kept := d.check(value, t.Elem(), memberKey)
		ok = ok && kept
		return kept
	})
	return ok
}

// eachMember calls f for each member of a mapping, and keeps the members for which f reports true. Duplicate keys, and
// keys that are not scalars, are refused.
func (d *document) eachMember(node *yaml.Node, key string, f func(name, value *yaml.Node, key string) bool) {
	seen := map[string]bool{}
	var kept []*yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		memberKey := join(key, name.Value)
		if name.Kind != yaml.ScalarNode {
			d.refuse(name, memberKey, "the key is not plain text", "write a name")
			continue
		}
		name.Tag = "!!str" // otherwise 012 would be the number 10
		if seen[name.Value] {
			d.refuse(name, memberKey, "the key is a duplicate", "remove one of them")
			continue
		}
		seen[name.Value] = true
		if f(name, value, memberKey) {
			kept = append(kept, name, value)
		}
	}
	node.Content = kept
}

// checkStruct checks the keys of a mapping against the fields of a configuration struct.
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
		case isPrivate(name.Value):
			return false // for anchors
		case allKnown:
			return d.refuse(name, memberKey, "unknown key", suggestion(name.Value, fields))
		}
		return false // the keys of an unknown source type are not known
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

// addTypeFields adds the keys of the source's type to fields. It reports false, with a finding, if the type is not
// known.
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
		return false // its own check has reported it
	}
	for _, t := range d.options.Types {
		if t.Name == typeNode.Value {
			for name, fieldType := range fieldsOf(reflect.TypeOf(t.NewConfig(source.Defaults{})).Elem()) {
				fields[name] = fieldType
			}
			return true
		}
	}
	return d.refuse(typeNode, join(key, "type"),
		fmt.Sprintf("the source type %q does not exist", shorten(typeNode.Value)), choose)
}
