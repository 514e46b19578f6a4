package stream

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// TestMaintainerOnMiniredis: the server without installation knows neither lags nor counters; lag and retention work
// all the same.
func TestMaintainerOnMiniredis(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: 2, DisableIdentity: true})
	t.Cleanup(func() { _ = client.Close() })
	k := maintain(t, client, "s", RetentionConfig{MaxLength: 5}, "a", "~b")
	k.group("streamgate:a", "0")
	k.group("streamgate:b", "0")
	k.add(1, 20)
	k.ack("streamgate:a", k.read("streamgate:a", 18)...)
	k.makePass()
	k.makePass()
	k.want("stream_length", "s", 5)
	k.want("subscription_lag", "a", 2)
	k.want("subscription_lag", "b", 5)
	k.want("entries_trimmed_unseen_total", "a", 0)
}
