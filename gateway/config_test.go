package gateway_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/ingress"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/stream"
)

// stubSource is a source whose problems are given.
type stubSource struct{ problems setting.Problems }

func (s stubSource) Validate(string) setting.Problems { return s.problems }

func (s stubSource) EventKinds() ([]source.EventKind, error) { return nil, nil }

func (s stubSource) Report(map[string][]byte) (source.Report, error) {
	return source.Report{}, nil
}

func (s stubSource) NewSource(source.Env) (source.Source, error) { return nil, nil }

// pickySource also looks at the stream that it writes to.
type pickySource struct {
	stubSource
	refused string
}

func (s pickySource) Validate(stream string) setting.Problems {
	var p setting.Problems
	if stream == s.refused {
		p.Add("from", "not "+stream, "another")
	}
	return p
}

// validConfig has one stream, one source and one subscription.
func validConfig() gateway.Config {
	st, subscription := stream.NewConfig(), delivery.NewConfig()
	st.Name, subscription.Name, subscription.Stream, subscription.Sink.URI = "S", "sub", "S", "http://localhost:9000/"
	return gateway.Config{
		Server: ingress.NewConfig(), Streams: []stream.Config{st}, Subscriptions: []delivery.Config{subscription},
		Sources: []source.Block{{Name: "src", Type: "stub", Stream: "S", Config: stubSource{}}},
	}
}

// TestConfigRules changes one thing of a valid configuration at a time, and expects problems at these paths.
func TestConfigRules(t *testing.T) {
	t.Parallel()
	type config = gateway.Config
	for name, c := range map[string]struct {
		change func(c *config)
		want   []string
	}{
		"valid": {func(*config) {}, nil},

		"loopback of IPv4":         {func(c *config) { c.Server.Address = "127.3.2.1:0" }, nil},
		"loopback of IPv6":         {func(c *config) { c.Server.Address = "[::1]:8080" }, nil},
		"localhost":                {func(c *config) { c.Server.Address = "localhost:8080" }, nil},
		"all addresses":            {func(c *config) { c.Server.Address = ":8080" }, []string{"server.address"}},
		"all addresses of IPv4":    {func(c *config) { c.Server.Address = "0.0.0.0:8080" }, []string{"server.address"}},
		"all addresses of IPv6":    {func(c *config) { c.Server.Address = "[::]:8080" }, []string{"server.address"}},
		"a host like localhost":    {func(c *config) { c.Server.Address = "localhost.example.com:80" }, []string{"server.address"}},
		"a host like 127.0.0.1":    {func(c *config) { c.Server.Address = "127.0.0.1.example.com:80" }, []string{"server.address"}},
		"meant to be open":         {func(c *config) { c.Server.Address, c.Server.AllowAnonymous = "0.0.0.0:8080", true }, nil},
		"no port, though open":     {func(c *config) { c.Server.Address, c.Server.AllowAnonymous = "0.0.0.0", true }, []string{"server.address"}},
		"an empty port":            {func(c *config) { c.Server.Address = "127.0.0.1:" }, []string{"server.address"}},
		"no address":               {func(c *config) { c.Server.Address = "" }, []string{"server.address"}},
		"the smallest event":       {func(c *config) { c.Server.MaxEventBytes = 128 << 10 }, nil},
		"an event too small":       {func(c *config) { c.Server.MaxEventBytes = 128<<10 - 1 }, []string{"server.maxEventBytes"}},
		"a batch of one":           {func(c *config) { c.Server.MaxBatchBytes = c.Server.MaxEventBytes }, nil},
		"a batch below an event":   {func(c *config) { c.Server.MaxBatchBytes = c.Server.MaxEventBytes - 1 }, []string{"server.maxBatchBytes"}},
		"no time to shut down":     {func(c *config) { c.Server.ShutdownTimeout = 0 }, []string{"server.shutdownTimeout"}},
		"several things at once":   {func(c *config) { c.Server = ingress.Config{Address: "x"} }, []string{"server.address", "server.maxConnections", "server.maxEventBytes", "server.shutdownTimeout"}},
		"no stream":                {func(c *config) { c.Streams = nil }, []string{"streams", "sources[0].stream", "subscriptions[0].stream"}},
		"two streams of one name":  {func(c *config) { c.Streams = append(c.Streams, c.Streams[0]) }, []string{"streams[1].name"}},
		"a stream without a name":  {func(c *config) { c.Streams = append(c.Streams, stream.NewConfig()) }, []string{"streams[1].name"}},
		"a stream of the gateway":  {func(c *config) { rename(c, "streamgate:x") }, []string{"streams[0].name"}},
		"a long stream":            {func(c *config) { rename(c, strings.Repeat("x", 513)) }, []string{"streams[0].name"}},
		"the longest stream":       {func(c *config) { rename(c, strings.Repeat("x", 512)) }, nil},
		"control characters":       {func(c *config) { rename(c, "a\nb") }, []string{"streams[0].name"}},
		"a hash tag":               {func(c *config) { rename(c, "a{b}c") }, nil},
		"an empty hash tag":        {func(c *config) { rename(c, "a{}c") }, []string{"streams[0].name"}},
		"half a hash tag":          {func(c *config) { rename(c, "a{c") }, []string{"streams[0].name"}},
		"an unknown content mode":  {func(c *config) { c.Streams[0].ContentMode = "Binary" }, []string{"streams[0].contentMode"}},
		"structured":               {func(c *config) { c.Streams[0].ContentMode = "structured" }, nil},
		"mirrored fields":          {func(c *config) { c.Streams[0].Mirror = []string{"subject", "href"} }, nil},
		"mirrored fields, refused": {func(c *config) { c.Streams[0].Mirror = []string{"ce_id", "a", "", "a"} }, []string{"streams[0].mirror[0]", "streams[0].mirror[2]", "streams[0].mirror[3]"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := validConfig()
			c.change(&config)
			checkPaths(t, config.Validate(), c.want)
		})
	}
}

