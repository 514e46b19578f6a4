package main

import (
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamgate/streamgate/config"
	"github.com/streamgate/streamgate/gateway/source/builtin"
)

// newRoot returns the complete command tree.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "streamgate",
		Short: "A CloudEvents gateway on Redis Streams",
		Long: "Streamgate receives CloudEvents over HTTP and from sources such as a STAC catalogue, stores them in " +
			"Redis Streams\n" +
			"and delivers them to HTTP sinks with the semantics of Knative Eventing.\n\nTo see it work, run: " +
			"streamgate demo",
		Example: "  streamgate demo\n" +
			"  streamgate serve --config streamgate.yaml\n" +
			"  streamgate send --type com.example.hello --data '{\"hello\":\"world\"}'",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(newServe(), newDemo(), newValidate(), newSend(), newTail(), newSources(), newDeadLetters(),
		newReplay(), newRewind(), newConfig(), newFilter(), newConformance(), newImport(), newVersion())
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w\nfor the flags, run: %s --help", err, c.CommandPath())
	})
	return root
}

// loadConfig reads a configuration file. An empty path means the defaults.
func loadConfig(path string) (*config.Config, error) {
	o := config.Options{Types: builtin.Types()}
	if path == "" {
		return config.Default(o)
	}
	return config.Load(path, o)
}

// newLogger returns a logger that writes to w. Its errors name the flags of serve.
func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: %q is not a log level; write debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	if err := checkChoice("--log-format", format, formatText, formatJSON); err != nil {
		return nil, err
	}
	if format == formatJSON {
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return slog.New(slog.NewTextHandler(w, o)), nil
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs, Example: "  streamgate version",
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "streamgate "+version())
			return failed(err)
		},
	}
}

// version returns what the Go toolchain recorded in the binary: the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v + " " + info.GoVersion
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return "commit " + setting.Value[:min(12, len(setting.Value))] + " " + info.GoVersion
		}
	}
	return "development " + info.GoVersion
}

// userAgent is the User-Agent of every request to a sink or a server.
func userAgent() string {
	word, _, _ := strings.Cut(version(), " ")
	return "streamgate/" + word
}

func newValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a configuration file and report every problem in it",
		Long: "Check a configuration file without starting anything. Every problem is reported in one run, with its " +
			"file, line, key,\n" +
			"value and remedy. The exit code is 0 if the file is valid, and 2 if it is not.",
		Example: "  streamgate validate streamgate.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			loaded, err := loadConfig(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is valid: %d stream(s), %d source(s), %d subscription(s)\n",
				args[0],
				len(loaded.Gateway.Streams), len(loaded.Gateway.Sources), len(loaded.Gateway.Subscriptions))
			return failed(err)
		},
	}
}
