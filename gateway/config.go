package gateway

import (
	"fmt"
	"strings"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/ingress"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/sink"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/stream"
	"github.com/streamgate/streamgate/gateway/transform"
)

// Config is what a [Gateway] needs to know.
type Config struct {
	Server        ingress.Config
	Streams       []stream.Config
	Sources       []source.Block
	Subscriptions []delivery.Config
}

// checkTargets checks the streams that a subscription writes to.
func (c *Config) checkTargets(p *setting.Problems, s *delivery.Config, streams map[string]bool) {
	if to := s.Sink.Stream; to != "" && !streams[to] {
		p.Add("sink.stream", fmt.Sprintf("there is no stream %q", to), "name one of those under streams")
	}
	if s.Sink.Stream == s.Stream && s.Stream != "" {
		p.Add("sink.stream", "events would go back into the stream that they come from", "name another stream")
	}
	if to := s.ReplyStream; to != "" && to != sink.NoReplies && !streams[to] {
		p.Add("replyStream", fmt.Sprintf("there is no stream %q", to), "name one of those under streams, or none")
	}
}

// Validate returns everything that is wrong, the references between the parts included.
func (c *Config) Validate() setting.Problems {
	var p setting.Problems
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
		var own setting.Problems
		c.checkBlock(&own, "source", source.Name, source.Stream, sources, streams)
		p.AddAll(path, own)
		p.AddAll(path, source.Config.Validate(source.Stream))
		if source.Transform != nil {
			p.AddAll(path+".transform", source.Transform.Validate(transform.Placeholders()))
		}
	}
	subscriptions := map[string]bool{}
	for i := range c.Subscriptions {
		c.checkSubscription(&p, fmt.Sprintf("subscriptions[%d]", i), &c.Subscriptions[i], subscriptions, streams)
	}
	return p
}

// checkPaths checks that a path leads to one stream.
func (c *Config) checkPaths(p *setting.Problems, streams map[string]bool) {
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
func (c *Config) checkSubscription(p *setting.Problems, path string, s *delivery.Config, names, streams map[string]bool) {
	p.AddAll(path, s.Validate())
	var references setting.Problems
	c.checkBlock(&references, "subscription", s.Name, s.Stream, names, streams)
	c.checkTargets(&references, s, streams)
	if s.Delivery.DeadLetterSink.Stream == s.Stream && s.Stream != "" {
		references.Add("delivery.deadLetterSink.stream", "dead letters would go back into the stream that they come from", "name another stream")
	}
	p.AddAll(path, references)
}

// checkBlock checks what sources and subscriptions have in common.
func (c *Config) checkBlock(p *setting.Problems, kind, name, stream string, names, streams map[string]bool) {
	if names[name] {
		p.Add("name", fmt.Sprintf("there are two %ss %q", kind, name), "give each a name of its own")
	}
	names[name] = true
	if kind == "source" && !setting.ValidName(name) {
		p.Add("name", fmt.Sprintf("%q is not a valid name", name), setting.NameRemedy)
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
