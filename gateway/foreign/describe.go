package foreign

import (
	"bytes"
	"fmt"
	"html"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxShown bounds, in characters, what a description quotes.
const maxShown = 60

// Describe says what a text is that should have been JSON, as the end of a sentence: "an HTML page with the title
// "Sign in"", "empty". It returns "" for text that begins like JSON. The text is UTF-8, as this package returns it.
func Describe(text []byte) string {
	text = bytes.TrimSpace(text)
	switch {
	case len(text) == 0:
		return "empty"
	case text[0] == '<':
		return describeMarkup(text)
	case bytes.HasPrefix(text, []byte("---")) || bytes.HasPrefix(text, []byte("%YAML")):
		return "YAML or Markdown"
	case bytes.HasPrefix(text, []byte("%PDF")), bytes.HasPrefix(text, []byte("PK\x03\x04")), bytes.IndexByte(text, 0) >= 0:
		return "binary data"
	case beginsLikeJSON(text):
		return ""
	default:
		return fmt.Sprintf("text that begins with %q", beginning(text))
	}
}

// beginsLikeJSON also takes NaN and Infinity for JSON, of which a better reason can be given.
func beginsLikeJSON(text []byte) bool {
	if strings.IndexByte(`{["-+0123456789`, text[0]) >= 0 {
		return true
	}
	word := text
	for i, c := range text {
		if !isWord(c) {
			word = text[:i]
			break
		}
	}
	if len(word) > maxWord {
		return false
	}
	switch string(word) {
	case "true", "false", "null":
		return true
	}
	return len(word) > 0 && isNonFinite(word)
}

func describeMarkup(text []byte) string {
	start := strings.ToLower(string(text[:min(len(text), 4096)]))
	if !strings.Contains(start, "<html") && !strings.HasPrefix(start, "<!doctype html") {
		return "an XML document"
	}
	if title, ok := title(text); ok {
		return fmt.Sprintf("an HTML page with the title %q", title)
	}
	return "an HTML page"
}

func title(text []byte) (string, bool) {
	lower := bytes.ToLower(text)
	if len(lower) != len(text) { // a character whose other case has another length
		return "", false
	}
	from := bytes.Index(lower, []byte("<title"))
	if from < 0 {
		return "", false
	}
	open := bytes.IndexByte(lower[from:], '>')
	if open < 0 {
		return "", false
	}
	from += open + 1
	end := bytes.Index(lower[from:], []byte("</title"))
	if end < 0 {
		return "", false
	}
	found := beginning([]byte(html.UnescapeString(string(text[from : from+end]))))
	return found, found != ""
}

// beginning returns the first characters of a text in one line.
func beginning(text []byte) string {
	var b strings.Builder
	count, isSpace := 0, true
	for len(text) > 0 && count < maxShown {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		switch {
		case unicode.IsSpace(r):
			if !isSpace {
				b.WriteByte(' ')
				count++
			}
			isSpace = true
			continue
		case !unicode.IsPrint(r):
			r = '?'
		}
		b.WriteRune(r)
		count++
		isSpace = false
	}
	return strings.TrimSpace(b.String())
}
