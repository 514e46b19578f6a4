// Package subscriptions is the CloudEvents Subscriptions API (version 0.1-wip of its specification). Its subscriptions
// are created, changed and deleted while a gateway runs; they are kept in Redis and run by all replicas, in addition to
// those of the configuration. The draft specifies neither the form of errors nor the paging of lists; here errors are
// problem documents (RFC 9457), lists have pages, and a subscription has an ETag. No request can satisfy the OpenAPI
// document of the draft, in which filters match two alternatives and settings none; this package has one of its own, at
// /openapi.json.
package subscriptions

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/foreign"
	"github.com/streamgate/streamgate/gateway/schema"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/sink"
	"github.com/streamgate/streamgate/gateway/transform"
	"github.com/streamgate/streamgate/gateway/webhook"
)

// Object is a subscription in the form of the API (section 3.2.1 of the specification).
type Object struct {
	ID               string            `json:"id"`
	Source           string            `json:"source,omitempty"`
	Types            []string          `json:"types,omitempty"`
	Config           json.RawMessage   `json:"config,omitempty"` // see [Settings]
	Filters          []json.RawMessage `json:"filters,omitempty"`
	Sink             string            `json:"sink"`
	SinkCredential   *Credential       `json:"sinkcredential,omitempty"`
	Protocol         string            `json:"protocol"`
	ProtocolSettings *ProtocolSettings `json:"protocolsettings,omitempty"`
}

// Settings are the keys of a subscription in the configuration file that the specification does not have. A nil field
// means the default of [delivery.NewConfig].
type Settings struct {
	Stream        string            `json:"stream,omitempty"`
	Concurrency   *int              `json:"concurrency,omitempty"`
	LeaseDuration *setting.Duration `json:"leaseDuration,omitempty"`
	StartFrom     *string           `json:"startFrom,omitempty"`
	OnGroupLost   *string           `json:"onGroupLost,omitempty"`
	Forget        *bool             `json:"forget,omitempty"`
	Order         *string           `json:"order,omitempty"`
	RateLimit     *float64          `json:"rateLimit,omitempty"`
	MaxParked     *int              `json:"maxParked,omitempty"`
	ReplyStream   *string           `json:"replyStream,omitempty"`
	Delivery      *delivery.Spec    `json:"delivery,omitempty"`

	Transform *transform.Config     `json:"transform,omitempty"`
	WebHook   *webhook.SenderConfig `json:"webHook,omitempty"`
}

// Credential authenticates the gateway to the sink. Answers never contain it.
type Credential struct {
	CredentialType        string `json:"credentialtype"`
	Identifier            string `json:"identifier,omitempty"`
	Secret                string `json:"secret,omitempty"`
	AccessToken           string `json:"accesstoken,omitempty"`
	AccessTokenExpiresUTC string `json:"accesstokenexpiresutc,omitempty"`
	AccessTokenType       string `json:"accesstokentype,omitempty"`
}

// ProtocolSettings are the settings of the protocol HTTP.
type ProtocolSettings struct {
	Headers map[string]string `json:"headers,omitempty"`
	Method  string            `json:"method,omitempty"`
}

// Protocols of sinks. The specification allows protocols that it does not define.
const (
	protocolHTTP  = "HTTP"
	protocolRedis = "REDIS" // the sink is stream:NAME or channel:NAME
)

// hidden replaces the values of headers in answers.
const hidden = "..."

// Limits of an object.
const (
	maxBody    = 64 << 10
	maxFilters = 100 // on all levels together
	maxDepth   = 16  // levels of filters
)

