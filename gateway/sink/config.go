package sink

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/streamgate/streamgate/gateway/guard"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/webhook"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Config is the address of a sink: one of its keys.
type Config struct {
	// URI is an http or https address to which events are posted.
	URI string `mapstructure:"uri"`
	// Stream is a configured stream to which events are added, in one step with their acknowledgement where Redis can.
	Stream string `mapstructure:"stream"`
	// Channel is a Pub/Sub channel on which events are published in JSON. Subscribers that do not listen at that moment
	// miss them.
	Channel string `mapstructure:"channel"`
	// Extensions are extension attributes that each event gets on its way to uri, as Knative's CloudEvent overrides;
	// one that the event has already is replaced. Dead letters do not have them.
	Extensions map[string]string `mapstructure:"extensions"`
	// CACerts are certificates in PEM that the sink at uri may be signed with, besides those of the system.
	CACerts string `mapstructure:"caCerts"`
	// TokenFile is a file with a bearer token for uri. It is read again for every request: its owner may replace it.
	TokenFile string `mapstructure:"tokenFile"`

	// WebHook makes uri a web hook, which has to agree before events are delivered to it.
	WebHook *webhook.SenderConfig `mapstructure:"webHook"`

	// Headers go with every request to uri, like the key of an API.
	Headers []HeaderConfig `mapstructure:"headers"`

	// Header goes with every request to uri. It may hold secrets, and comes from the subscriptions API alone.
	Header map[string]string `mapstructure:"-"`
	// Guard says which addresses uri may lead to; nil for any. It is for addresses that do not come from the file.
	Guard *guard.Guard `json:"-" mapstructure:"-"`
}

// HeaderConfig is a header of every request to a sink.
type HeaderConfig struct {
	// Name is the name of the header. Those of HTTP itself and of events are not allowed.
	Name string `mapstructure:"name"`
	// Value is its value.
	Value string `mapstructure:"value"`
	// ValueFile is a file with the value instead. It is read again for every request: its owner may replace it.
	ValueFile string `mapstructure:"valueFile"`
}

// MayHaveHeader reports whether a configuration may set a header. The others are those of the event, or of the
// connection.
func MayHaveHeader(name string) bool {
	lower := strings.ToLower(name)
	isToken := name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	})
	return isToken && !strings.HasPrefix(lower, "ce-") && !slices.Contains([]string{
		"content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "host", "upgrade", "te", "trailer",
		"expect", "prefer", "keep-alive", "proxy-authorization", "proxy-connection", "user-agent", "webhook-request-origin",
	}, lower)
}

// Describe names the sink for events, logs and documents, without secrets.
func (c *Config) Describe() string {
	switch {
	case c.Stream != "":
		return "stream:" + c.Stream
	case c.Channel != "":
		return "channel:" + c.Channel
	default:
		return RedactedURI(c.URI)
	}
}

// Validate returns everything that is wrong.
func (c *Config) Validate() setting.Problems {
	var p setting.Problems
	given := 0
	for _, address := range []string{c.URI, c.Stream, c.Channel} {
		if address != "" {
			given++
		}
	}
	if given > 1 {
		p.Add("", "the sink has more than one address", "keep one of uri, stream and channel")
	}
	if given == 0 || c.URI != "" {
		u, err := url.Parse(c.URI)
		switch {
		case c.URI == "" || err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			p.Add("uri", "the sink has no http or https address",
				"write an address like http://localhost:9000/, or name a stream or a channel")
		case !setting.ValidPort(u.Port()):
			p.Add("uri", "the port of the address is not a number from 1 to 65535", "write an address like http://localhost:9000/")
		}
	}
	p = append(p, c.validateHTTP()...)
	return p
}

// validateHTTP checks what belongs to uri.
func (c *Config) validateHTTP() setting.Problems {
	var p setting.Problems
	if c.Stream+c.Channel == "" {
		return c.validateRequests()
	}
	for key, given := range map[string]bool{"extensions": len(c.Extensions) > 0, "caCerts": c.CACerts != "", "tokenFile": c.TokenFile != "", "webHook": c.WebHook != nil, "headers": len(c.Headers) > 0} {
		if given {
			p.Add(key, "this is for sinks with a uri", "remove it")
		}
	}
	slices.SortFunc(p, func(a, b setting.Problem) int { return strings.Compare(a.Path, b.Path) })
	return p
}

// validateRequests checks what goes with each request to uri.
func (c *Config) validateRequests() setting.Problems {
	var p setting.Problems
	for name, value := range c.Extensions {
		switch {
		case !rawevent.ValidName(name) || isContextAttribute(name):
			p.Add("extensions."+name, fmt.Sprintf("%q is not a valid name of an extension attribute", name),
				"use lower-case letters and digits, and none of the attributes that CloudEvents defines")
		case value == "" || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
			p.Add("extensions."+name, "the value is empty or has control characters", "give a text")
		}
	}
	if c.CACerts != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(c.CACerts)) {
		p.Add("caCerts", "no PEM certificate found", "write it from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----")
	}
	if c.WebHook != nil {
		p.AddAll("webHook", c.WebHook.Check())
		if u, err := url.Parse(c.URI); err == nil && u.Scheme == "http" && !c.WebHook.Insecure && !isLoopback(u.Hostname()) {
			p.Add("uri", "the web hook has no encryption: a web hook on another machine must use https",
				"write https://, or set webHook.insecure: true if plain http is meant, as within a cluster")
		}
	}
	p = append(p, c.validateHeaders()...)
	u, err := url.Parse(c.URI)
	if err == nil && u.User != nil && c.TokenFile != "" {
		p.Add("tokenFile", "the address has a user, and there can be one Authorization only", "keep one of them")
	}
	slices.SortStableFunc(p, func(a, b setting.Problem) int { return strings.Compare(a.Path, b.Path) })
	return p
}

// isLoopback reports whether a host is this machine.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

func (c *Config) validateHeaders() setting.Problems {
	var p setting.Problems
	seen := map[string]bool{}
	u, err := url.Parse(c.URI)
	hasUser := err == nil && u.User != nil
	for i := range c.Headers {
		h, at := &c.Headers[i], fmt.Sprintf("headers[%d]", i)
		name := strings.ToLower(h.Name)
		switch {
		case !MayHaveHeader(h.Name):
			p.Add(at+".name", fmt.Sprintf("%q cannot be set", h.Name), "name a header that belongs neither to HTTP itself nor to events, like X-Api-Key")
		case seen[name]:
			p.Add(at+".name", fmt.Sprintf("%q is given twice", h.Name), "keep one of them")
		case name == "authorization" && (hasUser || c.TokenFile != ""):
			p.Add(at+".name", "the sink has a user or a token already, and there can be only one Authorization", "keep one of them")
		}
		seen[name] = true
		switch {
		case h.Value != "" && h.ValueFile != "":
			p.Add(at, "there are two values", "keep value or valueFile")
		case h.Value == "" && h.ValueFile == "":
			p.Add(at+".value", "it is missing", "give a value, or valueFile with the name of a file that holds it")
		case !validHeaderValue(h.Value):
			p.Add(at+".value", "it has characters that a header cannot have", "give it without line breaks and control characters")
		}
	}
	return p
}

func validHeaderValue(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// isContextAttribute reports whether CloudEvents itself defines an attribute.
func isContextAttribute(name string) bool {
	return slices.Contains([]string{"id", "source", "specversion", "type", "datacontenttype", "dataschema", "subject", "time", "data"}, name)
}
