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
		SilenceUsage: true, SilenceErrors: true, Version: version(),
	}
	root.SetVersionTemplate("streamgate {{.Version}}\n")
	root.AddCommand(newServe(), newDemo(), newValidate(), newSend(), newSink(), newTail(), newSources(), newDeadLetters(),
		newReplay(), newRewind(), newConfig(), newFilter(), newConformance(), newImport(), newVersion())
	root.SetHelpCommand(newHelp())
	refuseUnknown(root)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w\nfor the flags, run: %s --help", err, c.CommandPath())
	})
	return root
}

// refuseUnknown makes a command that only has subcommands print its help without an argument, and fail with suggestions
// for a subcommand that does not exist: cobra prints the help and reports success, which a script takes for an answer.
func refuseUnknown(c *cobra.Command) {
	for _, sub := range c.Commands() {
		refuseUnknown(sub)
	}
	if c.Runnable() || !c.HasSubCommands() {
		return
	}
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return failed(c.Help())
		}
		return unknownCommand(c, args[0])
	}
}

func unknownCommand(c *cobra.Command, name string) error {
	if c.SuggestionsMinimumDistance <= 0 {
		c.SuggestionsMinimumDistance = 2
	}
	remedy := "for the commands, run: " + c.CommandPath() + " --help"
	if similar := c.SuggestionsFor(name); len(similar) > 0 {
		remedy = "did you mean " + strings.Join(similar, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q for %q; %s", name, c.CommandPath(), remedy)
}

// newHelp takes the place of cobra's help command, which reports success for a command that does not exist.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Print the help of a command", Example: "  streamgate help deadletters redrive",
		RunE: func(c *cobra.Command, args []string) error {
			found, rest, err := c.Root().Find(args)
			if err != nil || found == nil {
				return unknownCommand(c.Root(), args[0])
			}
			if len(rest) > 0 {
				return unknownCommand(found, rest[0])
			}
			return failed(found.Help())
		},
	}
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
