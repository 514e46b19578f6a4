package knative

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// File is one file with manifests.
type File struct {
	Name string
	Data []byte
}

// Result is a configuration and notes on what it leaves out.
type Result struct {
	YAML  []byte   // a valid configuration, with the notes as comments at its beginning
	Notes []string // one line for each thing that has no equivalent or needs attention
	// Skipped is how many manifests, or settings of them, have no equivalent and are not in the result.
	Skipped int
}

// Import translates manifests into one configuration. References between files resolve in any order. An error means
// that a file does not hold manifests; what a manifest says that has no equivalent is a note. It does no I/O.
func Import(files []File) (*Result, error) {
	var all []manifest
	for _, file := range files {
		manifests, err := parse(file.Data)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file.Name, err)
		}
		all = append(all, manifests...)
	}
	im := importer{streams: map[string]string{}, defaults: map[string]*deliverySpec{}, owners: map[string]string{},
		names: map[string]bool{}}
	all = im.unique(all)
	for _, convert := range []map[string]func(*manifest){ // streams first: a Trigger may come before its Broker
		{"eventing.knative.dev/Broker": im.stream, "messaging.knative.dev/Channel": im.stream,
			"messaging.knative.dev/InMemoryChannel": im.stream},
		{
			"eventing.knative.dev/Trigger": im.trigger, "messaging.knative.dev/Subscription": im.subscription,
			"sources.knative.dev/PingSource": im.ping,
		},
	} {
		for i := range all {
			if f := convert[all[i].group()+"/"+all[i].Kind]; f != nil {
				f(&all[i])
				all[i].Kind = "" // done
			}
		}
	}
	for i := range all {
		if all[i].Kind != "" {
			im.skip(&all[i], "this kind has no equivalent")
		}
	}
	return im.result()
}

// importer collects the configuration.
type importer struct {
	out      document
	notes    []string
	skipped  int                      // manifests and settings that were left out
	streams  map[string]string        // names of the streams, by kind/namespace/name of a broker or channel
	defaults map[string]*deliverySpec // delivery of brokers and channels, by stream
	owners   map[string]string        // namespaces of brokers and channels, by stream
	names    map[string]bool          // names in use, with their kind before them
}

// note adds a note about a manifest.
func (im *importer) note(m *manifest, format string, args ...any) {
	im.notes = append(im.notes, oneLine(m.String()+": "+fmt.Sprintf(format, args...)))
}

// skip notes that a manifest, or a setting of it, is not in the result.
func (im *importer) skip(m *manifest, format string, args ...any) {
	im.skipped++
	im.note(m, format, args...)
}

// unique removes manifests whose name is not valid, and repeated ones.
func (im *importer) unique(all []manifest) []manifest {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(m manifest) bool {
		key := m.group() + "/" + m.String()
		switch {
		case !validName(m.Metadata.Name) || !validName(m.Metadata.Namespace):
			im.skipped++
			im.notes = append(im.notes, oneLine(fmt.Sprintf("%s %q in namespace %q: left out: not a valid Kubernetes "+
				"name", m.Kind, m.Metadata.Name, m.Metadata.Namespace)))
			return true
		case seen[key]:
			im.skip(&m, "left out: it is a duplicate, and the first one is used")
			return true
		}
		seen[key] = true
		return false
	})
}

// decode reads a specification into target, and notes the keys that have no equivalent. It reports whether that
// succeeded.
func (im *importer) decode(m *manifest, target any) bool {
	unknown, err := m.decode(target)
	if err != nil {
		im.skip(m, "left out: %v", err)
		return false
	}
	for _, path := range unknown {
		im.skip(m, "%s has no equivalent", path)
	}
	return true
}

// freeName reserves and returns namespace.name, with a number if that is in use.
func (im *importer) freeName(kind string, m *manifest) string {
	base := m.Metadata.Namespace + "." + m.Metadata.Name
	name := base
	for n := 2; im.names[kind+name]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	im.names[kind+name] = true
	return name
}

