package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/streamgate/streamgate/gateway/asyncapi"
)

func newConfig() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Documents about a configuration"}
	c.AddCommand(newConfigAsyncAPI())
	return c
}

func newConfigAsyncAPI() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "asyncapi FILE",
		Short: "Print an AsyncAPI 3 document of streams, sources and subscriptions",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "yaml" && output != "json" {
				return fmt.Errorf("--output %q is no format; write yaml or json", output)
			}
			loaded, err := loadConfig(args[0])
			if err != nil {
				return err
			}
			document, err := asyncapi.Document(&loaded.Gateway, version())
			if err != nil {
				return failed(err)
			}
			text, err := encodeDocument(document, output)
			if err != nil {
				return failed(err)
			}
			_, err = c.OutOrStdout().Write(text)
			return failed(err)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "yaml", "yaml or json")
	return c
}

// encodeDocument writes what may hold parts that are JSON already.
func encodeDocument(document map[string]any, format string) ([]byte, error) {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the document: %w", err)
	}
	if format == "json" {
		return append(text, '\n'), nil
	}
	var plain any
	if err := json.Unmarshal(text, &plain); err != nil {
		return nil, fmt.Errorf("encode the document: %w", err)
	}
	text, err = yaml.Marshal(plain)
	if err != nil {
		return nil, fmt.Errorf("encode the document: %w", err)
	}
	return text, nil
}
