package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/streamgate/streamgate/config"
	"github.com/streamgate/streamgate/gateway/cesql"
	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/source/builtin"
)

// maxConfigBytes bounds a configuration that is read from standard input.
const maxConfigBytes = 16 << 20

func newValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a configuration file and report every problem in it",
		Long: "Check a configuration file without starting anything. Every problem is reported in one run, with its " +
			"file, line, key,\n" +
			"value and remedy. FILE - is standard input. The exit code is 0 if the file is valid, and 2 if it is not. " +
			"Warnings, on\n" +
			"standard error, do not change it.",
		Example: "  streamgate validate streamgate.yaml\n" +
			"  streamgate import knative broker.yaml | streamgate validate -",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			loaded, err := readConfig(c.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			for _, warning := range loaded.Gateway.Warnings() {
				_, _ = fmt.Fprintf(c.ErrOrStderr(), "warning: %s\n", warning)
			}
			for i := range loaded.Gateway.Subscriptions {
				s := &loaded.Gateway.Subscriptions[i]
				for _, message := range portability(s.Filters) {
					_, _ = fmt.Fprintf(c.ErrOrStderr(), "warning: subscription %q: %s\n", s.Name, message)
				}
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is valid: %d stream(s), %d source(s), %d subscription(s)\n",
				args[0],
				len(loaded.Gateway.Streams), len(loaded.Gateway.Sources), len(loaded.Gateway.Subscriptions))
			return failed(err)
		},
	}
}

// readConfig loads a configuration file, or standard input for "-".
func readConfig(stdin io.Reader, path string) (*config.Config, error) {
	if path != "-" {
		return loadConfig(path)
	}
	text, err := io.ReadAll(io.LimitReader(stdin, maxConfigBytes+1))
	if err != nil {
		return nil, failed(fmt.Errorf("read standard input: %w", err))
	}
	if len(text) > maxConfigBytes {
		return nil, fmt.Errorf("the configuration on standard input is larger than %d bytes", maxConfigBytes)
	}
	return config.Parse("standard input", text, config.Options{Types: builtin.Types()})
}

// portability returns what other implementations of CESQL make of valid filters that this one does not: an expression
// that came from Knative, or goes there, lets other events pass.
func portability(filters []filter.Config) (messages []string) {
	for i := range filters {
		f := &filters[i]
		if f.CESQL != "" {
			messages = append(messages, portabilityOf(f.CESQL)...)
		}
		messages = append(messages, portability(f.All)...)
		messages = append(messages, portability(f.Any)...)
		if f.Not != nil {
			messages = append(messages, portability([]filter.Config{*f.Not})...)
		}
	}
	return messages
}

func portabilityOf(text string) (messages []string) {
	expression, err := cesql.Compile(text)
	if err != nil {
		return nil // validation says so
	}
	for _, note := range expression.Portability() {
		if note.Kind != cesql.NoteCharacters {
			messages = append(messages, fmt.Sprintf("cesql %q: %s", text, note.Message))
		}
	}
	return messages
}
