// Package knative converts manifests of Knative Eventing (Broker, Trigger, Channel, InMemoryChannel, Subscription and
// PingSource) into a configuration of the gateway. What has no equivalent is reported and never approximated: a Trigger
// without one of its filters would deliver events that it should hold back, so it is left out as a whole.
package knative

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Limits that protect the importer from hostile files.
const (
	maxDocuments = 10_000
	maxListDepth = 4 // of a List within a List
)

// manifest is one Kubernetes object of any kind.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name        string               `yaml:"name"`
		Namespace   string               `yaml:"namespace"`
		Annotations map[string]yaml.Node `yaml:"annotations"`
	} `yaml:"metadata"`
	Spec  yaml.Node   `yaml:"spec"`
	Items []yaml.Node `yaml:"items"`
}

// group returns the API group of the object, or "" for the core group.
func (m *manifest) group() string {
	group, _, found := strings.Cut(m.APIVersion, "/")
	if !found {
		return ""
	}
	return group
}

// String returns the kind, namespace and name of the object.
func (m *manifest) String() string {
	return fmt.Sprintf("%s %s/%s", m.Kind, m.Metadata.Namespace, m.Metadata.Name)
}

// The parts of the specifications that have an equivalent. Every other key of a manifest is reported by its path.
type (
	brokerSpec struct {
		Delivery *deliverySpec `yaml:"delivery"`
	}
	triggerSpec struct {
		Broker     string        `yaml:"broker"`
		Filter     *filterSpec   `yaml:"filter"`
		Filters    []any         `yaml:"filters"`
		Subscriber destination   `yaml:"subscriber"`
		Delivery   *deliverySpec `yaml:"delivery"`
	}
	filterSpec struct {
		Attributes map[string]string `yaml:"attributes"`
	}
	subscriptionSpec struct {
		Channel    reference     `yaml:"channel"`
		Subscriber *destination  `yaml:"subscriber"`
		Reply      *destination  `yaml:"reply"`
		Delivery   *deliverySpec `yaml:"delivery"`
	}
	pingSpec struct {
		Schedule    string       `yaml:"schedule"`
		TimeZone    string       `yaml:"timezone"`
		ContentType string       `yaml:"contentType"`
		DataBase64  string       `yaml:"dataBase64"`
		Data        string       `yaml:"data"`
		Sink        destination  `yaml:"sink"`
		Overrides   overrideSpec `yaml:"ceOverrides"`
	}
	overrideSpec struct {
		Extensions map[string]string `yaml:"extensions"`
	}
	deliverySpec struct {
		DeadLetterSink *destination `yaml:"deadLetterSink"`
		Retry          *int         `yaml:"retry"`
		Timeout        string       `yaml:"timeout"`
		BackoffPolicy  string       `yaml:"backoffPolicy"`
		BackoffDelay   string       `yaml:"backoffDelay"`
		RetryAfterMax  string       `yaml:"retryAfterMax"`
		Format         string       `yaml:"format"`
		Order          string       `yaml:"order"`
	}
	destination struct {
		Ref     *reference `yaml:"ref"`
		URI     string     `yaml:"uri"`
		CACerts string     `yaml:"CACerts"`
	}
	reference struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Name       string `yaml:"name"`
		Namespace  string `yaml:"namespace"`
	}
)

// parse returns the manifests of a file, including those in a List.
func parse(data []byte) ([]manifest, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var all []manifest
	for {
		var root yaml.Node
		err := decoder.Decode(&root)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("not valid YAML: %s; check indentation, colons and quotes",
				strings.TrimPrefix(oneLine(err.Error()), "yaml: "))
		}
		if len(root.Content) == 0 || root.Content[0].ShortTag() == "!!null" {
			continue // a document may consist of comments only
		}
		if all, err = appendManifests(all, root.Content[0], maxListDepth); err != nil {
			return nil, err
		}
	}
}

// appendManifests adds the manifest of a node or, if it is a List, those of its items.
func appendManifests(all []manifest, node *yaml.Node, depth int) ([]manifest, error) {
	var m manifest
	if err := node.Decode(&m); err != nil {
		return nil, fmt.Errorf("the document at line %d is not a manifest: %s", node.Line, oneLine(err.Error()))
	}
	if m.Kind == "" || m.APIVersion == "" {
		return nil, fmt.Errorf("the document at line %d is not a manifest: apiVersion or kind is missing", node.Line)
	}
	if len(all) >= maxDocuments || depth == 0 {
		return nil, fmt.Errorf("the file has more than %d manifests, or too many lists within lists; split it",
			maxDocuments)
	}
	if m.Kind != "List" {
		if m.Metadata.Namespace == "" {
			m.Metadata.Namespace = "default"
		}
		return append(all, m), nil
	}
	for i := range m.Items {
		var err error
		if all, err = appendManifests(all, &m.Items[i], depth-1); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// decode reads the specification into target, and returns the paths of keys that have no equivalent.
func (m *manifest) decode(target any) (unknown []string, err error) {
	if m.Spec.Kind == 0 {
		return nil, nil
	}
	if err := m.Spec.Decode(target); err != nil {
		return nil, fmt.Errorf("spec is not valid: %s", oneLine(err.Error()))
	}
	return unknownKeys(&m.Spec, reflect.TypeOf(target).Elem(), "spec"), nil
}

// unknownKeys returns the paths of the keys in a node that a type does not have.
func unknownKeys(node *yaml.Node, t reflect.Type, at string) (unknown []string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if node.Kind != yaml.MappingNode || t.Kind() != reflect.Struct {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, found := node.Content[i].Value, false
		for f := range t.NumField() {
			if field := t.Field(f); field.Tag.Get("yaml") == name {
				unknown = append(unknown, unknownKeys(node.Content[i+1], field.Type, at+"."+name)...)
				found = true
			}
		}
		if !found {
			unknown = append(unknown, at+"."+name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// annotation returns an annotation of the manifest; "" if there is none.
func (m *manifest) annotation(name string) string {
	node := m.Metadata.Annotations[name]
	return node.Value
}

// validName reports whether name is valid in Kubernetes. Such names are safe in paths, keys and comments.
func validName(name string) bool {
	return len(name) <= 63 && regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`).MatchString(name)
}

// oneLine returns text as one printable line, which is safe in a comment of YAML.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " "))
}
