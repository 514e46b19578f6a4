package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// fixture is the file of one peer.
type fixture struct {
	Peer    string  `json:"peer"`
	Version string  `json:"version"`
	How     string  `json:"how"`
	Entries []entry `json:"entries"`
}

// entry is one entry of a stream, its fields in the order in which Redis holds them.
type entry struct {
	Name   string    `json:"name"`
	ID     string    `json:"id"`
	Fields [][2]text `json:"fields"`
}

// text is bytes that are mostly text. In JSON it is a string, or {"base64": "..."} where it is not valid UTF-8.
type text string

type encoded struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON implements json.Marshaler.
func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return marshal(string(t))
	}
	return marshal(encoded{Base64: []byte(t)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	if !bytes.HasPrefix(b, []byte("{")) {
		return json.Unmarshal(b, (*string)(t))
	}
	var e encoded
	if err := json.Unmarshal(b, &e); err != nil {
		return err
	}
	*t = text(e.Base64)
	return nil
}

// marshal leaves <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// write prints a field on a line, which encoding/json would not.
func (f fixture) write(path string) error {
	var out bytes.Buffer
	var problems []error
	value := func(v any) []byte {
		b, err := marshal(v)
		problems = append(problems, err)
		return b
	}
	fmt.Fprintf(&out, "{\n  \"peer\": %s,\n  \"version\": %s,\n  \"how\": %s,\n  \"entries\": [", value(f.Peer), value(f.Version), value(f.How))
	for i, e := range f.Entries {
		fmt.Fprintf(&out, "%s\n    {\n      \"name\": %s,\n      \"id\": %s,\n      \"fields\": [", separator(i), value(e.Name), value(e.ID))
		for j, field := range e.Fields {
			fmt.Fprintf(&out, "%s\n        [%s, %s]", separator(j), value(field[0]), value(field[1]))
		}
		out.WriteString("\n      ]\n    }")
	}
	out.WriteString("\n  ]\n}\n")
	if err := errors.Join(problems...); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

func separator(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

func readFixture(path string) (fixture, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return fixture{}, err
	}
	in := json.NewDecoder(bytes.NewReader(b))
	in.DisallowUnknownFields()
	var f fixture
	if err := in.Decode(&f); err != nil {
		return fixture{}, fmt.Errorf("read %s: %w", path, err)
	}
	return f, nil
}

// compareDirs returns what differs between two directories of recorded peers, in what does not vary from run to run:
// the versions, the names of the cases, the ids, and in each entry the names of the fields and how long their values
// are. The order of the fields is that of a Go map in many peers, and so is that of the keys inside watermill's
// metadata.
func compareDirs(a, b string) error {
	files := [2]map[string]fixture{}
	for i, dir := range []string{a, b} {
		files[i] = map[string]fixture{}
		for _, pattern := range []string{"*.json", filepath.Join(rulesDir, "*.json")} {
			paths, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				return err
			}
			for _, path := range paths {
				if files[i][filepath.Base(path)], err = readFixture(path); err != nil {
					return err
				}
			}
		}
	}
	if len(files[0]) == 0 {
		return fmt.Errorf("%s holds no recorded peers", a)
	}
	var problems []error
	for name, f := range files[0] {
		g, ok := files[1][name]
		if !ok {
			problems = append(problems, fmt.Errorf("%s is not in %s", name, b))
			continue
		}
		problems = append(problems, compareFixtures(name, f, g))
	}
	for name := range files[1] {
		if _, ok := files[0][name]; !ok {
			problems = append(problems, fmt.Errorf("%s is not in %s", name, a))
		}
	}
	return errors.Join(problems...)
}

func compareFixtures(name string, f, g fixture) error {
	var problems []error
	for _, head := range [][2]string{{f.Peer, g.Peer}, {f.Version, g.Version}, {f.How, g.How}} {
		if head[0] != head[1] {
			problems = append(problems, fmt.Errorf("%s: %q is now %q", name, head[0], head[1]))
		}
	}
	if len(f.Entries) != len(g.Entries) {
		return errors.Join(append(problems, fmt.Errorf("%s: %d entries are now %d", name, len(f.Entries), len(g.Entries)))...)
	}
	for i, e := range f.Entries {
		if before, now := outline(e), outline(g.Entries[i]); before != now {
			problems = append(problems, fmt.Errorf("%s: %s\n\tis now %s", name, before, now))
		}
	}
	return errors.Join(problems...)
}

func outline(e entry) string {
	var fields []string
	for _, field := range e.Fields {
		fields = append(fields, fmt.Sprintf("%s(%d)", field[0], len(field[1])))
	}
	slices.Sort(fields)
	return fmt.Sprintf("%s %q %s", e.ID, e.Name, strings.Join(fields, " "))
}
