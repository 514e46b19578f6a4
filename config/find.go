package config

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

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

// suggestion returns the remedy for an unknown key: the most similar key, or all valid keys.
func suggestion(name string, fields map[string]reflect.Type) string {
	known := slices.Sorted(maps.Keys(fields))
	best, bestDistance := "", 2 // in a short word, two other letters make another word
	if len(name) > 5 {
		bestDistance = 3
	}
	plain := strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
	for _, candidate := range known {
		if n := distance(plain, strings.ToLower(candidate)); n < bestDistance {
			best, bestDistance = candidate, n
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	return "the keys here are " + strings.Join(known, ", ")
}

// distance returns the number of bytes to insert, delete or replace, or of neighbours to swap, to turn a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			cost := last[j]
			if a[i] != b[j] {
				cost++
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}

// find returns the node of a path like subscriptions[0].delivery.timeout: the key of a mapping, or an element of a
// list. If the path does not exist, it returns the node of the longest part that does.
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
