package cesql

import (
	"strings"
	"testing"
	"time"
)

type likeCase struct {
	text, pattern string
	want          bool
}

func likeTable() []likeCase {
	return []likeCase{
		{
			"",
			"",
			true,
		},
		{"a", "", false},
		{"", "%", true},
		{"", "_", false},
		{"", "%%", true},
		{"é", "_", true},
		{"日本", "__", true},
		{"日本", "_", false},
		{"日本", "___", false},
		{"e\u0301", "_", false},
		{"a\nb", "a%b", true},
		{"a\nb", "a_b", true},
		{
			"abab",
			"%ab",
			true,
		},
		{"aba", "%ab", false},
		{"ab", "ab%ab", false},
		{"abab", "ab%ab", true},
		{"xaby", "%a_%", true},
		{
			"aab",
			"%a_b%",
			true,
		},
		{"ab", "%a_b%", false},
		{"xéyz", "%_yz", true},
		{"yz", "%_yz", false},
		{"a.c", "a.c", true},
		{"abc", "a.c", false},
		{
			"ab",
			"_b*",
			false,
		},
		{"ab*", "_b*", true},
		{"a%", `a\%`, true},
		{"ab", `a\%`, false},
		{"a_", `a\_`, true},
		{"ab", `a\_`, false},
		{`a\b`, `a\b`, true},
		{`a\\b`, `a\\b`, true},
		{`a\%`, `a\\%`, true},
		{`a\b`, `a\\%`, false},
		{`a\`, `a\`, true},
		{
			"ABC",
			"abc",
			false,
		},
		{"mississippi", "%iss%ip%", true},
		{"mississippi", "m%iss%iss%i", true},
		{"mississippi", "%iss%iss%iss%", false},
		{
			"a\xffb",
			"a_b",
			true,
		},
		{"a\ufffdb", "a\xffb", false},
		{"éa", "_a%", true},
		{"aé", "%_é", true},
		{"é", "%_é", false},
	}
}

func TestLike(t *testing.T) {
	t.Parallel()
	for _, c := range likeTable() {
		p := compilePattern(c.pattern)
		if got := p.match(c.text); got != c.want {
			t.Errorf("%q LIKE %q = %v, want %v", c.text, c.pattern, got, c.want)
		}
		if plain := plainLike(chars(c.text), chars(c.pattern)); plain != c.want {
			t.Errorf("%q LIKE %q is %v for the plain matcher, want %v", c.text, c.pattern, plain, c.want)
		}
	}
}

// A matcher that tries again would take longer than the universe.
func TestLikeDoesNotBacktrack(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("a", 100_000)
	for _, pattern := range []string{strings.Repeat("%a", 500) + "%b", strings.Repeat("%a_", 500) + "%b%", "%" + strings.Repeat("a_", 100) + "b%"} {
		begin := time.Now()
		p := compilePattern(pattern)
		if p.match(text) {
			t.Errorf("%.20q... matches", pattern)
		}
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("%.20q... took %v", pattern, took)
		}
	}
}
