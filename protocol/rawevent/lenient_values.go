package rawevent

import (
	"regexp"
	"strings"
	"unicode"
)

// mend repairs the values of attributes, and leaves out optional ones of which nothing valid can be made. Validation
// follows it and refuses what mend left alone.
func (l *Lenient) mend(e *Event) {
	if l == nil || e.Canonicalize() != "" {
		return
	}
	l.version(e)
	kept := e.Attributes[:0]
	for _, a := range e.Attributes {
		isOptional := rank(a.Name) < extensionRank && !isRequired(a.Name)
		if isOptional && a.Value == "" {
			l.note(a.Name)
			continue
		}
		if checkValue(&a) != nil {
			if meant := meant(&a); meant != a.Value {
				a.Value = meant
				l.note(a.Name)
			}
			if err := checkValue(&a); isOptional && err != nil && err.Reason == Invalid {
				l.leaveOut(a.Name)
				continue
			}
		}
		kept = append(kept, a)
	}
	e.Attributes = kept
}

func isRequired(name string) bool {
	return name == AttrID || name == AttrSource || name == AttrType || name == AttrSpecVersion
}

// meant returns the valid value that an invalid one stands for, or the value itself if that is not plain.
func meant(a *Attribute) string {
	switch a.Name {
	case AttrSource:
		return encodeURI(a.Value)
	case AttrDataSchema:
		return encodeURI(strings.TrimSuffix(a.Value, "#")) // an empty fragment adds nothing
	case AttrTime:
		return meantTime(strings.TrimSpace(a.Value))
	case AttrID, AttrSpecVersion:
		return a.Value
	default:
		return legalString(a.Value)
	}
}

// mediaType repairs datacontenttype. It comes before the data are read, whose form depends on it.
func (l *Lenient) mediaType(e *Event) {
	if l == nil || e.DataContentType == "" || validMediaType(e.DataContentType) {
		return
	}
	if e.DataContentType = meantMediaType(e.DataContentType); e.DataContentType == "" {
		l.leaveOut(AttrDataContentType)
		return
	}
	l.note(AttrDataContentType)
}

func meantMediaType(s string) string {
	if s = strings.TrimSpace(s); validMediaType(s) {
		return s
	}
	base := strings.TrimSpace(until(s, ";,"))
	switch {
	case validMediaType(base):
		return base
	case strings.EqualFold(base, "json"):
		return "application/json"
	case strings.EqualFold(base, "xml"):
		return "application/xml"
	case strings.EqualFold(base, "text"), strings.EqualFold(base, "plain"):
		return "text/plain"
	default:
		return ""
	}
}

// encodeURI percent-encodes what is not allowed in a URI: everything but the characters of RFC 3986 section 2, and
// percent signs without two hexadecimal digits after them.
func encodeURI(s string) string {
	const upperHex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		isLegal := isAlpha(c) || isDigit(c) || strings.IndexByte("-._~:/?#[]@!$&'()*+,;=", c) >= 0
		if c == '%' {
			isLegal = i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2])
		}
		if isLegal {
			b.WriteByte(c)
			continue
		}
		b.WriteString(string([]byte{'%', upperHex[c>>4], upperHex[c&15]}))
	}
	return b.String()
}

// nearTime matches timestamps that are almost RFC 3339.
var nearTime = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})[Tt ]+(\d{1,2})(:\d{2}:\d{2})(?:[.,](\d+))? ?` +
	`(Z|z|UTC|GMT|([+-]\d{2}):?(\d{2}))$`)

func meantTime(s string) string {
	m := nearTime.FindStringSubmatch(s)
	if m == nil {
		return s
	}
	date, hour, rest, fraction, zone := m[1], m[2], m[3], m[4], "Z"
	if len(hour) == 1 {
		hour = "0" + hour
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	if m[6] != "" {
		zone = m[6] + ":" + m[7]
	}
	return date + "T" + hour + rest + fraction + zone
}

// legalString replaces characters that a String of the CloudEvents type system must not contain.
func legalString(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\r' || r == '\n':
			return ' '
		case !validString(string(r)):
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
