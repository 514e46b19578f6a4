package gateway

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Config is what a [Gateway] needs to know.
type Config struct {
	Server        ServerConfig
	Streams       []StreamConfig
	Sources       []SourceBlock
	Subscriptions []SubscriptionConfig
}

// ServerConfig is the listener for events.
type ServerConfig struct {
	// Address is host:port to listen on; default 127.0.0.1:8080. Port 0 takes a free one.
	Address string `mapstructure:"address"`
	// AllowAnonymous permits an address other than loopback, where anybody who reaches it can publish; default false.
	AllowAnonymous bool `mapstructure:"allowAnonymous"`
	// MaxEventBytes is the size of the largest event that is accepted; default 1 MiB.
	MaxEventBytes int `mapstructure:"maxEventBytes"`
	// MaxBatchBytes is the size of the largest batch that is accepted; default 8 MiB.
	MaxBatchBytes int `mapstructure:"maxBatchBytes"`
	// ShutdownTimeout is how long deliveries in work may take to finish when the gateway stops; default 20s.
	ShutdownTimeout Duration `mapstructure:"shutdownTimeout"`
	// WebHook is the handshake with senders that want to be asked for it.
	WebHook WebHookReceiverConfig `mapstructure:"webHook"`
}

// NewServerConfig returns the defaults.
func NewServerConfig() ServerConfig {
	return ServerConfig{
		Address: "127.0.0.1:8080", MaxEventBytes: 1 << 20, MaxBatchBytes: 8 << 20,
		ShutdownTimeout: Duration(20 * time.Second),
	}
}

// minEventBytes: an intermediary must forward events of 64 KiB (CloudEvents specification, size limits), also where they
// have grown by base64.
const minEventBytes = 128 << 10

// Validate returns everything that is wrong.
func (c *ServerConfig) Validate() Problems {
	var p Problems
	if problem := checkAddress(c.Address, c.AllowAnonymous, "publish"); problem != nil {
		p = append(p, *problem)
	}
	if c.MaxEventBytes < minEventBytes {
		p.Add("maxEventBytes", fmt.Sprintf("%d is less than %d, which every intermediary must forward", c.MaxEventBytes, minEventBytes),
			fmt.Sprintf("set %d or more", minEventBytes))
	}
	if c.MaxBatchBytes < c.MaxEventBytes {
		p.Add("maxBatchBytes", fmt.Sprintf("%d is less than maxEventBytes (%d)", c.MaxBatchBytes, c.MaxEventBytes), "make it at least as large")
	}
	p.AddAll("webHook", c.WebHook.Validate())
	if c.ShutdownTimeout <= 0 {
		p.Add("shutdownTimeout", fmt.Sprintf("%s is not positive", c.ShutdownTimeout), "set a time like 20s")
	}
	return p
}

func checkAddress(address string, anonymousAllowed bool, could string) *Problem {
	host, port, err := net.SplitHostPort(address)
	if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil {
		return &Problem{"address", fmt.Sprintf("%q is not host:port", address), "write an address like 127.0.0.1:8080"}
	}
	ip := net.ParseIP(host)
	if host != "localhost" && (ip == nil || !ip.IsLoopback()) && !anonymousAllowed {
		return &Problem{"address", fmt.Sprintf("%q is not a loopback address, and there is no authentication: anybody who reaches it could %s", address, could),
			"listen on 127.0.0.1 behind a proxy that authenticates, or say allowAnonymous: true"}
	}
	return nil
}

// StreamConfig is one stream: where events are kept.
type StreamConfig struct {
	// Name is the key in Redis, and the path that producers post to.
	Name string `mapstructure:"name"`
	// Path is one more path that producers post to, like the /{namespace}/{broker} of a Knative Broker; default none. It is
	// compared after percent-decoding, and the name of a stream goes before it.
	Path string `mapstructure:"path"`
	// ContentMode is how events are written: binary (default), or structured.
	ContentMode string `mapstructure:"contentMode"`
	// Mirror names attributes, or top-level members of JSON data, that are repeated as plain fields of the entry, for
	// readers that know nothing of CloudEvents.
	Mirror []string `mapstructure:"mirror"`
	// DedupWindow is how long an event is known by its source and id: posted again within it, it is answered like the
	// first time and not stored again; default 0, which is never. It costs up to 200 bytes of Redis for each event.
	DedupWindow Duration `mapstructure:"dedupWindow"`
	// Durability is what 202 means: memory (default), that Redis has the event, as safe as its own settings make it;
	// fsync, that it is on the disk of Redis; replicated, that as many replicas as Replicas says have it, too.
	Durability string `mapstructure:"durability"`
	// Replicas is for durability replicated; default 1.
	Replicas int `mapstructure:"replicas"`
	// Validation says what is done with events that come in over HTTP and are not valid: strict (default) refuses them;
	// lenient mends what careless senders do where its meaning is plain (see [rawevent.Lenient]), and refuses the rest.
	Validation string `mapstructure:"validation"`
	// Schemas are for the data of events that come in over HTTP; what violates one is refused with 422. Default none.
	Schemas []SchemaConfig `mapstructure:"schemas"`
	// Retention says what is removed; default nothing.
	Retention RetentionConfig `mapstructure:"retention"`
}

