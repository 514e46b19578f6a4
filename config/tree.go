package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/streamgate/streamgate/gateway"
)

// file is the shape of the file, as far as it does not depend on the types of sources.
type file struct {
	Redis         RedisConfig                  `mapstructure:"redis"`
	Server        gateway.ServerConfig         `mapstructure:"server"`
	Admin         gateway.AdminConfig          `mapstructure:"admin"`
	Streams       []gateway.StreamConfig       `mapstructure:"streams"`
	Sources       []sourceHead                 `mapstructure:"sources"`
	Subscriptions []gateway.SubscriptionConfig `mapstructure:"subscriptions"`
}

// sourceHead is what every source has; the keys of its type stand beside it.
type sourceHead struct {
	Name   string `mapstructure:"name"`
	Type   string `mapstructure:"type"`
	Stream string `mapstructure:"stream"`
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
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
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

// expand replaces ${NAME} and ${NAME:-default} in all values; $$ is a dollar sign.
func (d *document) expand(node *yaml.Node, key string) {
	switch node.Kind {
	case yaml.ScalarNode:
		if strings.Contains(node.Value, "$") {
			isVariable := regexp.MustCompile(`^\$\{[^}]*\}$`).MatchString(node.Value)
			node.Value = d.expandText(node, key)
			if isVariable { // what stands there now may be a number, also where quotes were needed inside of { }
				node.Tag, node.Style = "", 0
				node.Tag = node.ShortTag()
			}
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			d.expand(node.Content[i+1], join(key, node.Content[i].Value))
		}
	case yaml.SequenceNode:
		for i, element := range node.Content {
			d.expand(element, fmt.Sprintf("%s[%d]", key, i))
		}
	}
}

func (d *document) expandText(node *yaml.Node, key string) string {
	pattern := regexp.MustCompile(`\$\$|\$\{([^}]*)\}|\$`)
	return pattern.ReplaceAllStringFunc(node.Value, func(match string) string {
		switch match {
		case "$$":
			return "$"
		case "$":
			d.refuse(node, key, "a single $ means nothing", "write ${NAME} for a variable, or $$ for a dollar sign")
			return match
		}
		name, fallback, hasFallback := strings.Cut(match[2:len(match)-1], ":-")
		if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(name) {
			d.refuse(node, key, fmt.Sprintf("%q is no name of a variable", name), "write ${NAME} or ${NAME:-default}")
			return ""
		}
		value, found := d.options.lookup(name)
		switch {
		case found && (value != "" || !hasFallback):
			return value
		case hasFallback:
			return fallback
		}
		d.refuse(node, key, fmt.Sprintf("the variable %s is not set", name), fmt.Sprintf("set it, or write ${%s:-default}", name))
		return ""
	})
}

func join(key, name string) string {
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
	case slices.Contains(d.refused, key):
		return false // its variables are wrong
	case node.Kind == yaml.AliasNode:
		return d.refuse(node, key, "this is a YAML alias", "write the value out")
	case node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null":
		return d.refuse(node, key, "there is no value", "give one, or remove the key to use its default")
	}
	if t.Kind() == reflect.Pointer {
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
		ok := d.checkScalar(node, key, []string{"!!str", "!!timestamp"}, "text", "a value in quotes")
		node.Tag = "!!str"
		return ok
	case reflect.Bool:
		return d.checkScalar(node, key, []string{"!!bool"}, "true or false", "true or false")
	case reflect.Int:
		return d.checkScalar(node, key, []string{"!!int"}, "a whole number", "a number like 10")
	default: // float64
		return d.checkScalar(node, key, []string{"!!float", "!!int"}, "a number", "a number like 1.5")
	}
}

// refuse notes a finding and remembers the key, about which nothing more is to be said.
func (d *document) refuse(node *yaml.Node, key, problem, remedy string) bool {
	d.note(node, key, problem, remedy)
	d.refused = append(d.refused, key)
	return false
}

func (d *document) checkList(node *yaml.Node, t reflect.Type, key string) bool {
	if node.Kind != yaml.SequenceNode {
		return d.wrong(node, key, "a list", "[a, b]")
	}
	ok := true
	for i, element := range node.Content {
		ok = d.check(element, t.Elem(), fmt.Sprintf("%s[%d]", key, i)) && ok
	}
	return ok
}

func (d *document) checkScalar(node *yaml.Node, key string, tags []string, what, example string) bool {
	if node.Kind != yaml.ScalarNode || !slices.Contains(tags, node.ShortTag()) {
		return d.wrong(node, key, what, example)
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
		problem, remedy, found := strings.Cut(err.Error(), "; ")
		if !found {
			remedy = "write another value"
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
	if t == reflect.TypeFor[sourceHead]() && !d.addTypeFields(fields, node, key) {
		return true // what its other keys may be is not known
	}
	d.eachMember(node, key, func(name, value *yaml.Node, memberKey string) bool {
		fieldType, known := fields[name.Value]
		if !known {
			return d.refuse(name, memberKey, "unknown key", suggestion(name.Value, fields))
		}
		return d.check(value, fieldType, memberKey)
	})
	return true
}

// fieldsOf returns the keys of a configuration struct and the types of their values.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("mapstructure"); name != "" {
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
	if typeNode == nil {
		return d.refuse(node, join(key, "type"), "the source has no type", choose)
	}
	for _, t := range d.options.Types {
		if t.Name == typeNode.Value {
			for name, fieldType := range fieldsOf(reflect.TypeOf(t.NewConfig()).Elem()) {
				fields[name] = fieldType
			}
			return true
		}
	}
	return d.refuse(typeNode, join(key, "type"), fmt.Sprintf("there is no source type %q", shorten(typeNode.Value)), choose)
}

// child returns the value of a key of a mapping, or nil.
func child(node *yaml.Node, name string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i+1]
		}
	}
	return nil
}

// suggestion names the key that was probably meant, or all that there are.
func suggestion(name string, fields map[string]reflect.Type) string {
	known := make([]string, 0, len(fields))
	best, bestDistance := "", 3
	for candidate := range fields {
		known = append(known, candidate)
		if n := distance(strings.ToLower(name), strings.ToLower(candidate)); n < bestDistance {
			best, bestDistance = candidate, n
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	slices.Sort(known)
	return "the keys here are " + strings.Join(known, ", ")
}

// distance is the number of characters to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j+1]+1, row[j]+1, cost)
		}
	}
	return row[len(b)]
}

// find returns the node that a path like subscriptions[0].delivery.timeout leads to, the key where there is one, or the
// nearest one above it that exists.
func (d *document) find(path string) *yaml.Node {
	node, found := d.root, d.root
	for _, part := range regexp.MustCompile(`[^.\[\]]+`).FindAllString(path, -1) {
		if node == nil {
			return found
		}
		if index, err := strconv.Atoi(part); err == nil && node.Kind == yaml.SequenceNode {
			if index >= len(node.Content) {
				return found
			}
			node = node.Content[index]
			found = node
			continue
		}
		var next *yaml.Node
		for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == part {
				found, next = node.Content[i], node.Content[i+1]
			}
		}
		node = next
	}
	return found
}
