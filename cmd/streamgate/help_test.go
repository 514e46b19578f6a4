package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestHelpIsComplete: every command has a summary and examples that call it, and its help fits a terminal.
func TestHelpIsComplete(t *testing.T) {
	t.Parallel()
	commands := 0
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		commands++
		if c.Short == "" || !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s: summary %q, examples %q", c.CommandPath(), c.Short, c.Example)
		}
		for text := range strings.Lines(c.Long + "\n" + c.LocalFlags().FlagUsages()) {
			if len(text) > 140 {
				t.Errorf("%s: a line of the help has %d characters: %s", c.CommandPath(), len(text), text)
			}
		}
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	check(newRoot())
	if commands < 25 {
		t.Errorf("found only %d commands", commands)
	}
}