// streamKind returns Channel for every implementation of a channel, because references may use either kind.
func streamKind(kind string) string {
	if kind == "InMemoryChannel" {
		return "Channel"
	}
	return kind
}

// stream adds the stream of a broker or a channel.
func (im *importer) stream(m *manifest) {
	var spec brokerSpec
	if !im.decode(m, &spec) {
		return
	}
	key := streamKind(m.Kind) + "/" + m.Metadata.Namespace + "/" + m.Metadata.Name
	if im.streams[key] != "" {
		im.note(m, "a Channel with this name exists already; both are the same stream")
		return
	}
	name := im.addStream(m, m.Kind == "Broker")
	im.streams[key], im.defaults[name], im.owners[name] = name, spec.Delivery, m.Metadata.Namespace
}

func (im *importer) addStream(m *manifest, isBroker bool) string {
	s := stream{Name: im.freeName("stream ", m)}
	if isBroker {
		s.Path = "/" + m.Metadata.Namespace + "/" + m.Metadata.Name
	}
	im.out.Streams = append(im.out.Streams, s)
	return s.Name
}

// known returns the stream of a broker or channel, or "" if its name is not valid. A broker or channel that is not
// among the manifests gets a stream as well, because it may exist in the cluster.
func (im *importer) known(m *manifest, kind, namespace, name string) string {
	if namespace == "" {
		namespace = m.Metadata.Namespace
	}
	key := streamKind(kind) + "/" + namespace + "/" + name
	if im.streams[key] == "" && validName(namespace) && validName(name) {
		var missing manifest
		missing.Kind, missing.Metadata.Namespace, missing.Metadata.Name = kind, namespace, name
		im.note(m, "its %s is not among the manifests; a stream is added for it", missing.String())
		im.streams[key] = im.addStream(&missing, kind == "Broker")
		im.owners[im.streams[key]] = namespace
	}
	return im.streams[key]
}

func isStream(r *reference) bool {
	group, _, _ := strings.Cut(r.APIVersion, "/")
	return group == "eventing.knative.dev" && r.Kind == "Broker" ||
		group == "messaging.knative.dev" && (r.Kind == "Channel" || r.Kind == "InMemoryChannel")
}

// sink translates a destination, whose references are relative to a namespace; at is its path in the manifest. It
// reports false, with a note, if the destination has no equivalent.
func (im *importer) sink(m *manifest, d *destination, namespace, at string) (sink, bool) {
	switch r := d.Ref; {
	case r == nil && d.URI != "":
		return sink{URI: d.URI, CACerts: d.CACerts}, true
	case r == nil:
		im.skip(m, "left out: %s has neither ref nor uri", at)
	case isStream(r):
		if d.URI != "" || d.CACerts != "" {
			im.skip(m, "left out: %s.ref is a stream, which has neither uri nor CACerts", at)
			return sink{}, false
		}
		owner := *m
		owner.Metadata.Namespace = namespace
		if name := im.known(&owner, r.Kind, r.Namespace, r.Name); name != "" {
			return sink{Stream: name}, true
		}
		im.skip(m, "left out: %s.ref has no valid name", at)
	case r.Kind == "Service" && (r.APIVersion == "v1" || strings.HasPrefix(r.APIVersion, "serving.knative.dev/")):
		if r.Namespace != "" {
			namespace = r.Namespace
		}
		path, err := url.Parse(d.URI)
		if err != nil || !validName(r.Name) || !validName(namespace) {
			im.skip(m, "left out: %s is not a valid address", at)
			return sink{}, false
		}
		base := url.URL{Scheme: "http", Host: r.Name + "." + namespace + ".svc.cluster.local", Path: "/"}
		im.note(m, "%s is taken for %s, which resolves in the cluster alone", at, base.String())
		return sink{URI: base.ResolveReference(path).String(), CACerts: d.CACerts}, true
	default:
		im.skip(m, "left out: %s refers to a %s (%s), whose address only the cluster knows; give its uri instead", at,
			r.Kind, r.APIVersion)
	}
	return sink{}, false
}

