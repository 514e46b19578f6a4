// Package peer describes in words what an HTTP server did: how it answered, or why no answer came. Logs, dead letters,
// the operators' API and the list of sources all use these descriptions, so that a fault reads the same everywhere.
//
//   - [Read] reads the beginning of an answer and returns an [Answer], which describes itself.
//   - [Cause] says why a request got no answer.
//   - [Redacted] returns an address without what may be secret in it.
//
// Descriptions are one line of printable text. They contain no user, password, query or fragment of an address, and
// none of the words in which Go's libraries report faults to programmers. Remedies that name keys of a configuration
// are the caller's to add. The package imports the standard library and package foreign only.
package peer