// rename gives the stream another name, everywhere.
func rename(c *gateway.Config, name string) {
	c.Streams[0].Name, c.Sources[0].Stream, c.Subscriptions[0].Stream = name, name, name
}

// checkPaths: each problem says what and how to mend it, and they are at these paths.
func checkPaths(t *testing.T, problems setting.Problems, want []string) {
	t.Helper()
	var got []string
	for _, p := range problems {
		got = append(got, p.Path)
		if p.Message == "" || p.Remedy == "" {
			t.Errorf("%+v", p)
		}
	}
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%v", diff, problems)
	}
}

// TestSourceAndSubscriptionRules does the same for what stands in lists and refers to streams.
func TestSourceAndSubscriptionRules(t *testing.T) {
	t.Parallel()
	type (
		config       = gateway.Config
		subscription = delivery.Config
	)
	sub := func(change func(s *subscription)) func(c *config) {
		return func(c *config) { change(&c.Subscriptions[0]) }
	}
	const at = "subscriptions[0]."
	for name, c := range map[string]struct {
		change func(c *config)
		want   []string
	}{
		"a source's own problems": {func(c *config) {
			c.Sources[0].Config = stubSource{setting.Problems{{Path: "url", Message: "m", Remedy: "r"}, {Message: "m", Remedy: "r"}, {Path: "[0]", Message: "m", Remedy: "r"}}}
		}, []string{"sources[0].url", "sources[0]", "sources[0][0]"}},
		"a source and its stream":          {func(c *config) { c.Sources[0].Config = pickySource{refused: "S"} }, []string{"sources[0].from"}},
		"a source and another stream":      {func(c *config) { c.Sources[0].Config = pickySource{refused: "T"} }, nil},
		"a source without a name":          {func(c *config) { c.Sources[0].Name = "" }, []string{"sources[0].name"}},
		"a source's name":                  {func(c *config) { c.Sources[0].Name = "a.b-c_9" }, nil},
		"a source's name with a slash":     {func(c *config) { c.Sources[0].Name = "a/b" }, []string{"sources[0].name"}},
		"a source's name with a line":      {func(c *config) { c.Sources[0].Name = "a\n" }, []string{"sources[0].name"}},
		"a long name":                      {func(c *config) { c.Sources[0].Name = strings.Repeat("a", 129) }, []string{"sources[0].name"}},
		"two sources of one name":          {func(c *config) { c.Sources = append(c.Sources, c.Sources[0]) }, []string{"sources[1].name"}},
		"two subscriptions of one name":    {func(c *config) { c.Subscriptions = append(c.Subscriptions, c.Subscriptions[0]) }, []string{"subscriptions[1].name"}},
		"a source named as a subscription": {func(c *config) { c.Sources[0].Name = "sub" }, nil},
		"unknown streams":                  {func(c *config) { c.Sources[0].Stream, c.Subscriptions[0].Stream = "s", "" }, []string{"sources[0].stream", at + "stream"}},

		"a subscription without a name": {sub(func(s *subscription) { s.Name = "" }), []string{at + "name"}},
		"https":                         {sub(func(s *subscription) { s.Sink.URI = "https://example.com/in?x=1" }), nil},
		"no sink":                       {sub(func(s *subscription) { s.Sink.URI = "" }), []string{at + "sink.uri"}},
		"a sink without a host":         {sub(func(s *subscription) { s.Sink.URI = "http:///in" }), []string{at + "sink.uri"}},
		"a sink without a scheme":       {sub(func(s *subscription) { s.Sink.URI = "localhost:9000" }), []string{at + "sink.uri"}},
		"a sink by FTP":                 {sub(func(s *subscription) { s.Sink.URI = "ftp://localhost" }), []string{at + "sink.uri"}},
		"concurrency":                   {sub(func(s *subscription) { s.Concurrency = 10_000 }), nil},
		"no concurrency":                {sub(func(s *subscription) { s.Concurrency = 0 }), []string{at + "concurrency"}},
		"much concurrency":              {sub(func(s *subscription) { s.Concurrency = 10_001 }), []string{at + "concurrency"}},
		"a short lease":                 {sub(func(s *subscription) { s.LeaseDuration = setting.Duration(time.Second - 1) }), []string{at + "leaseDuration"}},
		"earliest":                      {sub(func(s *subscription) { s.StartFrom = "earliest" }), nil},
		"an entry id":                   {sub(func(s *subscription) { s.StartFrom = "1700000000000-0" }), nil},
		"a time":                        {sub(func(s *subscription) { s.StartFrom = "2026-11-23T00:00:00+01:00" }), nil},
		"a position of Redis":           {sub(func(s *subscription) { s.StartFrom = "$" }), []string{at + "startFrom"}},
		"no position":                   {sub(func(s *subscription) { s.StartFrom = "" }), []string{at + "startFrom"}},
		"half an entry id":              {sub(func(s *subscription) { s.StartFrom = "1-" }), []string{at + "startFrom"}},

		"no retries":                  {sub(func(s *subscription) { s.Delivery.Retry = 0 }), nil},
		"fewer than no retries":       {sub(func(s *subscription) { s.Delivery.Retry = -1 }), []string{at + "delivery.retry"}},
		"many retries":                {sub(func(s *subscription) { s.Delivery.Retry = 1001 }), []string{at + "delivery.retry"}},
		"linear":                      {sub(func(s *subscription) { s.Delivery.BackoffPolicy = "linear" }), nil},
		"another policy":              {sub(func(s *subscription) { s.Delivery.BackoffPolicy = "Linear" }), []string{at + "delivery.backoffPolicy"}},
		"no delay":                    {sub(func(s *subscription) { s.Delivery.BackoffDelay = 0 }), []string{at + "delivery.backoffDelay"}},
		"no timeout":                  {sub(func(s *subscription) { s.Delivery.Timeout = -1 }), []string{at + "delivery.timeout"}},
		"json":                        {sub(func(s *subscription) { s.Delivery.Format = "json" }), nil},
		"another format":              {sub(func(s *subscription) { s.Delivery.Format = "xml" }), []string{at + "delivery.format"}},
		"dead letters elsewhere":      {sub(func(s *subscription) { s.Delivery.DeadLetterSink.Stream = "T" }), nil},
		"dead letters that come back": {sub(func(s *subscription) { s.Delivery.DeadLetterSink.Stream = "S" }), []string{at + "delivery.deadLetterSink.stream"}},
		"a filter without a dialect":  {sub(func(s *subscription) { s.Filters = make([]filter.Config, 2) }), []string{at + "filters[0]", at + "filters[1]"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := validConfig()
			c.change(&config)
			checkPaths(t, config.Validate(), c.want)
		})
	}
}

// TestUnknownStreamNamesTheKnown.
func TestUnknownStreamNamesTheKnown(t *testing.T) {
	t.Parallel()
	c := validConfig()
	other := stream.NewConfig()
	other.Name = "T"
	c.Streams, c.Sources[0].Stream = append(c.Streams, other), "U"
	const want = `sources[0].stream: there is no stream "U"; name one of those under streams: S, T`
	if got := c.Validate().Error(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
