package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"github.com/streamgate/streamgate/gateway"
)

// decode makes the configuration of a file whose keys and types have been checked.
func (d *document) decode() *Config {
	c := &Config{Redis: NewRedisConfig(), Admin: gateway.NewAdminConfig()}
	c.Gateway.Server = gateway.NewServerConfig()
	d.originEnv(c)
	d.decodeBlock(child(d.root, "redis"), &c.Redis, "redis")
	d.decodeBlock(child(d.root, "server"), &c.Gateway.Server, "server")
	d.decodeBlock(child(d.root, "admin"), &c.Admin, "admin")
	d.fromEnv = map[string]string{}
	for section, target := range map[string]any{"redis": &c.Redis, "server": &c.Gateway.Server, "admin": &c.Admin} {
		d.override(section, reflect.ValueOf(target).Elem())
	}
	d.decodeStreams(c)
	d.decodeSources(c)
	for i, node := range elements(d.root, "subscriptions") {
		subscription := gateway.NewSubscriptionConfig()
		d.decodeBlock(node, &subscription, fmt.Sprintf("subscriptions[%d]", i))
		c.Gateway.Subscriptions = append(c.Gateway.Subscriptions, subscription)
	}
	return c
}

func (d *document) decodeStreams(c *Config) {
	nodes := elements(d.root, "streams")
	for i, node := range nodes {
		stream := gateway.NewStreamConfig()
		d.decodeBlock(node, &stream, fmt.Sprintf("streams[%d]", i))
		c.Gateway.Streams = append(c.Gateway.Streams, stream)
	}
	if child(d.root, "streams") == nil {
		stream := gateway.NewStreamConfig()
		stream.Name = defaultStreamName
		if name, found := d.options.lookup("STREAM"); found && name != "" {
			stream.Name = name
		}
		c.Gateway.Streams = []gateway.StreamConfig{stream}
	}
}

func (d *document) decodeSources(c *Config) {
	for i, node := range elements(d.root, "sources") {
		key := fmt.Sprintf("sources[%d]", i)
		var head sourceHead
		own := *node // the source's own keys are what is left without the head's
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
		c.Gateway.Sources = append(c.Gateway.Sources, gateway.SourceBlock{
			Name: head.Name, Type: head.Type, Stream: head.Stream, Config: d.decodeSource(head.Type, &own, key),
		})
	}
}

func (d *document) decodeSource(typeName string, node *yaml.Node, key string) gateway.SourceConfig {
	for _, t := range d.options.Types {
		if t.Name != typeName {
			continue
		}
		config := t.NewConfig()
		if p, ok := config.(interface{ SetProducer(producer string) }); ok {
			if producer, found := d.options.lookup("PRODUCER"); found && producer != "" {
				p.SetProducer(producer)
			}
		}
		d.decodeBlock(node, config, key)
		return config
	}
	return unknownSource{}
}

// unknownSource stands for a source whose type has been refused, so that the others keep their places.
type unknownSource struct{}

func (unknownSource) Validate() gateway.Problems { return nil }

func (unknownSource) NewSource(gateway.SourceEnv) (gateway.Source, error) {
	return nil, errors.New("the type of the source is unknown")
}

func elements(root *yaml.Node, name string) []*yaml.Node {
	if list := child(root, name); list != nil {
		return list.Content
	}
	return nil
}

// decodeBlock decodes a mapping over the defaults that target holds. viper decodes each block by itself: it would
// otherwise take the dots in keys for paths.
func (d *document) decodeBlock(node *yaml.Node, target any, key string) {
	if node == nil {
		return
	}
	var values map[string]any
	if err := node.Decode(&values); err != nil {
		d.note(node, key, "it cannot be decoded: "+err.Error(), "check the values")
		return
	}
	v := viper.NewWithOptions(viper.KeyDelimiter("::"))
	if err := v.MergeConfigMap(values); err != nil {
		d.note(node, key, "it cannot be decoded: "+err.Error(), "check the values")
		return
	}
	if err := v.UnmarshalExact(target, viper.DecodeHook(decodeText)); err != nil {
		d.note(node, key, "it cannot be decoded: "+err.Error(), "check the values")
	}
}

// decodeText decodes text into types that know how, for mapstructure.
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

// originEnv applies the variables of the notebook that this gateway comes from, and of Knative, below the file.
func (d *document) originEnv(c *Config) {
	if host, found := d.options.lookup("REDIS_HOSTNAME"); found && host != "" {
		port := "6379"
		if p, found := d.options.lookup("REDIS_PORT"); found && p != "" {
			port = p
		}
		c.Redis.URL = "redis://" + host + ":" + port
	}
	if port, found := d.options.lookup("PORT"); found && port != "" {
		c.Gateway.Server.Address = "127.0.0.1:" + port
	}
}

// EnvNames returns the variables that override keys, in the order of the keys.
func EnvNames() []string {
	var names []string
	for _, section := range []struct {
		name  string
		value any
	}{{"redis", RedisConfig{}}, {"server", gateway.ServerConfig{}}, {"admin", gateway.AdminConfig{}}} {
		t := reflect.TypeOf(section.value)
		for i := range t.NumField() {
			names = append(names, envName(section.name, t.Field(i).Tag.Get("mapstructure")))
		}
	}
	return names
}

// envName makes STREAMGATE_SERVER_MAX_EVENT_BYTES of server and maxEventBytes.
func envName(section, key string) string {
	var b strings.Builder
	b.WriteString("STREAMGATE_" + strings.ToUpper(section) + "_")
	for _, r := range key {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteString(strings.ToUpper(string(r)))
	}
	return b.String()
}

// override sets the keys of a section from variables.
func (d *document) override(section string, target reflect.Value) {
	t := target.Type()
	for i := range t.NumField() {
		key := t.Field(i).Tag.Get("mapstructure")
		name := envName(section, key)
		value, found := d.options.lookup(name)
		if !found || value == "" {
			continue
		}
		if remedy := setFromText(target.Field(i), value); remedy != "" {
			d.findings = append(d.findings, Finding{
				File: "environment", Key: name, Problem: fmt.Sprintf("%q is no value for %s.%s", shorten(value), section, key), Remedy: remedy,
			})
			continue
		}
		d.fromEnv[section+"."+key] = name
	}
}

func setFromText(field reflect.Value, text string) (remedy string) {
	if u, ok := field.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if u.UnmarshalText([]byte(text)) != nil {
			return "set a duration like 30s"
		}
		return ""
	}
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return "set true or false"
		}
		field.SetBool(b)
	default:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "set a whole number"
		}
		field.SetInt(n)
	}
	return ""
}
