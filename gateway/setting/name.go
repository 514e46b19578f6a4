package setting

import (
	"regexp"
)

// NameRemedy says what [ValidName] accepts.
const NameRemedy = "use letters, digits, dots, dashes and underscores, at most 128, beginning with a letter or digit"

// ValidName reports whether a source or a subscription may have a name: names stand in keys, metrics and paths.
func ValidName(name string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`).MatchString(name)
}