// parse reads an object and refuses what it does not know: a member that is skipped would be a filter that does not
// hold. Go's decoder takes null for "left out" and ignores the case of names; neither is in the OpenAPI document.
func parse(body []byte) (*Object, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	var o Object
	if err := decoder.Decode(&o); err != nil {
		return nil, fmt.Errorf("the body is not a subscription: %s", decodingError(body, err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the body is not a subscription: something follows it")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return nil, errors.New("the body is not a subscription: it is not a JSON object")
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(memberNames(), name) {
			return nil, fmt.Errorf("the body is not a subscription: %q is not a member; names are in lower case", name)
		}
		if at := findNull(name, members[name]); at != "" {
			return nil, fmt.Errorf("the body is not a subscription: %s is null; leave it out", at)
		}
	}
	if source, given := members["source"]; given && string(bytes.TrimSpace(source)) == `""` {
		return nil, errors.New("the body is not a subscription: source is empty; leave it out, or name the source of the events")
	}
	return &o, nil
}

// decodingError says what a decoder did not like, without its own words.
func decodingError(body []byte, err error) string {
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return fmt.Sprintf("%s cannot be a JSON %s", wrongType.Field, wrongType.Value)
	case errors.As(err, &wrongType):
		return fmt.Sprintf("it is a JSON %s instead of an object", wrongType.Value)
	}
	if err := foreign.CheckJSON(body); err != nil {
		return err.Error()
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

func memberNames() []string {
	return []string{"id", "source", "types", "config", "filters", "sink", "sinkcredential", "protocol", "protocolsettings"}
}

// findNull returns the path of a null in a valid JSON value, or "". In GeoJSON null has a meaning.
func findNull(at string, value json.RawMessage) string {
	value = bytes.TrimSpace(value)
	switch value[0] {
	case 'n':
		return at
	case '{':
		var members map[string]json.RawMessage
		_ = json.Unmarshal(value, &members) // it is valid
		for _, name := range slices.Sorted(maps.Keys(members)) {
			if name == "intersects" {
				continue
			}
			if found := findNull(at+"."+name, members[name]); found != "" {
				return found
			}
		}
	case '[':
		var items []json.RawMessage
		_ = json.Unmarshal(value, &items) // it is valid
		for i, item := range items {
			if found := findNull(fmt.Sprintf("%s[%d]", at, i), item); found != "" {
				return found
			}
		}
	}
	return ""
}

// withoutSecrets returns what may be shown.
func (o *Object) withoutSecrets() *Object {
	shown := *o
	shown.SinkCredential = nil
	if o.Protocol == protocolHTTP {
		shown.Sink = shownAddress(o.Sink)
	}
	shown.Config = mapAddresses(o.Config, shownAddress)
	if o.ProtocolSettings != nil { // header values may be keys
		settings := *o.ProtocolSettings
		settings.Headers = make(map[string]string, len(o.ProtocolSettings.Headers))
		for name := range o.ProtocolSettings.Headers {
			settings.Headers[name] = hidden
		}
		shown.ProtocolSettings = &settings
	}
	return &shown
}

// keepSecrets copies from the stored object the secrets that an update cannot repeat, because answers do not contain
// them: the credential if it is missing, and the values of headers that are still hidden. They are kept only for the
// same sink, so that an update cannot send them elsewhere.
func (o *Object) keepSecrets(old *Object) {
	if o.SinkCredential == nil && o.Sink == old.withoutSecrets().Sink {
		o.SinkCredential, o.Sink = old.SinkCredential, old.Sink
	}
	if was := addressIn(old.Config); was != "" { // of dead letters
		o.Config = mapAddresses(o.Config, func(address string) string {
			if address == shownAddress(was) {
				return was
			}
			return address
		})
	}
	if o.ProtocolSettings == nil || old.ProtocolSettings == nil || o.Sink != old.Sink {
		return
	}
	for name, value := range o.ProtocolSettings.Headers {
		if was, found := old.ProtocolSettings.Headers[name]; found && value == hidden {
			o.ProtocolSettings.Headers[name] = was
		}
	}
}

// stream returns the stream that the subscription reads; other is the default.
func (o *Object) stream(other string) string {
	c, _ := o.configuration(other)
	return c.Stream
}

// configuration translates the object; stream is the default stream. The problems are those of the translation: the
// result still has to be validated.
func (o *Object) configuration(stream string) (delivery.Config, setting.Problems) {
	var p setting.Problems
	c := delivery.NewConfig()
	c.Name, c.Stream = o.ID, stream
	if len(o.Config) > 0 {
		settings, err := parseSettings(o.Config)
		if err != nil {
			p.Add("config", strings.TrimPrefix(err.Error(), "json: "),
				"write the keys of a subscription in the configuration file, like stream, concurrency or delivery")
		} else {
			settings.apply(&c)
		}
	}
	o.sink(&c, &p)
	if _, err := url.Parse(o.Source); err != nil {
		p.Add("source", fmt.Sprintf("%q is not a URI reference", o.Source), "write the source of the events as they have it")
	}
	if o.Source != "" {
		c.Filters = append(c.Filters, filter.Config{Exact: map[string]string{"source": o.Source}})
	}
	if o.Types != nil {
		c.Filters = append(c.Filters, anyType(o.Types, &p))
	}
	left := maxFilters
	for i, raw := range o.Filters {
		f, problems := parseFilter(raw, maxDepth, &left)
		p.AddAll(fmt.Sprintf("filters[%d]", i), problems)
		c.Filters = append(c.Filters, f)
	}
	return c, p
}

// apply overrides the defaults in c with the settings that are given.
func (s *Settings) apply(c *delivery.Config) {
	if s.Stream != "" {
		c.Stream = s.Stream
	}
	set(&c.Concurrency, s.Concurrency)
	set(&c.LeaseDuration, s.LeaseDuration)
	set(&c.StartFrom, s.StartFrom)
	set(&c.OnGroupLost, s.OnGroupLost)
	set(&c.Forget, s.Forget)
	set(&c.Order, s.Order)
	set(&c.RateLimit, s.RateLimit)
	set(&c.MaxParked, s.MaxParked)
	set(&c.ReplyStream, s.ReplyStream)
	set(&c.Delivery, s.Delivery)
	c.Transform, c.Sink.WebHook = s.Transform, s.WebHook
}

// set assigns *from unless from is nil.
func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// parseSettings reads the settings. A partial delivery keeps the other defaults of [delivery.NewConfig].
func parseSettings(data []byte) (*Settings, error) {
	delivery := delivery.NewConfig().Delivery
	s := Settings{Delivery: &delivery}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		return nil, err
	}
	if s.Transform != nil && slices.ContainsFunc(s.Transform.Schemas, func(c schema.Config) bool {
		return c.File != ""
	}) {
		return nil, errors.New("transform.schemas: files are not for who speaks to the API; give the schema itself")
	}
	if s.Delivery == nil {
		s.Delivery = &delivery // it was null
	}
	return &s, nil
}

// anyType returns a filter that matches events of any of the types.
func anyType(types []string, p *setting.Problems) filter.Config {
	if len(types) == 0 {
		p.Add("types", "the list is empty", "name at least one type, or leave types out")
	}
	var any filter.Config
	for i, t := range types {
		if strings.HasSuffix(t, "*") {
			p.Add(fmt.Sprintf("types[%d]", i), fmt.Sprintf("%q is not a type: types are compared as a whole", t),
				fmt.Sprintf(`use a filter instead, like {"prefix": {"type": %q}}`, strings.TrimRight(t, "*")))
		}
		any.Any = append(any.Any, filter.Config{Exact: map[string]string{"type": t}})
	}
	return any
}

// sink translates the sink and its protocol.
func (o *Object) sink(c *delivery.Config, p *setting.Problems) {
	switch o.Protocol {
	case protocolHTTP:
		o.httpSink(c, p)
	case protocolRedis:
		kind, name, _ := strings.Cut(o.Sink, ":")
		switch {
		case kind == "stream" && name != "":
			c.Sink.Stream = name
		case kind == "channel" && name != "":
			c.Sink.Channel = name
		default:
			p.Add("sink", fmt.Sprintf("%q is not a sink of protocol REDIS", o.Sink), "write stream:NAME or channel:NAME")
		}
		if o.ProtocolSettings != nil || o.SinkCredential != nil {
			p.Add("protocolsettings", "the protocol REDIS has neither settings nor credentials",
				"leave protocolsettings and sinkcredential out")
		}
	case "":
		p.Add("protocol", "protocol is missing", "write HTTP or REDIS")
	default:
		p.Add("protocol", fmt.Sprintf("%q is not supported", o.Protocol), "write HTTP or REDIS")
	}
}

// httpSink translates a sink of the protocol HTTP.
func (o *Object) httpSink(c *delivery.Config, p *setting.Problems) {
	c.Sink.URI, c.Sink.Header = o.Sink, map[string]string{}
	if s := o.ProtocolSettings; s != nil {
		if s.Method != "" && s.Method != "POST" {
			p.Add("protocolsettings.method", fmt.Sprintf("%q is not supported", s.Method),
				"write POST, or leave it out")
		}
		for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
			if !httpguts.ValidHeaderFieldValue(s.Headers[name]) || !sink.MayHaveHeader(name) {
				p.Add("protocolsettings.headers."+name, "this header cannot be set", "leave out what belongs to HTTP or CloudEvents, and line breaks")
				continue
			}
			c.Sink.Header[name] = s.Headers[name]
		}
	}
	if o.SinkCredential != nil {
		o.SinkCredential.authorize(c.Sink.Header, p)
	}
}

func (k *Credential) authorize(header map[string]string, p *setting.Problems) {
	value := ""
	switch k.CredentialType {
	case "PLAIN":
		if k.Identifier == "" || k.Secret == "" {
			p.Add("sinkcredential", "PLAIN requires identifier and secret", "write both")
		}
		value = "Basic " + base64.StdEncoding.EncodeToString([]byte(k.Identifier+":"+k.Secret))
	case "ACCESSTOKEN":
		if k.AccessToken == "" || k.AccessTokenType != "" && !strings.EqualFold(k.AccessTokenType, "bearer") {
			p.Add("sinkcredential", "ACCESSTOKEN requires accesstoken, and accesstokentype must be bearer",
				"write a bearer token")
		}
		if t, err := time.Parse(time.RFC3339, k.AccessTokenExpiresUTC); k.AccessTokenExpiresUTC != "" && err != nil {
			p.Add("sinkcredential.accesstokenexpiresutc", "this is not a valid time", "write a time like 2026-11-23T00:00:00Z")
		} else if err == nil && t.Before(time.Now()) {
			p.Add("sinkcredential.accesstokenexpiresutc", "the token has expired", "write a valid token")
		}
		value = "Bearer " + k.AccessToken
	default:
		p.Add("sinkcredential.credentialtype", fmt.Sprintf("%q is not supported", k.CredentialType),
			"write PLAIN or ACCESSTOKEN")
	}
	if !httpguts.ValidHeaderFieldValue(value) {
		p.Add("sinkcredential", "the credential has characters that a header cannot contain",
			"write it without line breaks")
	}
	header["Authorization"] = value
}