// streamPath has no characters that would have to be percent-encoded, and no segments that clients resolve, like "..".
var streamPath = regexp.MustCompile(`^(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}){1,4}$`)

const (
	validationStrict  = "strict"
	validationLenient = "lenient"

	durabilityMemory     = "memory"
	durabilityFsync      = "fsync"
	durabilityReplicated = "replicated"
)

// NewStreamConfig returns the defaults.
func NewStreamConfig() StreamConfig {
	return StreamConfig{ContentMode: "binary", Durability: durabilityMemory, Replicas: 1, Validation: validationStrict}
}

// Validate returns everything that is wrong. It reads the files of schemas.
func (c *StreamConfig) Validate() Problems {
	var p Problems
	switch {
	case c.Name == "":
		p.Add("name", "a stream has no name", "give it one; it is the key in Redis")
	case strings.HasPrefix(c.Name, "streamgate:"):
		p.Add("name", fmt.Sprintf("%q begins with streamgate:, which the gateway keeps for itself", c.Name), "choose another name")
	case len(c.Name) > 512 || strings.ContainsFunc(c.Name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		p.Add("name", "the name is longer than 512 bytes or has control characters", "choose another name")
	case redisstreams.CheckStreamName(c.Name) != nil:
		p.Add("name", fmt.Sprintf("%q has braces that are no hash tag of Redis Cluster", c.Name), "write the tag as {tag}, or use no braces")
	}
	if c.Path != "" && !streamPath.MatchString(c.Path) {
		p.Add("path", fmt.Sprintf("%q is no path to post to", c.Path), "write one to four segments of letters, digits, dots, dashes and underscores, like /default/broker")
	}
	if c.ContentMode != "binary" && c.ContentMode != "structured" {
		p.Add("contentMode", fmt.Sprintf("%q is no content mode", c.ContentMode), "write binary or structured")
	}
	if c.DedupWindow != 0 && c.DedupWindow < Duration(time.Millisecond) {
		p.Add("dedupWindow", fmt.Sprintf("%s is no window to remember events for", c.DedupWindow), "set a time like 10m, or leave it out")
	}
	if c.Durability != durabilityMemory && c.Durability != durabilityFsync && c.Durability != durabilityReplicated {
		p.Add("durability", fmt.Sprintf("%q is no durability", c.Durability), "write memory, fsync or replicated")
	}
	if c.Replicas < 1 {
		p.Add("replicas", fmt.Sprintf("cannot wait for %d replicas", c.Replicas), "set 1 or more, and durability: replicated")
	}
	if c.Validation != validationStrict && c.Validation != validationLenient {
		p.Add("validation", fmt.Sprintf("%q is no validation", c.Validation), "write strict or lenient")
	}
	_, problems := compileSchemas(c.Schemas)
	p = append(p, problems...)
	p.AddAll("retention", c.Retention.validate())
	for i, name := range c.Mirror {
		if name == "" || strings.HasPrefix(name, redisstreams.FieldPrefix) || name == redisstreams.FieldContentType ||
			name == redisstreams.FieldData || slices.Contains(c.Mirror[:i], name) {
			p.Add(fmt.Sprintf("mirror[%d]", i), fmt.Sprintf("%q cannot be a mirrored field: it is empty, a field of the binding, or there twice", name),
				"name an attribute like subject, or a member of JSON data like href")
		}
	}
	return p
}

// SenderOptions says how entries of the stream are written, whoever writes them.
func (c *StreamConfig) SenderOptions() []redisstreams.SenderOption {
	options := []redisstreams.SenderOption{redisstreams.WithMirror(c.Mirror...)}
	if c.ContentMode == "structured" {
		options = append(options, redisstreams.WithStructuredMode())
	}
	switch c.Durability {
	case durabilityFsync:
		options = append(options, redisstreams.WithFsync())
	case durabilityReplicated:
		options = append(options, redisstreams.WithReplicas(c.Replicas))
	}
	return options
}

// NewSender returns a sender that writes into a key as the stream is configured. The key may be another stream's, such as that
// of the stream's dead letters, whose readers then find what they find in this one.
func (c *StreamConfig) NewSender(client redis.UniversalClient, key string) (*redisstreams.Sender, error) {
	return redisstreams.NewSender(client, key, c.SenderOptions()...)
}

// IsInMemory reports whether an event counts as stored as soon as Redis has it in memory.
func (c *StreamConfig) IsInMemory() bool { return c.Durability == durabilityMemory }

// checkTargets checks the streams that a subscription writes to.
func (c *Config) checkTargets(p *Problems, s *SubscriptionConfig, streams map[string]bool) {
	if to := s.Sink.Stream; to != "" && !streams[to] {
		p.Add("sink.stream", fmt.Sprintf("there is no stream %q", to), "name one of those under streams")
	}
	if s.Sink.Stream == s.Stream && s.Stream != "" {
		p.Add("sink.stream", "events would go back into the stream that they come from", "name another stream")
	}
	if to := s.ReplyStream; to != "" && to != NoReplies && !streams[to] {
		p.Add("replyStream", fmt.Sprintf("there is no stream %q", to), "name one of those under streams, or none")
	}
}

// Validate returns everything that is wrong, the references between the parts included.
func (c *Config) Validate() Problems {
	var p Problems
	p.AddAll("server", c.Server.Validate())
	streams := map[string]bool{}
	if len(c.Streams) == 0 {
		p.Add("streams", "there is no stream", "name at least one, like: streams: [{ name: events }]")
	}
	for i := range c.Streams {
		path := fmt.Sprintf("streams[%d]", i)
		p.AddAll(path, c.Streams[i].Validate())
		if streams[c.Streams[i].Name] {
			p.Add(path+".name", fmt.Sprintf("there are two streams %q", c.Streams[i].Name), "give each a name of its own")
		}
		streams[c.Streams[i].Name] = true
	}
	c.checkPaths(&p, streams)
	sources := map[string]bool{}
	for i := range c.Sources {
		source, path := &c.Sources[i], fmt.Sprintf("sources[%d]", i)
		var own Problems
		c.checkBlock(&own, "source", source.Name, source.Stream, sources, streams)
		p.AddAll(path, own)
		p.AddAll(path, source.Config.Validate(source.Stream))
		if source.Transform != nil {
			p.AddAll(path+".transform", source.Transform.Validate(TransformPlaceholders()))
		}
	}
	subscriptions := map[string]bool{}
	for i := range c.Subscriptions {
		c.checkSubscription(&p, fmt.Sprintf("subscriptions[%d]", i), &c.Subscriptions[i], subscriptions, streams)
	}
	return p
}

// checkPaths checks that a path leads to one stream.
func (c *Config) checkPaths(p *Problems, streams map[string]bool) {
	paths := map[string]bool{}
	for i := range c.Streams {
		stream, path := &c.Streams[i], c.Streams[i].Path
		key := fmt.Sprintf("streams[%d].path", i)
		switch {
		case path == "":
			continue
		case paths[path]:
			p.Add(key, fmt.Sprintf("there are two streams with the path %q", path), "give each a path of its own")
		case streams[path[1:]] && stream.Name != path[1:]:
			p.Add(key, fmt.Sprintf("%q is the path of the stream %q already", path, path[1:]), "choose another path")
		}
		paths[path] = true
	}
}

// checkSubscription checks a subscription beside others, whose names are known.
func (c *Config) checkSubscription(p *Problems, path string, s *SubscriptionConfig, names, streams map[string]bool) {
	p.AddAll(path, s.Validate())
	var references Problems
	c.checkBlock(&references, "subscription", s.Name, s.Stream, names, streams)
	c.checkTargets(&references, s, streams)
	if s.Delivery.DeadLetterSink.Stream == s.Stream && s.Stream != "" {
		references.Add("delivery.deadLetterSink.stream", "dead letters would go back into the stream that they come from", "name another stream")
	}
	p.AddAll(path, references)
}

// checkBlock checks what sources and subscriptions have in common.
func (c *Config) checkBlock(p *Problems, kind, name, stream string, names, streams map[string]bool) {
	if names[name] {
		p.Add("name", fmt.Sprintf("there are two %ss %q", kind, name), "give each a name of its own")
	}
	names[name] = true
	if kind == "source" && !validBlockName(name) {
		p.Add("name", fmt.Sprintf("%q is no name", name), blockNameRemedy)
	}
	if !streams[stream] {
		p.Add("stream", fmt.Sprintf("there is no stream %q", stream), "name one of those under streams: "+strings.Join(c.streamNames(), ", "))
	}
}

func (c *Config) streamNames() []string {
	names := make([]string, len(c.Streams))
	for i := range c.Streams {
		names[i] = c.Streams[i].Name
	}
	return names
}
