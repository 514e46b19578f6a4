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

// knativeTokenFile is where a SinkBinding mounts the OIDC token for its sink, if there is one.
const knativeTokenFile = "/oidc/token"

const knativeSubscription = "sink"

// underKnative reports whether the program runs as a container of a ContainerSource, or behind a SinkBinding: without a file,
// and with a sink. With a file that counts alone, which can name ${K_SINK}.
func (d *document) underKnative() bool { return d.withoutFile && d.variable("K_SINK") != "" }

// portAddress returns the address that PORT stands for. Who runs the container says PORT and stands before it; but where
// nothing has said that anybody may publish, that has to be meant.
func (d *document) portAddress(c *Config, port string) string {
	anonymous := d.underKnative()
	if node := child(child(d.root, "server"), "allowAnonymous"); node != nil {
		anonymous, _ = strconv.ParseBool(node.Value) // the tree has been checked
	}
	if text := d.variable(envName("server", "allowAnonymous")); text != "" {
		anonymous, _ = strconv.ParseBool(text) // override says what is wrong
	}
	host := "127.0.0.1"
	if anonymous {
		host, c.Gateway.Server.AllowAnonymous = "0.0.0.0", true
	}
	return net.JoinHostPort(host, port)
}

// knativeEnv adds the subscription that Knative's variables describe: everything goes to K_SINK.
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
		d.noteVariable("K_CE_OVERRIDES", "it does not have the form of CloudEvent overrides", `write JSON like {"extensions":{"team":"a"}}, all values text`)
		return nil
	}
	return overrides.Extensions
}

// knativeToken returns the file with the token for the sink, or "". Events for an audience that cannot be proved are not sent
// at all: the sink would refuse each for good.
func (d *document) knativeToken() string {
	file := knativeTokenFile
	if d.options.TokenFile != "" {
		file = d.options.TokenFile
	}
	if _, err := os.Stat(file); err == nil {
		return file
	}
	if audience := d.variable("K_AUDIENCE"); audience != "" {
		d.noteVariable("K_AUDIENCE", fmt.Sprintf("the sink wants a token for %q, and there is none in %s", shorten(audience), file),
			"mount one there, as a SinkBinding does, or unset the variable")
	}
	return ""
}
