package main

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// markdownLink is an inline link or a reference definition; one of the groups holds its target.
var markdownLink = regexp.MustCompile(`\]\(<?([^()<>\s]+)>?(?: "[^"]*")?\)|(?m)^\[[^\]]+\]: +(\S+)$`)

// TestRelativeLinksResolve: every relative link in a Markdown file of the repository names an existing file, and its
// fragment, if there is one, a heading or an anchor of that file.
func TestRelativeLinksResolve(t *testing.T) {
	t.Parallel()
	files := filesBelow(t, root, ".md")
	anchors := map[string]map[string]bool{}
	checked := 0
	for file, text := range files {
		anchors[file] = anchorsOf(text)
	}
	for file, text := range files {
		for _, m := range markdownLink.FindAllStringSubmatch(withoutCode(text), -1) {
			link, err := url.Parse(m[1] + m[2])
			if err != nil {
				t.Errorf("%s: link %q: %v", file, m[1]+m[2], err)
				continue
			}
			if link.Scheme != "" || link.Host != "" {
				continue
			}
			checked++
			target := file
			if link.Path != "" {
				target = filepath.Join(filepath.Dir(file), filepath.FromSlash(link.Path))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link %q: %v", file, m[1]+m[2], err)
			} else if link.Fragment != "" && !anchors[target][link.Fragment] {
				t.Errorf("%s: link %q: %s has no such heading", file, m[1]+m[2], target)
			}
		}
	}
	if checked < 100 {
		t.Errorf("found only %d relative links in %d files", checked, len(files))
	}
}

// TestIndexLinksEveryPage: docs/README.md links to every page and every architecture decision under docs.
func TestIndexLinksEveryPage(t *testing.T) {
	t.Parallel()
	docs := filepath.Join(root, "docs")
	files := filesBelow(t, docs, ".md")
	index := files[filepath.Join(docs, "README.md")]
	for file := range files {
		page, err := filepath.Rel(docs, file)
		if err != nil {
			t.Fatal(err)
		}
		page = filepath.ToSlash(page)
		isSubpage := strings.Contains(page, "/") && !strings.HasPrefix(page, "adr/")
		if page != "README.md" && !isSubpage && !strings.Contains(index, "("+page) {
			t.Errorf("docs/README.md has no link to %s", page)
		}
	}
}

// TestNamedTestsExist: every test that a document cites as evidence exists.
func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	code := filesBelow(t, root, "_test.go")
	existing := map[string]bool{}
	for _, text := range code {
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`).FindAllStringSubmatch(text,
			-1) {
			existing[m[1]] = true
		}
	}
	for file, text := range filesBelow(t, root, ".md") {
		for _, m := range regexp.MustCompile("`((?:Test|Benchmark)[A-Z]\\w+)`").FindAllStringSubmatch(text, -1) {
			if !existing[m[1]] {
				t.Errorf("%s cites %s, which does not exist", file, m[1])
			}
		}
	}
}

// filesBelow returns the text of every file below dir whose name ends with suffix, by path. Directories that are not
// part of the source tree are left out: hidden ones, bin, and what tools and the gateway write.
func filesBelow(t *testing.T, dir, suffix string) map[string]string {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && path != dir && (strings.HasPrefix(name, ".") || name == "bin" ||
			name == "streamgate-data"):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, suffix):
			return nil
		}
		text, err := os.ReadFile(filepath.Clean(path))
		texts[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// withoutCode removes fenced blocks and inline code, in which nothing is a link or a heading.
func withoutCode(text string) string {
	text = regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllString(text, "")
	return regexp.MustCompile("`[^`\n]*`").ReplaceAllString(text, "")
}

// anchorsOf returns the fragments by which a Markdown file can be addressed, as GitHub makes them of its headings.
func anchorsOf(text string) map[string]bool {
	anchors := map[string]bool{}
	text = regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllString(text, "")
	for _, m := range regexp.MustCompile(`(?m)^#{1,6} +(.+?) *$`).FindAllStringSubmatch(text, -1) {
		slug := slugOf(regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(m[1], "$1"))
		unique := slug
		for n := 1; anchors[unique]; n++ {
			unique = slug + "-" + strconv.Itoa(n)
		}
		anchors[unique] = true
	}
	for _, m := range regexp.MustCompile(`<a (?:name|id)="([^"]+)"`).FindAllStringSubmatch(text, -1) {
		anchors[m[1]] = true
	}
	return anchors
}

// slugOf drops the punctuation of a heading, lowers its case and joins its words with hyphens.
func slugOf(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		default:
			return -1
		}
	}, heading)
}
