package redisstreams_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// TestIsReply provokes the replies on a real server.
func TestIsReply(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	ctx := t.Context()
	noKey := client.XInfoStream(ctx, stream).Err()
	noGroup := client.XPending(ctx, stream, "group").Err()
	if err := client.XGroupCreateMkStream(ctx, stream, "group", "$").Err(); err != nil {
		t.Fatal(err)
	}
	busy := client.XGroupCreate(ctx, stream, "group", "$").Err()
	for name, c := range map[string]struct {
		err      error
		prefixes []string
		want     bool
	}{
		"no key":             {noKey, []string{redisstreams.ReplyNoKey}, true},
		"no group":           {noGroup, []string{redisstreams.ReplyNoGroup}, true},
		"busy group":         {busy, []string{redisstreams.ReplyBusyGroup}, true},
		"wrapped":            {fmt.Errorf("create: %w", busy), []string{redisstreams.ReplyBusyGroup}, true},
		"one of several":     {busy, []string{redisstreams.ReplyOOM, redisstreams.ReplyBusyGroup}, true},
		"another":            {busy, []string{redisstreams.ReplyNoGroup, redisstreams.ReplyOOM}, false},
		"any":                {busy, nil, true},
		"nil reply":          {redis.Nil, nil, true},
		"no error":           {nil, nil, false},
		"end of connection":  {io.EOF, nil, false},
		"timeout":            {context.DeadlineExceeded, []string{""}, false},
		"an error like that": {errors.New("NOGROUP"), []string{redisstreams.ReplyNoGroup}, false},
	} {
		if got := redisstreams.IsReply(c.err, c.prefixes...); got != c.want {
			t.Errorf("%s: %v: %t, want %t", name, c.err, got, c.want)
		}
	}
}
