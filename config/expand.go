package config

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// expand replaces ${NAME} and ${NAME:-default} in all values; $$ is a dollar sign.
func (d *document) expand(node *yaml.Node, key string) {
	switch node.Kind {
	case yaml.ScalarNode:
		if strings.Contains(node.Value, "$") {
			d.expandScalar(node, key)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if isPrivate(node.Content[i].Value) {
				continue
			}
			d.expand(node.Content[i+1], join(key, node.Content[i].Value))
		}
	case yaml.SequenceNode:
		for i, element := range node.Content {
			d.expand(element, fmt.Sprintf("%s[%d]", key, i))
		}
	}
}

// expandScalar expands a value and, if it is one variable and nothing else, gives it the type that its text has.
func (d *document) expandScalar(node *yaml.Node, key string) {
	isVariable := regexp.MustCompile(`^\$\{[^}]*\}$`).MatchString(node.Value)
	before := len(d.findings)
	node.Value = d.expandText(node, key)
	switch {
	case len(d.findings) > before:
		d.broken[node] = true
	case isVariable: // the value may be a number now, even if the reference was quoted, as { } requires
		node.Tag, node.Style = "", 0
		node.Tag = node.ShortTag()
		d.fromVariable[node] = true
	}
}

// expandText returns the expanded text of a node, with a finding for each variable that is wrong.
func (d *document) expandText(node *yaml.Node, key string) string {
	pattern := regexp.MustCompile(`\$\$|\$\{([^}]*)\}|\$`)
	return pattern.ReplaceAllStringFunc(node.Value, func(match string) string {
		switch match {
		case "$$":
			return "$"
		case "$":
			d.refuse(node, key, "a single $ has no meaning", "write ${NAME} for a variable, or $$ for a dollar sign")
			return match
		}
		name, fallback, hasFallback := strings.Cut(match[2:len(match)-1], ":-")
		if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(name) {
			d.refuse(node, key, fmt.Sprintf("%q is not a valid variable name", name),
				"write ${NAME} or ${NAME:-default}")
			return ""
		}
		unescaped := strings.ReplaceAll(fallback, "$$", "")
		if strings.Contains(unescaped, "$") {
			d.refuse(node, key, fmt.Sprintf("the default of the variable %s contains a variable or a single $", name),
				"write plain text as the default, with $$ for a dollar sign")
			return ""
		}
		value, found := d.options.lookup(name)
		switch {
		case found && (value != "" || !hasFallback):
			return value
		case hasFallback:
			return strings.ReplaceAll(fallback, "$$", "$")
		}
		d.refuse(node, key, fmt.Sprintf("the variable %s is not set", name),
			fmt.Sprintf("set it, or write ${%s:-default}", name))
		return ""
	})
}
