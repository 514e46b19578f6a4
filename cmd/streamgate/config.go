package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/streamgate/streamgate/gateway/asyncapi"
)

func newConfig() *cobra.Command {
	c := &cobra.Command{
		Use: "config", Short: "Generate documents from a configuration",
		Example: "  streamgate config asyncapi streamgate.yaml > asyncapi.yaml",
	}
	c.AddCommand(newConfigAsyncAPI())
	return c
}

func newConfigAsyncAPI() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "asyncapi FILE",
		Short: "Print an AsyncAPI 3 document of the streams, sources and subscriptions",
		Example: "  streamgate config asyncapi streamgate.yaml\n" +
			"  streamgate config asyncapi streamgate.yaml -o json",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkChoice("--output", output, formatYAML, formatJSON); err != nil {
				return err
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
	c.Flags().StringVarP(&output, "output", "o", formatYAML, "output `FORMAT`: yaml or json")
	return c
}

// encodeDocument encodes a document that may hold json.RawMessage, which the YAML encoder would write as a list of
// bytes; so YAML is made from the JSON.
func encodeDocument(document map[string]any, format string) ([]byte, error) {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the document: %w", err)
	}
	if format == formatJSON {
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
