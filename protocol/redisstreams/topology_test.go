package redisstreams_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// topologyClient returns a client as the package wants it, which the test closes.
func topologyClient(t testing.TB, o *redis.UniversalOptions) redis.UniversalClient {
	t.Helper()
	client := redis.NewUniversalClient(redisstreams.ClientOptions(o))
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close client: %v", err)
		}
	})
	return client
}

// roundTrip is the scenario of every topology: one member of a group dies with entries in work, two others take them
// over and acknowledge everything, while single events, batches and repeated events are sent at the same time.
func roundTrip(t *testing.T, stream string, sending, receiving redis.UniversalClient) {
	t.Helper()
	l := newLoad(t, stream, sending, receiving)
	plain := newSender(t, sending, stream)
	dedup := newSender(t, sending, stream, redisstreams.WithDedup(time.Minute))

	const orphans = 10
	dead, err := redisstreams.NewConsumer(receiving, stream, "group", redisstreams.WithStart("0"), redisstreams.WithLease(loadLease))
	if err != nil {
		t.Fatal(err)
	}
	for i := range orphans {
		e := sample(fmt.Sprintf("orphan-%d", i))
		mustAppend(t, plain, e)
		l.accept("orphan", []rawevent.Event{e})
	}
	receive(t, dead, orphans)

	l.member()
	l.member()
	for i := range 4 { // they share pipelines
		l.produce(fmt.Sprintf("single-%d", i), 1, single(plain))
	}
	l.produce("batch", 5, batch(plain))
	l.produce("twice", 2, twice(dedup))
	l.progress(20)
	l.finish()

	for i := range orphans {
		if id := fmt.Sprintf("orphan-%d", i); l.attempts(id) < 2 {
			t.Errorf("%s: attempt %d, want one after that of the dead member", id, l.attempts(id))
		}
	}
	if n := int64(l.count("twice")); dedup.Duplicates() != uint64(n) || length(t, receiving, stream) != int64(l.total()) {
		t.Errorf("%d duplicates of %d, %d entries of %d", dedup.Duplicates(), n, length(t, receiving, stream), l.total())
	}
}

// TestProtocolVersions: RESP2 and RESP3 differ in the form of many replies.
func TestProtocolVersions(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		server := redistest.Start(t, redistest.WithBinary(flavor.Binary))
		for _, version := range []int{2, 3} {
			t.Run(fmt.Sprintf("RESP%d", version), func(t *testing.T) {
				t.Parallel()
				client := topologyClient(t, &redis.UniversalOptions{Addrs: []string{server.Addr()}, Protocol: version})
				roundTrip(t, redistest.Stream(t), client, client)
			})
		}
	})
}

func TestTopologies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		options func(t *testing.T) *redis.UniversalOptions
	}{
		{"unix socket", func(t *testing.T) *redis.UniversalOptions {
			t.Helper()
			return &redis.UniversalOptions{Addrs: []string{redistest.Start(t, redistest.WithUnixSocket()).Socket()}}
		}},
		{"TLS", func(t *testing.T) *redis.UniversalOptions {
			t.Helper()
			server := redistest.Start(t, redistest.WithTLS(), redistest.WithArgs("--tls-auth-clients", "yes"))
			return &redis.UniversalOptions{Addrs: []string{server.TLSAddr()}, TLSConfig: server.TLSConfig()}
		}},
		{"Sentinel", func(t *testing.T) *redis.UniversalOptions {
			t.Helper()
			return redistest.StartSentinel(t).Options()
		}},
		{"Cluster", func(t *testing.T) *redis.UniversalOptions {
			t.Helper()
			return redistest.StartCluster(t, 3).Options()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client := topologyClient(t, c.options(t))
			roundTrip(t, redistest.Stream(t), client, client)
		})
	}
}

