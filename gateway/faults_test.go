package gateway_test

import (
	"context"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// TestOneStreamsFault: a key of another type closes its own stream only, says so, and is noticed when it is gone.
func TestOneStreamsFault(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	ctx := context.Background()
	if err := server.Client().Set(ctx, "wrong", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	sink := newSink(t, nil)
	c := oneStream("wrong")
	c.Streams = append(c.Streams, oneStream("good").Streams...)
	c = subscribed(c, sink.url)
	r := start(t, server.Client(), c)
	if faults := strings.Join(r.Faults(), "\n"); !strings.Contains(faults, `stream "wrong"`) || !strings.Contains(faults, "rename that key") {
		t.Errorf("faults: %s", faults)
	}
	if status, _ := post(t, r.url+"/good", event("1")); status != http.StatusAccepted {
		t.Errorf("the good stream: %d", status)
	}
	if status, _ := post(t, r.url+"/wrong", event("2")); status != http.StatusServiceUnavailable {
		t.Errorf("the other: %d", status)
	}
	if err := server.Client().Del(ctx, "wrong").Err(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, "the stream opens", func() bool { return len(r.Faults()) == 0 })
	if status, _ := post(t, r.url+"/wrong", event("3")); status != http.StatusAccepted {
		t.Errorf("the other, repaired: %d", status)
	}
	redistest.Eventually(t, "its event is delivered", func() bool {
		sink.mu.Lock()
		defer sink.mu.Unlock()
		return len(sink.requests) == 1
	})
}

// TestRefusalsOfRedis: what Redis refuses from the start on is the reason, with a remedy.
func TestRefusalsOfRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	if err := server.Client().Do(context.Background(), "ACL", "SETUSER", "small", "on", ">pw", "~*", "+@read", "+@connection").Err(); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]redis.UniversalOptions{
		"refused the user or the password": {Username: "small", Password: "nope"},
		"database of redis.url":            {DB: 9999},
		"lacks a right":                    {Username: "small", Password: "pw"},
	} {
		o.Addrs = []string{server.Addr()}
		client := redis.NewUniversalClient(redisstreams.ClientOptions(&o))
		t.Cleanup(func() { _ = client.Close() })
		r := launch(t, client, subscribed(oneStream("S"), "http://127.0.0.1:9/"))
		redistest.Eventually(t, want, func() bool {
			err := r.Ready(context.Background())
			return err != nil && strings.Contains(err.Error(), want)
		})
	}
}

// TestDocumentedRights: a user with exactly the rights of docs/operations.md runs the gateway.
func TestDocumentedRights(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^ACL SETUSER .*$`).FindString(string(text))
	var command []any
	for _, word := range strings.Fields(line) {
		command = append(command, word)
	}
	server := redistest.Start(t)
	if err := server.Client().Do(context.Background(), command...).Err(); err != nil {
		t.Fatal(line, err)
	}
	client := redis.NewUniversalClient(redisstreams.ClientOptions(&redis.UniversalOptions{
		Addrs: []string{server.Addr()}, Username: "streamgate", Password: "PASSWORD",
	}))
	t.Cleanup(func() { _ = client.Close() })
	sink := newSink(t, func(_ *http.Request, n int) int {
		if n == 1 {
			return http.StatusServiceUnavailable
		}
		return http.StatusNoContent
	})
	c := oneStream("S")
	c.Streams[0].DedupWindow = 1e9
	c.Streams[0].Retention.MaxLength = 1000
	r := start(t, client, subscribed(c, sink.url))
	if status, _ := post(t, r.url+"/S", event("1")); status != http.StatusAccepted {
		t.Errorf("status %d", status)
	}
	redistest.Eventually(t, "the event is delivered again", func() bool {
		sink.mu.Lock()
		defer sink.mu.Unlock()
		return len(sink.requests) == 2
	})
	r.stop()
	if logs := r.logs.String(); strings.Contains(logs, "NOPERM") {
		t.Error(logs)
	}
}
