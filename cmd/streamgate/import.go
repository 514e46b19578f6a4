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
	c := &cobra.Command{
		Use: "import", Short: "Convert the configuration of other systems",
		Example: "  streamgate import knative broker.yaml > streamgate.yaml",
	}
	c.AddCommand(newImportKnative())
	return c
}

func newImportKnative() *cobra.Command {
	var strict bool
	c := &cobra.Command{
		Use:   "knative FILE...",
		Short: "Convert manifests of Knative Eventing into a configuration",
		Long: "Convert Broker, Trigger, Channel, InMemoryChannel, Subscription and PingSource manifests into a " +
			"configuration on\n" +
			"stdout, and report on stderr what has no equivalent. A file can hold many documents and lists; - is " +
			"stdin. The result\n" +
			"is valid for streamgate validate.",
		Example: "  streamgate import knative broker.yaml triggers.yaml > streamgate.yaml\n" +
			"  kubectl get brokers,triggers -o yaml | streamgate import knative - > streamgate.yaml",
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
				_, _ = fmt.Fprintln(c.ErrOrStderr(), note) // the result contains it as well
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

// readManifests reads a file, or stdin if its name is -.
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
		return nil, fmt.Errorf("read the manifests: %s is larger than %d bytes; split it", name, maxManifestBytes)
	}
	return data, nil
}
