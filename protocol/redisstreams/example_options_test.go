package redisstreams_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// With TLS, a user of Redis' ACL and a Unix socket nothing changes but the options of the client.
func ExampleClientOptions() {
	overTLS := redis.NewUniversalClient(redisstreams.ClientOptions(&redis.UniversalOptions{
		Addrs:     []string{"redis.example.com:6380"},
		Username:  "orders",
		Password:  "secret",
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}))
	overSocket := redis.NewUniversalClient(redisstreams.ClientOptions(&redis.UniversalOptions{
		Addrs: []string{"/run/redis/redis.sock"},
	}))
	_, _ = overTLS, overSocket
}

// Sentinels tell where the master is. After a failover the client finds the new one.
func ExampleClientOptions_sentinel() {
	client := redis.NewUniversalClient(redisstreams.ClientOptions(&redis.UniversalOptions{
		MasterName: "mymaster",
		Addrs:      []string{"sentinel1:26379", "sentinel2:26379", "sentinel3:26379"},
	}))
	_ = client
}

// A stream is one key, so it is in one slot of a Cluster. Several streams spread over the nodes; see PartitionStream.
func ExampleClientOptions_cluster() {
	client := redis.NewUniversalClient(redisstreams.ClientOptions(&redis.UniversalOptions{
		Addrs:         []string{"node1:6379", "node2:6379"},
		IsClusterMode: true,
	}))
	_ = client
}

// With deduplication an event may be sent again after an error that leaves open whether it was stored.
func ExampleWithDedup() {
	client := exampleClient()
	defer func() { _ = client.Close() }()

	sender, err := redisstreams.NewSender(client, exampleStream("orders"), redisstreams.WithDedup(time.Hour))
	if err != nil {
		log.Print(err)
		return
	}
	event := rawevent.New("1001", "https://example.com/shop", "com.example.order.placed")
	first, err := sender.Append(context.Background(), &event)
	if err != nil {
		log.Print(err)
		return
	}
	again, err := sender.Append(context.Background(), &event)
	fmt.Println(again == first, sender.Duplicates(), err)
	// Output: true 1 <nil>
}

// A send that returns without an error is on the disk of the server and in the memory of a replica. Deduplication makes
// it safe to send again until that is so.
func ExampleWithFsync() {
	client := exampleClient()
	defer func() { _ = client.Close() }()

	sender, err := redisstreams.NewSender(client, exampleStream("payments"),
		redisstreams.WithFsync(), redisstreams.WithReplicas(1), redisstreams.WithDedup(time.Hour))
	if err != nil {
		log.Print(err)
		return
	}
	event := rawevent.New("1001", "https://example.com/shop", "com.example.payment.received")
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		_, err = sender.Append(context.Background(), &event)
		if err == nil || errors.Is(err, redisstreams.ErrUnsupported) {
			break // stored, or the server can never do it: it has no append-only file
		}
		<-time.After(wait) // ErrNotDurable, a timeout, a failover: the outcome is unknown
	}
	fmt.Println(errors.Is(err, redisstreams.ErrUnsupported)) // the server of these examples keeps nothing on disk
	// Output: true
}
