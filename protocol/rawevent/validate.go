package rawevent

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds on what an untrusted sender can put into one event. They are far above the 64 KiB per event that the
// specification obliges intermediaries to forward, so that no valid event of that size is refused for its shape.
const (
	maxAttributes    = 256
	maxNameLength    = 64
	maxValueLength   = 64 << 10
	maxJSONDepth     = 128
	maxDataDepth     = maxJSONDepth - 2 // data lies inside an event inside a batch
	maxBatchedEvents = 10_000
)

const (
	ruleString = "must be valid UTF-8 without control characters or Unicode noncharacters " +
		"(CloudEvents type system: String)"
	ruleName = "attribute names consist of lower-case letters and digits only (CloudEvents: naming conventions)"
)

// Validate checks e against the CloudEvents specification: required attributes, names, the type of every core
// attribute, and the media type. It also sorts the attributes into canonical order and converts the letters T and Z of
// the time to upper case. A non-nil error is an *[Error].
func (e *Event) Validate() error {
	if err := e.validate(); err != nil {
		return err
	}
	return nil
}

func (e *Event) validate() *Error {
	if dup := e.Canonicalize(); dup != "" {
		return invalid(dup, "occurs more than once")
	}
	if len(e.Attributes) > maxAttributes {
		return tooLarge("", fmt.Sprintf("more than %d attributes", maxAttributes))
	}
	for i := range e.Attributes {
		a := &e.Attributes[i]
		if err := checkName(a.Name); err != nil {
			return err
		}
		if err := checkValue(a); err != nil {
			return err
		}
	}
	for _, name := range [...]string{AttrSpecVersion, AttrID, AttrSource, AttrType} {
		if _, ok := e.Attribute(name); !ok {
			return invalid(name, "is required")
		}
	}
	if e.DataContentType != "" && !validMediaType(e.DataContentType) {
		return invalid(AttrDataContentType, "must be a media type as in RFC 2046, like application/json")
	}
	return nil
}

func checkName(name string) *Error {
	switch {
	case name == "":
		return invalid("", "an attribute has an empty name")
	case name == "data":
		return invalid(name, "this name is reserved for the payload; rename the extension")
	case name == AttrDataContentType:
		return invalid(name, "must not be sent as an attribute of its own; Content-Type carries it")
	case len(name) > maxNameLength:
		start := strings.ToValidUTF8(name[:maxNameLength], "")
		return tooLarge(start, fmt.Sprintf("the name is longer than %d characters", maxNameLength))
	}
	if !ValidName(name) {
		return invalid(name, ruleName)
	}
	return nil
}

// ValidName reports whether name is not empty and consists of lower-case ASCII letters and digits.
func ValidName(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

func checkValue(a *Attribute) *Error {
	if len(a.Value) > maxValueLength {
		return tooLarge(a.Name, fmt.Sprintf("the value is longer than %d bytes", maxValueLength))
	}
	if !validString(a.Value) {
		return invalid(a.Name, ruleString)
	}
	if rank(a.Name) == extensionRank {
		return nil // an extension may be any String, including the empty one
	}
	if a.Value == "" {
		return invalid(a.Name, "must not be empty")
	}
	switch a.Name {
	case AttrSpecVersion:
		if a.Value != SpecVersion {
			return invalid(a.Name, `must be "1.0"`)
		}
	case AttrSource:
		if !validURIReference(a.Value) {
			return invalid(a.Name, "must be a URI-reference (RFC 3986 section 4.1)")
		}
	case AttrDataSchema:
		if !validAbsoluteURI(a.Value) {
			return invalid(a.Name, "must be an absolute URI without fragment (RFC 3986 section 4.3)")
		}
	case AttrTime:
		normal, ok := normalizeTime(a.Value)
		if !ok {
			return invalid(a.Name, "must be a timestamp as in RFC 3339, like 2026-11-23T01:02:03Z")
		}
		a.Value = normal
	}
	return nil
}

// validString reports whether s is a String of the CloudEvents type system: valid UTF-8 without U+0000-001F,
// U+007F-009F and noncharacters. (Valid UTF-8 has no unpaired surrogates.)
func validString(s string) bool {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c < 0x20 || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1,
			r <= 0x9f,
			r >= 0xfdd0 && r <= 0xfdef,
			r&0xfffe == 0xfffe:
			return false
		}
		i += size
	}
	return true
}
