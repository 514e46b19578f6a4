package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/sink"
)

// knativeTokenFile is where a SinkBinding mounts the OIDC token for its sink, if the sink has an audience.
const knativeTokenFile = "/oidc/token"

// knativeSubscription is the name of the subscription that delivers to K_SINK.
const knativeSubscription = "sink"

// underKnative reports whether the program runs in a ContainerSource or with a SinkBinding: K_SINK is set and there is
// no file. A file always has precedence, and can refer to ${K_SINK}.
func (d *document) underKnative() bool { return d.withoutFile && d.variable("K_SINK") != "" }

// portAddress returns the address for PORT. A platform that sets PORT also puts a proxy in front of the container, but
// the listener is opened on all addresses only if anonymous publishing is allowed, explicitly or by running under
// Knative.
func (d *document) portAddress(c *Config, port string) string {
	anonymous := d.underKnative()
	if node := child(child(d.root, "server"), "allowAnonymous"); node != nil {
		anonymous, _ = strconv.ParseBool(node.Value) // the tree was checked before
	}
	if text := d.variable(envName("server", "allowAnonymous")); text != "" {
		anonymous, _ = strconv.ParseBool(text) // override reports an invalid value
	}
	host := "127.0.0.1"
	if anonymous {
		host, c.Gateway.Server.AllowAnonymous = "0.0.0.0", true
	}
	return net.JoinHostPort(host, port)
}

// knativeEnv adds the subscription that Knative's variables describe. It delivers all events to K_SINK.
func (d *document) knativeEnv(c *Config) {
	if !d.underKnative() {
		return
	}
	s := delivery.NewConfig()
	s.Name, s.Stream, s.StartFrom = knativeSubscription, c.Gateway.Streams[0].Name, "earliest"
	s.ReplyStream = sink.NoReplies // event sources never act as recipients (Knative data plane contract)
	s.Sink.URI, s.Sink.CACerts = d.variable("K_SINK"), d.variable("K_CA_CERTS")
	s.Sink.Extensions = d.knativeOverrides()
	s.Sink.TokenFile = d.knativeToken()
	at := fmt.Sprintf("subscriptions[%d].sink.", len(c.Gateway.Subscriptions))
	d.fromEnv[at+"uri"], d.fromEnv[at+"caCerts"], d.fromEnv[at+"tokenFile"] = "K_SINK", "K_CA_CERTS", "K_AUDIENCE"
	for _, name := range slices.Sorted(maps.Keys(s.Sink.Extensions)) {
		d.fromEnv[at+"extensions."+name] = "K_CE_OVERRIDES"
	}
	c.Gateway.Subscriptions = append(c.Gateway.Subscriptions, s)
}

// knativeOverrides reads K_CE_OVERRIDES (knative.dev/pkg/apis/duck/v1 CloudEventOverrides).
func (d *document) knativeOverrides() map[string]string {
	text := d.variable("K_CE_OVERRIDES")
	if text == "" {
		return nil
	}
	var overrides struct {
		Extensions map[string]string `json:"extensions"`
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&overrides); err != nil || decoder.More() {
		d.noteVariable("K_CE_OVERRIDES", "not valid CloudEvent overrides",
			`write JSON like {"extensions":{"team":"a"}}, with text values only`)
		return nil
	}
	return overrides.Extensions
}

// knativeToken returns the file with the token for the sink, or "". An audience without a token is an error at the
// start: the sink would reject every event for good.
func (d *document) knativeToken() string {
	file := knativeTokenFile
	if d.options.TokenFile != "" {
		file = d.options.TokenFile
	}
	if _, err := os.Stat(file); err == nil {
		return file
	}
	if audience := d.variable("K_AUDIENCE"); audience != "" {
		d.noteVariable("K_AUDIENCE", fmt.Sprintf("the sink requires a token for the audience %q, and %s does not exist",
			shorten(audience), file),
			"mount a token there, as a SinkBinding does, or unset the variable")
	}
	return ""
}
