package config

import (
	"encoding"
	"fmt"
	"net"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/streamgate/streamgate/gateway/stream"
)

// overridable is a top-level mapping whose keys environment variables can override.
type overridable struct {
	name   string
	target any
}

// sections returns the mappings that environment variables can override.
func (c *Config) sections() []overridable {
	return []overridable{{"redis", &c.Redis}, {"server", &c.Gateway.Server}, {"admin", &c.Admin}}
}

// EnvNames returns the names of the environment variables that override keys, in the order of the keys.
func EnvNames() []string {
	var names []string
	for _, s := range new(Config).sections() {
		t := reflect.TypeOf(s.target).Elem()
		for i := range t.NumField() {
			if isBlock(t.Field(i)) {
				continue
			}
			names = append(names, envName(s.name, t.Field(i).Tag.Get("mapstructure")))
		}
	}
	return names
}

// isBlock reports whether a key holds a mapping, which no variable can override.
func isBlock(field reflect.StructField) bool { return field.Type.Kind() == reflect.Struct }

// envName returns the variable of a key, such as STREAMGATE_SERVER_MAX_EVENT_BYTES for server and maxEventBytes.
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

// variable returns the value of an environment variable; an empty one counts as not set.
func (d *document) variable(name string) string {
	value, _ := d.options.lookup(name)
	return value
}

// noteVariable records a finding about an environment variable.
func (d *document) noteVariable(name, problem, remedy string) {
	d.findings = append(d.findings, Finding{File: environment, Key: name, Problem: problem, Remedy: remedy})
}

// originEnv applies the variables of the original notebook and of Knative to keys that neither the file nor a
// STREAMGATE_... variable sets. Unused variables are not checked, because Kubernetes sets REDIS_PORT on its own.
func (d *document) originEnv(c *Config) {
	if host := d.variable("REDIS_HOSTNAME"); host != "" && !d.isSet("redis", "url") {
		port := "6379"
		if p := d.variable("REDIS_PORT"); p != "" {
			port = p
			d.checkPort("REDIS_PORT", p)
		}
		if strings.ContainsAny(host, "/@? ") { // the value may hold a password
			d.noteVariable("REDIS_HOSTNAME", "not a valid host name",
				"set only the name, like redis, or set STREAMGATE_REDIS_URL")
			host = "localhost"
		}
		address := url.URL{Scheme: "redis", Host: net.JoinHostPort(strings.Trim(host, "[]"), port)}
		if password := d.variable("REDIS_PASSWORD"); password != "" && c.Redis.PasswordFile == "" {
			address.User = url.UserPassword("", password)
		}
		c.Redis.URL = address.String()
		d.fromEnv["redis.url"] = "REDIS_HOSTNAME"
	}
	if port := d.variable("PORT"); port != "" && !d.isSet("server", "address") {
		d.checkPort("PORT", port)
		c.Gateway.Server.Address = d.portAddress(c, port)
		d.fromEnv["server.address"] = "PORT"
	}
}

// isSet reports whether the file or a STREAMGATE_... variable sets a key.
func (d *document) isSet(section, key string) bool {
	return child(child(d.root, section), key) != nil || d.variable(envName(section, key)) != ""
}

func (d *document) checkPort(name, value string) {
	if _, err := strconv.ParseUint(value, 10, 16); err != nil {
		d.noteVariable(name, fmt.Sprintf("%q is not a valid port", shorten(value)), "set a number from 0 to 65535")
	}
}

// defaultStream returns the stream of a configuration without the key streams.
func (d *document) defaultStream() stream.Config {
	stream := stream.NewConfig()
	stream.Name = defaultStreamName
	if name := d.variable("STREAM"); name != "" {
		stream.Name = name
		d.fromEnv["streams[0].name"] = "STREAM"
	}
	return stream
}

// override sets the keys of a section from environment variables.
func (d *document) override(section string, target reflect.Value) {
	t := target.Type()
	for i := range t.NumField() {
		if isBlock(t.Field(i)) {
			continue
		}
		key := t.Field(i).Tag.Get("mapstructure")
		name := envName(section, key)
		value := d.variable(name)
		if value == "" {
			continue
		}
		if remedy := setFromText(target.Field(i), value); remedy != "" {
			d.noteVariable(name, fmt.Sprintf("%q is not a valid value of %s.%s", shorten(value), section, key), remedy)
			continue
		}
		d.fromEnv[section+"."+key] = name
	}
}

// setFromText sets a field, and returns the remedy if the text is not valid.
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
	case reflect.Slice: // of strings
		field.Set(reflect.ValueOf(strings.Split(text, ",")))
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
