package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// maxAliasNodes bounds what all aliases of a file stand for, so that a few lines cannot fill the memory.
	maxAliasNodes = 20_000
	// privatePrefix begins keys that the gateway ignores: they hold anchors, as in Compose files.
	privatePrefix = "x-"
	mergeTag      = "!!merge"
)

// resolver replaces the aliases of a document by copies of what they stand for, and merge keys by the keys that they
// merge. Everything behind it sees plain trees. The copies keep the positions of the originals.
type resolver struct {
	document *document
	copied   int                 // nodes that aliases stand for
	active   map[*yaml.Node]bool // anchors being copied: an alias within its own anchor has no end
}

// resolve reports false, with a finding, if the aliases cannot be resolved.
func (d *document) resolve(top *yaml.Node) bool {
	r := resolver{document: d, active: map[*yaml.Node]bool{}}
	return r.visit(top, "")
}

// visit resolves the content of a node in place.
func (r *resolver) visit(node *yaml.Node, key string) bool {
	for i, child := range node.Content {
		childKey := key
		switch {
		case node.Kind == yaml.SequenceNode:
			childKey = fmt.Sprintf("%s[%d]", key, i)
		case node.Kind == yaml.MappingNode && i%2 == 1:
			childKey = join(key, node.Content[i-1].Value)
		}
		if child.Kind == yaml.AliasNode {
			copied, ok := r.copy(child, child, childKey)
			if !ok {
				return false
			}
			node.Content[i] = copied
			continue
		}
		r.active[child] = true
		ok := r.visit(child, childKey)
		delete(r.active, child)
		if !ok {
			return false
		}
	}
	return node.Kind != yaml.MappingNode || r.merge(node, key)
}

// copy returns a deep copy of a node in which aliases are resolved. alias is the alias in the file that asks for it.
func (r *resolver) copy(node, alias *yaml.Node, key string) (*yaml.Node, bool) {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if r.active[node] {
		return nil, r.document.refuse(alias, key, fmt.Sprintf("the alias *%s stands within its own anchor", alias.Value),
			"write the value itself")
	}
	if r.copied++; r.copied > maxAliasNodes {
		return nil, r.document.refuse(alias, key,
			fmt.Sprintf("the aliases stand for more than %d values", maxAliasNodes), "use fewer aliases within aliases")
	}
	r.active[node] = true
	defer delete(r.active, node)
	result := *node
	result.Anchor = ""
	result.Content = make([]*yaml.Node, len(node.Content))
	for i, child := range node.Content {
		var ok bool
		if result.Content[i], ok = r.copy(child, alias, key); !ok {
			return nil, false
		}
	}
	return &result, result.Kind != yaml.MappingNode || r.merge(&result, key)
}

// merge replaces the key << of a mapping by the keys of its value, a mapping or a list of mappings. As YAML defines it,
// the mapping's own keys take precedence, and then the earlier mappings of the list.
func (r *resolver) merge(node *yaml.Node, key string) bool {
	own := map[string]bool{}
	var kept, sources []*yaml.Node
	var mergeKey *yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		if name.ShortTag() != mergeTag {
			own[name.Value] = true
			kept = append(kept, name, value)
			continue
		}
		if mergeKey != nil {
			return r.document.refuse(name, join(key, "<<"), "the key is a duplicate", "merge several with <<: [*a, *b]")
		}
		mergeKey, sources = name, []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			sources = value.Content
		}
	}
	if mergeKey == nil {
		return true
	}
	for _, source := range sources {
		if source.Kind != yaml.MappingNode {
			return r.document.refuse(mergeKey, join(key, "<<"), "what << merges is not a mapping",
				"write <<: *anchor or <<: [*a, *b], with the anchors of mappings")
		}
		for i := 0; i+1 < len(source.Content); i += 2 {
			name := source.Content[i]
			if own[name.Value] {
				continue
			}
			own[name.Value] = true
			kept = append(kept, name, source.Content[i+1])
		}
	}
	node.Content = kept
	return true
}

// isPrivate reports whether a key is one that the gateway ignores.
func isPrivate(name string) bool { return strings.HasPrefix(name, privatePrefix) }
