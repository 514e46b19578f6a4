package setting

import (
	"strings"
)

// Problem says what is wrong with one value of a configuration.
type Problem struct {
	Path    string // where, from the value being validated: delivery.timeout, filters[0].exact
	Message string // what is wrong, with the value
	Remedy  string // what to write instead
}

// Problems is everything that is wrong with a configuration, as an error.
type Problems []Problem

// Error implements error, one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Path + ": " + problem.Message + "; " + problem.Remedy
	}
	return strings.Join(lines, "\n")
}

// Add notes a problem.
func (p *Problems) Add(path, message, remedy string) {
	*p = append(*p, Problem{path, message, remedy})
}

// AddAll notes the problems of a part, whose paths begin at prefix.
func (p *Problems) AddAll(prefix string, part Problems) {
	for _, problem := range part {
		switch {
		case prefix == "":
		case problem.Path == "":
			problem.Path = prefix
		case problem.Path[0] == '[':
			problem.Path = prefix + problem.Path
		default:
			problem.Path = prefix + "." + problem.Path
		}
		*p = append(*p, problem)
	}
}
