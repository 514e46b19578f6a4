package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Finding is one problem of a configuration.
type Finding struct {
	File         string // the file, or "environment"
	Line, Column int    // from 1; 0 where there is no position
	Key          string // like subscriptions[0].delivery.timeout
	Problem      string // what is wrong, with the value
	Remedy       string // what to write instead
}

// String returns file:line:column: key: problem; remedy. It is always one line: line breaks of the file are escaped.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	if f.Key != "" {
		b.WriteString(": " + f.Key)
	}
	b.WriteString(": " + f.Problem + "; " + f.Remedy)
	return strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(b.String())
}

// Error holds all problems of a configuration, of which there is at least one.
type Error struct{ Findings []Finding }

// Error returns the findings in the order of the file, one per line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// asError returns the findings as an *[Error], sorted and each once, or nil if there are none.
func asError(findings []Finding) error {
	if len(findings) == 0 {
		return nil
	}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Error{slices.Compact(findings)}
}