// trigger adds the subscription of a Trigger.
func (im *importer) trigger(m *manifest) {
	var spec triggerSpec
	if !im.decode(m, &spec) {
		return
	}
	if spec.Broker == "" {
		spec.Broker = "default"
	}
	s := subscription{
		Stream: im.known(m, "Broker", "", spec.Broker), Filters: spec.Filters, Delivery: &delivery{Replies: "strict"},
	}
	if len(spec.Filters) == 0 && spec.Filter != nil {
		s.Filters = attributes(spec.Filter.Attributes)
	}
	var ok bool
	if s.Sink, ok = im.sink(m, &spec.Subscriber, m.Metadata.Namespace, "spec.subscriber"); ok {
		im.subscribe(m, &s, spec.Delivery)
	}
}

// attributes translates the older form of filters, in which an empty value matches any value of the attribute.
func attributes(attributes map[string]string) (filters []any) {
	// Knative treats these as present even if they are empty
	always := []string{"specversion", "type", "source", "id", "subject", "time", "datacontenttype"}
	exact := maps.Clone(attributes)
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		switch {
		case attributes[name] != "":
		case slices.Contains(always, name):
			delete(exact, name)
		default:
			delete(exact, name)
			filters = append(filters, map[string]any{"cesql": "EXISTS " + name})
		}
	}
	if len(exact) > 0 {
		filters = slices.Insert(filters, 0, any(map[string]any{"exact": exact}))
	}
	return filters
}

// subscription adds the subscription of a messaging Subscription.
func (im *importer) subscription(m *manifest) {
	var spec subscriptionSpec
	if !im.decode(m, &spec) {
		return
	}
	if !isStream(&spec.Channel) {
		im.skip(m, "left out: spec.channel is a %s (%s), not a Channel", spec.Channel.Kind, spec.Channel.APIVersion)
		return
	}
	s := subscription{Stream: im.known(m, spec.Channel.Kind, spec.Channel.Namespace, spec.Channel.Name),
		ReplyStream: "none"}
	namespace := m.Metadata.Namespace
	if spec.Subscriber == nil && spec.Reply != nil { // without a subscriber, events pass unchanged to the reply
		spec.Subscriber, spec.Reply = spec.Reply, nil
	}
	if spec.Reply != nil {
		reply, ok := im.sink(m, spec.Reply, namespace, "spec.reply")
		if ok && reply.Stream == "" {
			im.skip(m, "left out: spec.reply is an address, but replies go to a stream; refer to a Channel or a Broker")
		}
		if s.ReplyStream = reply.Stream; reply.Stream == "" {
			return
		}
	}
	if spec.Subscriber == nil {
		im.skip(m, "left out: it has neither spec.subscriber nor spec.reply")
		return
	}
	var ok bool
	if s.Sink, ok = im.sink(m, spec.Subscriber, namespace, "spec.subscriber"); ok {
		im.subscribe(m, &s, spec.Delivery)
	}
}

// subscribe adds a subscription with its own delivery or that of its broker or channel. A subscription that the gateway
// would reject is left out, with a note.
func (im *importer) subscribe(m *manifest, s *subscription, own *deliverySpec) {
	namespace := m.Metadata.Namespace
	if own == nil {
		own, namespace = im.defaults[s.Stream], im.owners[s.Stream]
	}
	if s.Delivery == nil {
		s.Delivery = &delivery{}
	}
	s.Delivery.Outages = "count"
	if s.Sink.URI == "" { // neither concerns sinks in Redis
		s.Delivery.Replies, s.Delivery.Outages = "", ""
	}
	im.order(m, s, own)
	if own != nil {
		s.Delivery.Retry, s.Delivery.Timeout, s.Delivery.RetryAfterMax = own.Retry, own.Timeout, own.RetryAfterMax
		s.Delivery.BackoffPolicy, s.Delivery.BackoffDelay, s.Delivery.Format = own.BackoffPolicy, own.BackoffDelay, own.Format
		if own.DeadLetterSink != nil {
			dead, ok := im.sink(m, own.DeadLetterSink, namespace, "spec.delivery.deadLetterSink")
			if !ok {
				return
			}
			if dead.CACerts != "" {
				im.skip(m, "spec.delivery.deadLetterSink.CACerts has no equivalent; the certificates of the system "+
					"are used")
				dead.CACerts = ""
			}
			s.Delivery.DeadLetterSink = &dead
		}
	}
	if *s.Delivery == (delivery{}) {
		s.Delivery = nil
	}
	s.Name = im.freeName("subscription ", m)
	part := document{Streams: s.streamsOf(), Subscriptions: []subscription{*s}}
	if problems := part.check(); len(problems) > 0 {
		im.skip(m, "left out: %s", strings.Join(problems, "; "))
		return
	}
	im.out.Subscriptions = append(im.out.Subscriptions, *s)
}

