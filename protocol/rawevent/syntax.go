package rawevent

import (
	"mime"
	"net/netip"
	"strings"
)

// This file holds the grammars of attribute values. Values are checked rather than parsed into net/url or time values,
// because both change the text when they write it back.

// validURIReference reports whether s follows RFC 3986 section 4.1.
func validURIReference(s string) bool {
	scheme, rest := splitScheme(s)
	if scheme == "" {
		if first, _, _ := strings.Cut(until(s, "?#"), "/"); strings.Contains(first, ":") {
			return false // path-noscheme: the part before the colon would be read as a scheme
		}
	}
	return validAfterScheme(rest, true)
}

// validAbsoluteURI reports whether s follows RFC 3986 section 4.3: with a scheme and without a fragment.
func validAbsoluteURI(s string) bool {
	scheme, rest := splitScheme(s)
	return scheme != "" && validAfterScheme(rest, false)
}

// splitScheme returns the scheme of s and the rest after its colon, or "" and s if there is no scheme.
func splitScheme(s string) (scheme, rest string) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case isAlpha(c):
		case i > 0 && (isDigit(c) || c == '+' || c == '-' || c == '.'):
		case i > 0 && c == ':':
			return s[:i], s[i+1:]
		default:
			return "", s
		}
	}
	return "", s
}

func validAfterScheme(s string, fragmentAllowed bool) bool {
	beforeFragment, fragment, hasFragment := strings.Cut(s, "#")
	if hasFragment && (!fragmentAllowed || !onlyChars(fragment, "/?")) {
		return false
	}
	path, query, _ := strings.Cut(beforeFragment, "?")
	if !onlyChars(query, "/?") {
		return false
	}
	if after, found := strings.CutPrefix(path, "//"); found {
		authority := until(after, "/")
		if !validAuthority(authority) {
			return false
		}
		path = after[len(authority):]
	}
	return onlyChars(path, "/")
}

func validAuthority(s string) bool {
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		if !onlyChars(s[:at], "") || strings.Contains(s[:at], "@") {
			return false
		}
		s = s[at+1:]
	}
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 || !validIPLiteral(s[1:end]) {
			return false
		}
		return s[end+1:] == "" || s[end+1] == ':' && onlyDigits(s[end+2:])
	}
	host, port, _ := strings.Cut(s, ":")
	return onlyChars(host, "") && onlyDigits(port)
}

// validIPLiteral reports whether s, without its brackets, is an IPv6address or an IPvFuture (RFC 3986 section 3.2.2).
// net/url refuses anything else, so that the CloudEvents SDK could not represent the event.
func validIPLiteral(s string) bool {
	if s != "" && s[0]|0x20 == 'v' {
		version, address, _ := strings.Cut(s[1:], ".")
		return version != "" && strings.Trim(version, "0123456789abcdefABCDEF") == "" &&
			address != "" && onlyChars(address, "") && !strings.ContainsAny(address, "@%")
	}
	address, err := netip.ParseAddr(s)
	return err == nil && address.Is6() && address.Zone() == "" // RFC 6874 added zones, written with %25
}

// onlyChars reports whether s consists of pchar (RFC 3986 section 3.3) and the characters in extra.
func onlyChars(s, extra string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case isAlpha(c) || isDigit(c) || strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0:
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			i += 2
		case strings.IndexByte(extra, c) >= 0:
		default:
			return false
		}
	}
	return true
}

// normalizeTime checks s against RFC 3339 section 5.6 and returns it with T and Z in upper case; nothing else changes.
// Leap seconds and any number of fraction digits are accepted.
func normalizeTime(s string) (string, bool) {
	const layout = "dddd-dd-ddTdd:dd:dd"
	if len(s) < len(layout)+1 {
		return "", false
	}
	for i := 0; i < len(layout); i++ {
		switch c := s[i]; layout[i] {
		case 'd':
			if !isDigit(c) {
				return "", false
			}
		case 'T':
			if c != 'T' && c != 't' {
				return "", false
			}
		default:
			if c != layout[i] {
				return "", false
			}
		}
	}
	year, month, day := number(s[0:4]), number(s[5:7]), number(s[8:10])
	hour, minute, second := number(s[11:13]), number(s[14:16]), number(s[17:19])
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 60 {
		return "", false
	}
	if !validFractionAndZone(s[len(layout):]) {
		return "", false
	}
	if s[10] == 't' || s[len(s)-1] == 'z' {
		return strings.ToUpper(s), true
	}
	return s, true
}

func validFractionAndZone(s string) bool {
	if s[0] == '.' {
		digits := 1
		for digits < len(s) && isDigit(s[digits]) {
			digits++
		}
		if digits == 1 {
			return false
		}
		s = s[digits:]
	}
	if s == "Z" || s == "z" {
		return true
	}
	return len(s) == 6 && (s[0] == '+' || s[0] == '-') && s[3] == ':' && onlyDigits(s[1:3]) && onlyDigits(s[4:6]) &&
		number(s[1:3]) <= 23 && number(s[4:6]) <= 59
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	default:
		return 31
	}
}

// validMediaType reports whether s is type "/" subtype with optional parameters (RFC 2046, tokens of RFC 9110).
func validMediaType(s string) bool {
	if len(s) > maxValueLength || strings.HasSuffix(s, " ") { // HTTP trims header values, so the space would be lost
		return false
	}
	base := until(s, ";")
	kind, subtype, found := strings.Cut(strings.TrimRight(base, " \t"), "/")
	if !found || !isToken(kind) || !isToken(subtype) {
		return false
	}
	if len(base) == len(s) {
		return validString(base)
	}
	_, _, err := mime.ParseMediaType(s)
	return err == nil && validString(s)
}

// IsJSON reports whether a media type denotes JSON: its subtype is json or ends in +json (JSON event format section
// 3.1). Case and parameters are ignored. An empty media type is not JSON.
func IsJSON(mediaType string) bool {
	_, subtype, found := strings.Cut(strings.TrimSpace(until(mediaType, ";")), "/")
	return found && (strings.EqualFold(subtype, "json") ||
		len(subtype) > 5 && strings.EqualFold(subtype[len(subtype)-5:], "+json"))
}

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isAlpha(c) && !isDigit(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// until returns s up to the first character that is in stops.
func until(s, stops string) string {
	if i := strings.IndexAny(s, stops); i >= 0 {
		return s[:i]
	}
	return s
}

func number(digits string) int {
	n := 0
	for i := 0; i < len(digits); i++ {
		n = n*10 + int(digits[i]-'0')
	}
	return n
}

func onlyDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
