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

// newRoot returns the whole tree of commands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "streamgate",
		Short: "A CloudEvents gateway on Redis Streams",
		Long: "Streamgate takes CloudEvents in over HTTP and from sources such as a STAC catalogue, keeps them in Redis Streams,\n" +
			"and hands them on to HTTP sinks in Knative style.\n\nNew here? Run: streamgate demo",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(newServe(), newDemo(), newValidate(), newSend(), newTail(), newSources(), newDeadLetters(), newReplay(), newRewind(), newConfig(), newFilter(), newConformance(), newImport(), newVersion())
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w\nsee: %s --help", err, c.CommandPath())
	})
	return root
}

// loadConfig reads the file, or gives the defaults where none is named.
func loadConfig(path string) (*config.Config, error) {
	o := config.Options{Types: builtin.Types()}
	if path == "" {
		return config.Default(o)
	}
	return config.Load(path, o)
}

// newLogger returns the logger of a command.
func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is no level; write debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	default:
		return nil, fmt.Errorf("--log-format %q is no format; write text or json", format)
	}
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "streamgate "+version())
			return failed(err)
		},
	}
}

// version returns what the Go toolchain has noted: the module's version, or the commit it was built from.
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

// userAgent is what the gateway calls itself towards sinks and servers.
func userAgent() string {
	word, _, _ := strings.Cut(version(), " ")
	return "streamgate/" + word
}

func newValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a configuration and say everything that is wrong with it",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			loaded, err := loadConfig(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is valid: %d stream(s), %d source(s), %d subscription(s)\n", args[0],
				len(loaded.Gateway.Streams), len(loaded.Gateway.Sources), len(loaded.Gateway.Subscriptions))
			for _, warning := range loaded.Gateway.Warnings() {
				_, _ = fmt.Fprintf(c.ErrOrStderr(), "warning: %s\n", warning)
			}
			return failed(err)
		},
	}
}
