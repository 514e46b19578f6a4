package stream

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/schema"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Config is one stream: where events are kept.
type Config struct {
	// Name is the key in Redis, and the path that producers post to.
	Name string `mapstructure:"name"`
	// Path is one more path that producers post to, like the /{namespace}/{broker} of a Knative Broker; default none.
	// It is compared after percent-decoding, and the name of a stream goes before it.
	Path string `mapstructure:"path"`
	// ContentMode is how events are written: binary (default), or structured.
	ContentMode string `mapstructure:"contentMode"`
	// Mirror names attributes, or top-level members of JSON data, that are repeated as plain fields of the entry, for
	// readers that know nothing of CloudEvents.
	Mirror []string `mapstructure:"mirror"`
	// DedupWindow is how long an event is known by its source and id: posted again within it, it is answered like the
	// first time and not stored again; default 0, which is never. It costs up to 200 bytes of Redis for each event.
	DedupWindow setting.Duration `mapstructure:"dedupWindow"`
	// Durability is what 202 means: memory (default), that Redis has the event, as safe as its own settings make it;
	// fsync, that it is on the disk of Redis; replicated, that as many replicas as Replicas says have it, too.
	Durability string `mapstructure:"durability"`
	// Replicas is for durability replicated; default 1.
	Replicas int `mapstructure:"replicas"`
	// Validation says what is done with events that come in over HTTP and are not valid: strict (default) refuses them;
	// lenient mends what careless senders do where its meaning is plain (see [rawevent.Lenient]), and refuses the rest.
	Validation string `mapstructure:"validation"`
	// Schemas are for the data of events that come in over HTTP; what violates one is refused with 422. Default none.
	Schemas []schema.Config `mapstructure:"schemas"`
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

// NewConfig returns the defaults.
func NewConfig() Config {
	return Config{ContentMode: "binary", Durability: durabilityMemory, Replicas: 1, Validation: validationStrict}
}

// Validate returns everything that is wrong. It reads the files of schemas.
func (c *Config) Validate() setting.Problems {
	var p setting.Problems
	switch {
	case c.Name == "":
		p.Add("name", "a stream has no name", "give it one; it is the key in Redis")
	case strings.HasPrefix(c.Name, "streamgate:"):
		p.Add("name", fmt.Sprintf("%q begins with streamgate:, which the gateway keeps for itself", c.Name), "choose another name")
	case len(c.Name) > 512 || strings.ContainsFunc(c.Name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		p.Add("name", "the name is longer than 512 bytes or has control characters", "choose another name")
	case redisstreams.CheckStreamName(c.Name) != nil:
		p.Add("name", fmt.Sprintf("%q has braces that are not a hash tag of Redis Cluster", c.Name), "write the tag as {tag}, or use no braces")
	}
	if c.Path != "" && !streamPath.MatchString(c.Path) {
		p.Add("path", fmt.Sprintf("%q is not a valid path", c.Path), "write one to four segments of letters, digits, dots, dashes and underscores, like /default/broker")
	}
	if c.ContentMode != "binary" && c.ContentMode != "structured" {
		p.Add("contentMode", fmt.Sprintf("%q is not a content mode", c.ContentMode), "write binary or structured")
	}
	if c.DedupWindow != 0 && c.DedupWindow < setting.Duration(time.Millisecond) {
		p.Add("dedupWindow", fmt.Sprintf("%s is too short for a window", c.DedupWindow), "set a time like 10m, or leave it out")
	}
	if c.Durability != durabilityMemory && c.Durability != durabilityFsync && c.Durability != durabilityReplicated {
		p.Add("durability", fmt.Sprintf("%q is not a durability", c.Durability), "write memory, fsync or replicated")
	}
	if c.Replicas < 1 {
		p.Add("replicas", fmt.Sprintf("cannot wait for %d replicas", c.Replicas), "set 1 or more, and durability: replicated")
	}
	if c.Validation != validationStrict && c.Validation != validationLenient {
		p.Add("validation", fmt.Sprintf("%q is not a kind of validation", c.Validation), "write strict or lenient")
	}
	_, problems := schema.CompileConfigs(c.Schemas)
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

// SenderOptions says how entries of the stream are written, whichever part writes them.
func (c *Config) SenderOptions() []redisstreams.SenderOption {
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

// NewSender returns a sender that writes into a key as the stream is configured. The key may be another stream's, such
// as that of the stream's dead letters, whose readers then find what they find in this one.
func (c *Config) NewSender(client redis.UniversalClient, key string) (*redisstreams.Sender, error) {
	return redisstreams.NewSender(client, key, c.SenderOptions()...)
}

// IsInMemory reports whether an event counts as stored as soon as Redis has it in memory.
func (c *Config) IsInMemory() bool { return c.Durability == durabilityMemory }