// orderAnnotation is where Triggers and Subscriptions of Knative's Kafka implementation say how they deliver.
const orderAnnotation = "kafka.eventing.knative.dev/delivery.order"

// order translates the order of delivery. Kafka's is that of a partition, which is chosen by the same attribute.
func (im *importer) order(m *manifest, s *subscription, own *deliverySpec) {
	wanted, at := m.annotation(orderAnnotation), orderAnnotation
	if wanted == "" && own != nil {
		wanted, at = own.Order, "spec.delivery.order"
	}
	switch wanted {
	case "", "unordered":
	case "ordered":
		s.Order = "byKey"
		im.note(m, "%s: ordered becomes order: byKey, which orders events of one partitionkey, else of one subject", at)
	default:
		im.skip(m, "%s: %q has no equivalent", at, wanted)
	}
}

// ping adds a source of type cron. If its sink is not a stream, the events go through an additional stream.
func (im *importer) ping(m *manifest) {
	var spec pingSpec
	if !im.decode(m, &spec) {
		return
	}
	c := cron{
		Type: "cron", Schedule: spec.Schedule, TimeZone: spec.TimeZone, Data: spec.Data, ContentType: spec.ContentType,
		// knative/eventing pkg/apis/sources/v1: PingSourceSource
		Event: cronEvent{Source: "/apis/v1/namespaces/" + m.Metadata.Namespace + "/pingsources/" + m.Metadata.Name},
	}
	if spec.DataBase64 != "" {
		data, err := base64.StdEncoding.DecodeString(spec.DataBase64)
		if err != nil || !utf8.Valid(data) {
			im.skip(m, "left out: spec.dataBase64 is not text, and a source of type cron can only send text")
			return
		}
		c.Data = string(data)
	}
	c.Name, c.Stream = m.Metadata.Namespace+"."+m.Metadata.Name, "s"
	part := document{Streams: []stream{{Name: "s"}}, Sources: []cron{c}}
	if problems := part.check(); len(problems) > 0 {
		im.skip(m, "left out: %s", strings.Join(problems, "; "))
		return
	}
	to, ok := im.sink(m, &spec.Sink, m.Metadata.Namespace, "spec.sink")
	if !ok {
		return
	}
	c.Name, c.Stream = im.freeName("source ", m), to.Stream
	if to.Stream == "" {
		c.Stream = im.addStream(m, false)
		to.Extensions = spec.Overrides.Extensions
		im.subscribe(m, &subscription{Stream: c.Stream, Sink: to, ReplyStream: "none"}, nil)
	} else if len(spec.Overrides.Extensions) > 0 {
		c.Transform = &transform{Set: map[string]string{}}
		for name, value := range spec.Overrides.Extensions {
			// a brace must not begin a placeholder of a template
			c.Transform.Set[name] = strings.ReplaceAll(value, "{", "{{")
		}
	}
	im.out.Sources = append(im.out.Sources, c)
}

// result encodes the configuration, with the notes as comments before it.
func (im *importer) result() (*Result, error) {
	body, err := im.out.encode()
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	text.WriteString("# Converted from manifests by: streamgate import knative\n")
	for _, note := range im.notes {
		text.WriteString("# " + note + "\n")
	}
	text.Write(body)
	return &Result{YAML: []byte(text.String()), Notes: im.notes, Skipped: im.skipped}, nil
}
