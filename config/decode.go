package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"github.com/streamgate/streamgate/gateway/admin"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/ingress"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/stream"
)

// decode builds the configuration from a tree whose keys and types have been checked.
func (d *document) decode() *Config {
	c := &Config{Redis: NewRedisConfig(), Admin: admin.NewConfig()}
	c.Gateway.Server = ingress.NewConfig()
	d.originEnv(c)
	for _, s := range c.sections() {
		d.decodeBlock(child(d.root, s.name), s.target, s.name)
		d.override(s.name, reflect.ValueOf(s.target).Elem())
	}
	d.decodeStreams(c)
	d.decodeSources(c)
	for i, node := range elements(d.root, "subscriptions") {
		subscription := delivery.NewConfig()
		d.decodeBlock(node, &subscription, fmt.Sprintf("subscriptions[%d]", i))
		c.Gateway.Subscriptions = append(c.Gateway.Subscriptions, subscription)
	}
	d.knativeEnv(c)
	return c
}

func (d *document) decodeStreams(c *Config) {
	nodes := elements(d.root, "streams")
	for i, node := range nodes {
		stream := stream.NewConfig()
		d.decodeBlock(node, &stream, fmt.Sprintf("streams[%d]", i))
		c.Gateway.Streams = append(c.Gateway.Streams, stream)
	}
	if child(d.root, "streams") == nil {
		c.Gateway.Streams = []stream.Config{d.defaultStream()}
	}
}

// decodeSources splits the keys of each source between sourceHead and the configuration of its type.
func (d *document) decodeSources(c *Config) {
	for i, node := range elements(d.root, "sources") {
		key := fmt.Sprintf("sources[%d]", i)
		var head sourceHead
		own := *node // the keys of the source type: those that are not in sourceHead
		own.Content = nil
		heads := *node
		heads.Content = nil
		headFields := fieldsOf(reflect.TypeFor[sourceHead]())
		for at := 0; at+1 < len(node.Content); at += 2 {
			target := &own
			if _, isHead := headFields[node.Content[at].Value]; isHead {
				target = &heads
			}
			target.Content = append(target.Content, node.Content[at], node.Content[at+1])
		}
		d.decodeBlock(&heads, &head, key)
		c.Gateway.Sources = append(c.Gateway.Sources, source.Block{
			Name: head.Name, Type: head.Type, Stream: head.Stream, Transform: head.Transform,
			Config: d.decodeSource(head.Type, &own, key),
		})
	}
}

// decodeSource decodes the keys of a source type.
func (d *document) decodeSource(typeName string, node *yaml.Node, key string) source.Config {
	for _, t := range d.options.Types {
		if t.Name != typeName {
			continue
		}
		config := t.NewConfig(source.Defaults{Producer: d.variable("PRODUCER")})
		d.decodeBlock(node, config, key)
		return config
	}
	return unknownSource{}
}

// unknownSource stands for a source whose type was refused, so that the indexes of the others stay right.
type unknownSource struct{}

func (unknownSource) Validate(string) setting.Problems { return nil }

func (unknownSource) EventKinds() ([]source.EventKind, error) { return nil, nil }

func (unknownSource) Report(map[string][]byte) (source.Report, error) {
	return source.Report{}, nil
}

func (unknownSource) NewSource(source.Env) (source.Source, error) {
	return nil, errors.New("the source has an unknown type")
}

// elements returns the items of a list in a mapping, or none if the key is missing.
func elements(root *yaml.Node, name string) []*yaml.Node {
	if list := child(root, name); list != nil {
		return list.Content
	}
	return nil
}

// decodeBlock decodes a mapping over the defaults in target. Each block gets a viper instance of its own with another
// key delimiter, because viper would take the dots in keys for paths.
func (d *document) decodeBlock(node *yaml.Node, target any, key string) {
	if node == nil {
		return
	}
	v := viper.NewWithOptions(viper.KeyDelimiter("::"))
	var values map[string]any
	err := node.Decode(&values)
	if err == nil {
		err = v.MergeConfigMap(values)
	}
	if err == nil {
		err = v.UnmarshalExact(target, viper.DecodeHook(decodeText))
	}
	if err != nil { // the tree was checked before, so this is a gap in the check
		d.refuse(node, key, "the value cannot be decoded: "+strings.Join(strings.Fields(err.Error()), " "),
			"check the values of this block")
	}
}

// decodeText is a hook for mapstructure that decodes text into types that implement encoding.TextUnmarshaler.
func decodeText(from, to reflect.Type, value any) (any, error) {
	text, isText := value.(string)
	result := reflect.New(to)
	unmarshaler, ok := result.Interface().(encoding.TextUnmarshaler)
	if from.Kind() != reflect.String || !isText || !ok {
		return value, nil
	}
	if err := unmarshaler.UnmarshalText([]byte(text)); err != nil {
		return nil, err
	}
	return result.Elem().Interface(), nil
}
