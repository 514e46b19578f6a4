package knative

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/streamgate/streamgate/config"
	"github.com/streamgate/streamgate/gateway/source/builtin"
)

// The part of the configuration that manifests can express.
type (
	document struct {
		Streams       []stream       `yaml:"streams,omitempty"`
		Sources       []cron         `yaml:"sources,omitempty"`
		Subscriptions []subscription `yaml:"subscriptions,omitempty"`
	}
	stream struct {
		Name string `yaml:"name"`
		Path string `yaml:"path,omitempty"`
	}
	cron struct {
		Name        string `yaml:"name"`
		Type        string `yaml:"type"`
		Stream      string `yaml:"stream"`
		Schedule    string `yaml:"schedule"`
		TimeZone    string `yaml:"timeZone,omitempty"`
		Data        string `yaml:"data,omitempty"`
		ContentType string `yaml:"contentType,omitempty"`

		Event     cronEvent  `yaml:"event"`
		Transform *transform `yaml:"transform,omitempty"`
	}
	cronEvent struct {
		Source string `yaml:"source"`
	}
	transform struct {
		Set map[string]string `yaml:"set"`
	}
	subscription struct {
		Name        string    `yaml:"name"`
		Stream      string    `yaml:"stream"`
		Filters     []any     `yaml:"filters,omitempty"`
		Sink        sink      `yaml:"sink"`
		ReplyStream string    `yaml:"replyStream,omitempty"`
		Order       string    `yaml:"order,omitempty"`
		Delivery    *delivery `yaml:"delivery,omitempty"`
	}
	sink struct {
		URI        string            `yaml:"uri,omitempty"`
		Stream     string            `yaml:"stream,omitempty"`
		Extensions map[string]string `yaml:"extensions,omitempty"`
		CACerts    string            `yaml:"caCerts,omitempty"`
	}
	delivery struct {
		Retry          *int   `yaml:"retry,omitempty"`
		Timeout        string `yaml:"timeout,omitempty"`
		BackoffPolicy  string `yaml:"backoffPolicy,omitempty"`
		BackoffDelay   string `yaml:"backoffDelay,omitempty"`
		RetryAfterMax  string `yaml:"retryAfterMax,omitempty"`
		Format         string `yaml:"format,omitempty"`
		Replies        string `yaml:"replies,omitempty"`
		Outages        string `yaml:"outages,omitempty"`
		DeadLetterSink *sink  `yaml:"deadLetterSink,omitempty"`
	}
)

// encode returns the document as YAML. It escapes $, with which a variable begins in a configuration.
func (d *document) encode() ([]byte, error) {
	var node yaml.Node
	if err := node.Encode(d); err != nil {
		return nil, fmt.Errorf("encode the configuration: %w", err)
	}
	escape(&node)
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(&node), encoder.Close()); err != nil {
		return nil, fmt.Errorf("encode the configuration: %w", err)
	}
	return text.Bytes(), nil
}

func escape(node *yaml.Node) {
	if node.Kind == yaml.ScalarNode {
		node.Value = strings.ReplaceAll(node.Value, "$", "$$")
	}
	for _, child := range node.Content {
		escape(child)
	}
}

// check returns the problems of a part of the document by the rules of `streamgate validate`. Because the importer has
// no rules of its own, it supports every filter dialect and source type that the gateway supports.
func (d *document) check() []string {
	text, err := d.encode()
	if err == nil {
		_, err = config.Parse("", text, config.Options{
			Types: builtin.Types(), LookupEnv: func(string) (string, bool) { return "", false },
		})
	}
	var wrong *config.Error
	if !errors.As(err, &wrong) {
		if err != nil {
			return []string{oneLine(err.Error())}
		}
		return nil
	}
	problems := make([]string, len(wrong.Findings))
	for i, f := range wrong.Findings {
		key := f.Key
		for _, part := range []string{"streams[0].", "sources[0].", "subscriptions[0]."} {
			key = strings.TrimPrefix(key, part)
		}
		problems[i] = oneLine(key + ": " + strings.Replace(f.Problem, "unknown key", "it has no equivalent", 1))
	}
	return problems
}

// streamsOf returns the streams that a subscription names, so that a document with this subscription alone is complete.
func (s *subscription) streamsOf() []stream {
	var streams []stream
	seen := map[string]bool{"": true, "none": true}
	for _, name := range []string{s.Stream, s.Sink.Stream, s.ReplyStream} {
		if !seen[name] {
			streams = append(streams, stream{Name: name})
		}
		seen[name] = true
	}
	return streams
}
