package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// position is a place in the text of a file, from 1. The column counts characters, as the YAML library does.
type position struct{ line, column int }

// positionAt returns the place of a byte of a text.
func positionAt(text []byte, offset int) position {
	before := text[:offset]
	start := bytes.LastIndexByte(before, '\n') + 1
	return position{bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1}
}

// checkCharacters reports the first byte that no YAML file may contain. The YAML library refuses it as well, but
// without saying where. A file in UTF-16 with a byte order mark is left to the library.
func (d *document) checkCharacters(text []byte) bool {
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return true
	}
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		problem, remedy := "", ""
		switch {
		case r == utf8.RuneError && size <= 1:
			problem = fmt.Sprintf("the byte 0x%02X is not valid UTF-8", text[at])
			remedy = "save the file in the encoding UTF-8"
		case r == '\uFEFF' && at > 0:
			problem, remedy = "a byte order mark stands inside the text", "remove this invisible character"
		case !isPrintable(r) && (r != '\uFEFF' || at > 0):
			problem, remedy = fmt.Sprintf("the control character %U is not allowed in YAML", r), "remove it"
		}
		if problem != "" {
			d.noteAt(positionAt(text, at), problem, remedy)
			return false
		}
		at += size
	}
	return true
}

// isPrintable reports whether YAML allows a character in its text.
func isPrintable(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r < 0x7f || r == 0x85 || r >= 0xa0 && r <= 0xfffd ||
		r >= 0x10000
}

// acceptVersion turns a directive %YAML 1.x before the document into a comment of the same length, because the library
// knows no other version than 1.1, which does not differ in anything that a configuration uses.
func acceptVersion(text []byte) []byte {
	directive := regexp.MustCompile(`^(?:\x{FEFF})?(?:[ \t]*(?:#[^\n]*)?\r?\n)*(%)YAML[ \t]+1\.\d+[ \t]*(?:#[^\n]*)?\r?\n`)
	if m := directive.FindSubmatchIndex(text); m != nil {
		text = bytes.Clone(text)
		text[m[2]] = '#'
	}
	return text
}

// noteAt records a finding about the text of the file.
func (d *document) noteAt(at position, problem, remedy string) {
	d.findings = append(d.findings, Finding{
		File: d.file, Line: at.line, Column: at.column, Problem: "not valid YAML: " + problem, Remedy: remedy,
	})
}

// syntaxError records an error of the YAML library. It finds the place itself, because the library names the line where
// the surrounding block begins, counts some lines from 0, and names none for the first line.
func (d *document) syntaxError(text []byte, err error) {
	at := locate(text, err)
	line := lineOf(text, at.line)
	problem, remedy := messageOf(err), "check indentation, colons and quotes"
	indentation := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	switch {
	case strings.Contains(indentation, "\t"):
		at.column = strings.IndexByte(indentation, '\t') + 1
		problem, remedy = "the line is indented with a tab", "indent with spaces"
	case problem == "found unexpected end of stream":
		problem, remedy = "a quoted text that begins here is not closed", "close the quotes"
	case problem == "found character that cannot start any token":
		if found := regexp.MustCompile("(?:^|[\\s,:\\[{-])([@`%])").FindStringSubmatchIndex(line); found != nil {
			at.column = utf8.RuneCountInString(line[:found[2]]) + 1
		}
		remedy = "put a value that begins with @, ` or % in quotes"
	case problem == "found incompatible YAML document":
		problem, remedy = "the version of the directive %YAML is not supported", "write %YAML 1.2, or remove the line"
	case strings.HasPrefix(problem, "unknown anchor"):
		remedy = "define the anchor with & above the alias, or remove the alias"
	}
	d.noteAt(at, problem, remedy)
}

// messageOf returns an error of the YAML library without its prefix and line.
func messageOf(err error) string {
	return regexp.MustCompile(`^yaml: (?:line \d+: )?`).ReplaceAllString(err.Error(), "")
}

// locate returns the first character of the line with which the error begins: the text up to and including that line
// has the error, and the text before it does not.
func locate(text []byte, err error) position {
	message := messageOf(err)
	lines := bytes.SplitAfter(text, []byte("\n"))
	ends := make([]int, len(lines))
	end := 0
	for i, line := range lines {
		end += len(line)
		ends[i] = end
	}
	// The last line of all may be empty; the whole text fails, so that Search finds a line before its end.
	line := 1 + min(len(lines)-1, sort.Search(len(lines), func(i int) bool {
		prefixErr := scan(text[:ends[i]])
		return prefixErr != nil && messageOf(prefixErr) == message
	}))
	content := lineOf(text, line)
	return position{line, len(content) - len(strings.TrimLeft(content, " \t")) + 1}
}

// scan parses all documents of a text and returns the first error.
func scan(text []byte) error {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var node yaml.Node
		switch err := decoder.Decode(&node); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// lineOf returns a line of a text, without its end.
func lineOf(text []byte, number int) string {
	lines := bytes.SplitN(text, []byte("\n"), number+1)
	return strings.TrimRight(string(lines[min(number, len(lines))-1]), "\r")
}