// TestTLSOfAStranger: who does not trust the server's authority is told so, at once.
func TestTLSOfAStranger(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.WithTLS())
	client := topologyClient(t, &redis.UniversalOptions{
		Addrs: []string{server.TLSAddr()}, TLSConfig: &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12},
	})
	e := sample("1")
	_, err := newSender(t, client, "s").Append(t.Context(), &e)
	if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("%v, want an error about the unknown authority", err)
	}
	c, err := redisstreams.NewConsumer(client, "s", "group")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Ensure(t.Context()); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("%v, want an error about the unknown authority", err)
	}
}

// The rights that the README names. go-redis' own commands at the beginning of a connection are not among them: it goes
// on without.
const (
	rightsToSend    = "+xadd +multi +exec +wait +waitaof"
	rightsToDedup   = "+evalsha +eval +get +set"
	rightsToReceive = "+xreadgroup +xack +xpending +xclaim +xautoclaim +xgroup +xinfo +evalsha +eval"
)

// userClient returns the client of a new user who may do with the stream what rights say, and nothing else. What a
// server does not know (WAITAOF) it cannot be asked to allow.
func userClient(t testing.TB, server *redistest.Server, name, stream, rights string, more ...string) redis.UniversalClient {
	t.Helper()
	args := []any{"ACL", "SETUSER", name, "reset", "on", ">secret", "~" + stream, "~streamgate:{" + stream + "}:*", "-@all"}
	for _, right := range append(strings.Fields(rights), more...) {
		info, err := server.Client().Do(t.Context(), "COMMAND", "INFO", strings.TrimPrefix(right, "+")).Slice()
		if err != nil {
			t.Fatal(err)
		}
		if len(info) == 1 && info[0] != nil {
			args = append(args, right)
		}
	}
	if err := server.Client().Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
	return topologyClient(t, &redis.UniversalOptions{
		Addrs: []string{server.Addr()}, Username: name, Password: "secret", ReadTimeout: 2 * time.Second,
	})
}

// TestRightsOfUsers: the rights that the README names are enough.
func TestRightsOfUsers(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		server, stream := redistest.Start(t, redistest.WithBinary(flavor.Binary), redistest.WithAOF("always")), redistest.Stream(t)
		sending := userClient(t, server, "sender", stream, rightsToSend+" "+rightsToDedup)
		receiving := userClient(t, server, "receiver", stream, rightsToReceive+" +xlen") // the test asks for the length
		roundTrip(t, stream, sending, receiving)

		plain := userClient(t, server, "plain", stream, rightsToSend, "+config|get")
		mustAppend(t, newSender(t, plain, stream, redisstreams.WithFsync()), sample("fsync"))
		e := sample("not replicated")
		_, err := newSender(t, plain, stream, redisstreams.WithReplicas(1)).Append(t.Context(), &e)
		if !errors.Is(err, redisstreams.ErrNotDurable) || strings.Contains(err.Error(), "NOPERM") {
			t.Errorf("without a replica: %v, want ErrNotDurable", err)
		}
		if f, err := redisstreams.Probe(t.Context(), userClient(t, server, "prober", stream, "+info"), stream); err != nil || f.Server+"-"+f.Version != flavor.Name {
			t.Errorf("probe: %+v, %v", f, err)
		}
		refused := sample("2")
		_, err = newSender(t, sending, "other").Append(t.Context(), &refused)
		if err == nil || !strings.Contains(err.Error(), "NOPERM") {
			t.Errorf("another stream: %v, want NOPERM", err)
		}
		reportDenied(t, server)
	})
}

// reportDenied fails the test for each command that a user lacked, but those of go-redis itself and those that the test
// expects to be refused.
func reportDenied(t testing.TB, server *redistest.Server) {
	t.Helper()
	entries, err := server.Client().ACLLog(t.Context(), 100).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		expected := entry.Username == "prober" || strings.HasPrefix(entry.Object, "client|") || entry.Object == "other"
		if !expected {
			t.Errorf("user %s was denied %s %s (%s)", entry.Username, entry.Reason, entry.Object, entry.Context)
		}
	}
}
