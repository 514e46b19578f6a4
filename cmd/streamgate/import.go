package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/streamgate/streamgate/cmd/streamgate/knative"
)

// maxManifestBytes bounds a file with manifests.
const maxManifestBytes = 8 << 20

func newImport() *cobra.Command {
	c := &cobra.Command{Use: "import", Short: "Make a configuration out of that of others"}
	c.AddCommand(newImportKnative())
	return c
}

func newImportKnative() *cobra.Command {
	var strict bool
	c := &cobra.Command{
		Use:   "knative FILE...",
		Short: "Turn manifests of Knative Eventing into a configuration",
		Long: "Turn Broker, Trigger, Channel, InMemoryChannel, Subscription and PingSource into a configuration on stdout, and say on\n" +
			"stderr what has no equivalent. A file may hold many documents and lists; - is stdin. The result passes validate.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			files := make([]knative.File, len(args))
			for i, name := range args {
				data, err := readManifests(name, c.InOrStdin())
				if err != nil {
					return err
				}
				files[i] = knative.File{Name: name, Data: data}
			}
			result, err := knative.Import(files)
			if err != nil {
				return err
			}
			for _, note := range result.Notes {
				_, _ = fmt.Fprintln(c.ErrOrStderr(), note) // it stands in the result, too
			}
			if _, err = c.OutOrStdout().Write(result.YAML); err != nil {
				return failed(err)
			}
			if strict && result.Skipped > 0 {
				return failed(fmt.Errorf("%d manifests or settings have no equivalent and were left out (--strict)", result.Skipped))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&strict, "strict", false, "exit with 1 if anything had to be left out")
	return c
}

func readManifests(name string, stdin io.Reader) ([]byte, error) {
	reader := stdin
	if name != "-" {
		f, err := os.Open(filepath.Clean(name))
		if err != nil {
			return nil, fmt.Errorf("read the manifests: %w", err)
		}
		defer func() { _ = f.Close() }() // it was only read
		reader = f
	}
	data, err := io.ReadAll(io.LimitReader(reader, maxManifestBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the manifests: %w", err)
	}
	if len(data) > maxManifestBytes {
		return nil, fmt.Errorf("read the manifests: %s is larger than %d bytes; give it in parts", name, maxManifestBytes)
	}
	return data, nil
}
